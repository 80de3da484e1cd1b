"""The pure core: what a session is and how it changes. No I/O, no clock, no randomness."""
