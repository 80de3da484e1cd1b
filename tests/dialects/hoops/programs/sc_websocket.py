"""The server's side of a WebSocket, and what a viewer says first."""

from __future__ import annotations

import json
import zlib

from tests.dialects.hoops.programs.sc_tasks import Stream

MESSAGE_MOST = 1 << 26
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KINDS = {TEXT: "text", BINARY: "binary"}


class Violation(Exception):
    """The peer broke the protocol; it holds the code to close with, and why."""


def agree(offers: str) -> str | None:
    """Choose the first offer of permessage-deflate that can be kept."""
    switches = {"client_max_window_bits", "client_no_context_takeover", "server_no_context_takeover"}
    for offer in offers.split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        names = {parameter.partition("=")[0] for parameter in parameters}
        if name == "permessage-deflate" and names <= switches:
            return name + "".join(f"; {kept}" for kept in names & {"server_no_context_takeover"})
    return None


class WebSocket:
    """The server's side of one."""

    def __init__(self, stream: Stream, extension: str | None) -> None:
        self.stream, self.extension = stream, extension
        self.code = 1006
        self.inflater = zlib.decompressobj(-15)
        self.deflater = zlib.compressobj(wbits=-15)

    async def send(self, opcode: int, payload: bytes) -> None:
        """Send one message or one control frame."""
        first = 0x80 | opcode
        if self.extension and opcode < CLOSE:
            first |= 0x40
            payload = (self.deflater.compress(payload) + self.deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
            if "server_no" in self.extension:
                self.deflater = zlib.compressobj(wbits=-15)
        size = len(payload)
        if size < 126:
            head = bytes((first, size))
        elif size < 1 << 16:
            head = bytes((first, 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((first, 127)) + size.to_bytes(8, "big")
        await self.stream.write(head + payload)

    async def frame(self, before: int) -> tuple[int, bytes]:
        """Read a frame, as its first byte and its payload."""
        first, second = await self.stream.exact(2)
        opcode, size = first & 15, second & 127
        if opcode < CLOSE and size > 125:
            size = int.from_bytes(await self.stream.exact(2 if size == 126 else 8), "big")
        if not second & 0x80 or first & 0x30 or (opcode >= CLOSE and (size > 125 or not first & 0x80)):
            raise Violation(1002, "bad frame")
        if before + size > MESSAGE_MOST:
            raise Violation(1009, "too long")
        mask = await self.stream.exact(4)
        payload = await self.stream.exact(size)
        keys = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        return first, (int.from_bytes(payload, "big") ^ keys).to_bytes(size, "big")

    async def message(self) -> tuple[int, bytes] | None:
        """Read a message, ``None`` where it was closed.

        :raises Violation: what came is none.
        """
        kind, whole, packed = 0, bytearray(), False
        while True:
            first, payload = await self.frame(len(whole))
            opcode = first & 15
            if opcode == CLOSE:
                self.code = int.from_bytes(payload[:2], "big") if payload else 1005
                await self.send(CLOSE, payload[:2])
                return None
            if opcode in {PING, PONG}:
                if opcode == PING:
                    await self.send(PONG, payload)
                continue
            if opcode not in ({0} if kind else KINDS) or (first & 0x40 and not (opcode and self.extension)):
                raise Violation(1002, "bad frame")
            if opcode:
                kind, packed = opcode, bool(first & 0x40)
            whole += payload
            if first & 0x80:
                return kind, self.unpack(kind, bytes(whole), packed)

    def unpack(self, kind: int, payload: bytes, packed: bool) -> bytes:
        """Make what was sent of what came."""
        try:
            if packed:
                payload = self.inflater.decompress(payload + b"\0\0\xff\xff", MESSAGE_MOST)
                if self.inflater.unconsumed_tail:
                    raise Violation(1009, "too long")
            if kind == TEXT:
                payload.decode()
        except (zlib.error, UnicodeDecodeError) as error:
            raise Violation(1007, str(error)) from None
        return payload


def first_of(kind: int, payload: bytes) -> tuple[str, str, dict[str, object]]:
    """Read a viewer's first message: its kind, its token, and all that it says."""
    wanted = {
        BINARY: ("csr", "OPEN_MODEL", ("model_name", "stream_version", "network_version", "session_token")),
        TEXT: ("ssr", "SERVER_SIDE_RENDER", ("networkVersion", "sessionToken")),
    }
    name, command, keys = wanted[kind]
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise Violation(1008, f"bad first frame: {error}") from None
    if not isinstance(said, dict) or said.get("command") != command or not said.keys() >= set(keys):
        raise Violation(1008, f"bad first frame: no {command}")
    return name, str(said[keys[-1]]), said
