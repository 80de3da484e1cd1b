"""The spawn flow of HOOPS Communicator: one program per viewer, its reports, and the viewer's own WebSocket."""

from sessiond.dialects.hoops.faces import HoopsFaces

__all__ = ["HoopsFaces"]
