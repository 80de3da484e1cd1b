"""The protocol of a Genius2 (GeniusWeb) parties server: parties found in folders, each run by one GET."""

from sessiond.dialects.genius2.faces import Genius2Faces

__all__ = ["Genius2Faces"]
