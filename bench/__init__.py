"""Measures this daemon beside a peer, with the same client and the same target, in one run: ``make bench``."""
