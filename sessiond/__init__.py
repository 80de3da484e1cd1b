"""The session daemon behind a web portal."""

__version__ = "0.1.0.dev0"
