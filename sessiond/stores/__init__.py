"""Stores: where sessions and facts are kept so that a restart forgets nothing."""
