"""An RPC application that shows what one can do: it adds, draws a picture, and tells what time it is.

``python -m sessiond.rpc sessiond.demo.rpc:Demo --default-secret`` serves it, with a page that drives it.
"""

import argparse
import struct
import time
import zlib
from pathlib import Path
from typing import Any

from sessiond.rpc import LinkProtocol, ServerProtocol, exportRpc, schedule_callback

MOST_PIXELS = 512
TICK_S = 1.0


def png(size: int, phase: int) -> bytes:
    """Draw waves as a square PNG (ISO/IEC 15948), one byte of each colour."""
    rows = bytearray()
    for y in range(size):
        rows.append(0)
        for x in range(size):
            rows += bytes(((x * 255 // size + phase) % 256, (y * 255 // size) % 256, ((x ^ y) + phase) % 256))
    head = struct.pack("!IIBBBBB", size, size, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b""))
    written = (
        struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


class Shown(LinkProtocol):
    """The methods, and the topic ``demo.time``."""

    def __init__(self) -> None:
        super().__init__()
        schedule_callback(TICK_S, self.tick)

    def tick(self) -> None:
        """Tell the time, and again in a second."""
        self.publish("demo.time", {"at": time.strftime("%H:%M:%S")})
        schedule_callback(TICK_S, self.tick)

    @exportRpc("demo.add")
    def add(self, numbers: list[float]) -> float:
        """Add numbers."""
        return sum(numbers)

    @exportRpc("demo.picture")
    def picture(self, size: int = 128, phase: int = 0) -> dict[str, Any]:
        """Draw a picture; its bytes go along as an attachment."""
        size = max(1, min(MOST_PIXELS, int(size)))
        return {"type": "image/png", "data": self.addAttachment(png(size, int(phase)))}


class Demo(ServerProtocol):
    """The application."""

    def initialize(self) -> None:
        """Offer it."""
        self.registerLinkProtocol(Shown())

    @classmethod
    def configure(cls, args: argparse.Namespace) -> None:
        """Serve its page, unless another folder is named."""
        args.content = args.content or str(Path(__file__).with_name("pages"))
