"""wslink: RPC applications that the daemon itself serves, and what stands in for its launcher."""

from sessiond.dialects.wslink.faces import WslinkFaces

__all__ = ["WslinkFaces"]
