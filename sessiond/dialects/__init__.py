"""Dialects: thin translators between somebody's existing protocol and the broker. They decide nothing."""
