"""wslink: RPC applications that the daemon itself serves."""

from sessiond.dialects.wslink.faces import WslinkFaces

__all__ = ["WslinkFaces"]
