"""Buses: where saved facts go out."""
