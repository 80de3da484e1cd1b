"""What twistd starts: ``Options`` reads the command line, ``makeService`` wires the daemon."""

from sessiond.boot.daemon import makeService
from sessiond.options import Options

__all__ = ["Options", "makeService"]
