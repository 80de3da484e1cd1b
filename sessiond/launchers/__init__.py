"""Launchers: they start the programs of sessions, watch them, and end them with all of their descendants."""
