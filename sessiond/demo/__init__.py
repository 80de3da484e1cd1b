"""The demo's programs: what a new user, a test or a line of the README opens through ``sessiond``."""
