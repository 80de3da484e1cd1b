"""The protocol of Ansys Nexus' ``websocketserver``: REST by GET, files, and a tunnel on a port of its own."""

from sessiond.dialects.nexus.faces import NexusFaces

__all__ = ["NexusFaces"]
