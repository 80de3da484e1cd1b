"""What the demo's programs understand on their command lines, as types for argparse."""

import argparse
import os

SIZE_LIMITS = ((160, 120), (1920, 1200))
_SOCKET_PATH_LIMIT_BYTES = 107  # sun_path of unix(7), less the closing zero


def socket_path(text: str) -> str:
    """Check the path of a UNIX socket."""
    if not text or len(os.fsencode(text)) > _SOCKET_PATH_LIMIT_BYTES:
        raise argparse.ArgumentTypeError(f"a socket's path has 1 to {_SOCKET_PATH_LIMIT_BYTES} bytes")
    return text


def port(text: str) -> int:
    """Read the number of a TCP port; 0 takes any."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def size(text: str) -> tuple[int, int]:
    """Read a size such as ``480x360``."""
    width, _, height = text.partition("x")
    (least_width, least_height), (most_width, most_height) = SIZE_LIMITS
    if (
        all(part.isascii() and part.isdigit() and len(part) < 6 for part in (width, height))
        and least_width <= int(width) <= most_width
        and least_height <= int(height) <= most_height
    ):
        return int(width), int(height)
    raise argparse.ArgumentTypeError(
        f"a size is WIDTHxHEIGHT in pixels, {least_width}x{least_height} to {most_width}x{most_height}"
    )
