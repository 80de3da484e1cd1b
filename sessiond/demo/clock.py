"""A clock to look at through RFB: ``python -m sessiond.demo.clock --socket PATH`` (or ``--port N``).

It needs nothing but Twisted and asks no password: it listens on a UNIX socket of mode 0600 or, unless told
otherwise, on loopback. All viewers share one picture. A press paints a spot, keys type, Escape wipes both.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import define, field, frozen
from twisted.internet import error, protocol
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IListeningPort, IPushProducer
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from sessiond.demo import rfb
from sessiond.demo.arguments import port, size, socket_path
from sessiond.demo.canvas import Tile, areas, tiles_within
from sessiond.demo.cursor import cursor_rectangle
from sessiond.demo.face import PALETTE
from sessiond.demo.picture import Picture
from sessiond.demo.pixels import Tables, in_format, pixel_tables

NAME = "sessiond clock"
FRAMES_PER_SECOND = 5
VIEWERS_LIMIT = 32


@define
class Owed:
    """Which tiles a viewer has not seen in their present state, and whether it waits for some of them.

    However slowly a viewer reads, no more than this set is kept for it.
    """

    tiles: set[Tile] = field(factory=set)
    _wanted: set[Tile] = field(factory=set)

    def ask(self, area: set[Tile], incremental: bool) -> None:
        """Note a request for an area; one that is not incremental owes all of it again."""
        self._wanted |= area
        if not incremental:
            self.tiles |= area

    def take(self) -> set[Tile]:
        """Take what must be sent now; empty where nothing was asked for or nothing has changed there."""
        taken = self.tiles & self._wanted
        if taken:
            self.tiles -= taken
            self._wanted = set()
        return taken


@implementer(IPushProducer)
class Viewer(protocol.Protocol):
    """One connected viewer. It is sent an update only when it asked for one and its transport takes bytes."""

    factory: "Viewers"
    transport: Any

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._stream = rfb.ViewerStream()
        self._minor = 8
        self._tables: Tables = pixel_tables(PALETTE, rfb.NATURAL)
        self._owed = Owed()
        self._buttons = 0
        self._has_cursor = self._cursor_owed = False
        self._paused = False

    def connectionMade(self) -> None:
        """Greet (RFC 6143, section 7.1.1)."""
        self.transport.registerProducer(self, True)
        self.transport.write(rfb.VERSION)

    def dataReceived(self, data: bytes) -> None:
        """Answer what the viewer says; a fault of its ends the connection."""
        try:
            for message in self._stream.receive(data):
                self._answer(message)
        except rfb.Refused as refusal:
            sys.stderr.write(f"viewer refused: {refusal}\n")
            self.transport.abortConnection()
        else:
            self.factory.show()
            self._send_what_is_wanted()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Leave the others."""
        self.factory.left(self)

    def pauseProducing(self) -> None:
        """The transport is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The transport takes bytes again."""
        self._paused = False
        self._send_what_is_wanted()

    def stopProducing(self) -> None:
        """The transport is gone."""
        self._paused = True

    def changed(self, tiles: set[Tile]) -> None:
        """Owe these tiles to the viewer."""
        self._owed.tiles |= tiles
        self._send_what_is_wanted()

    def _answer(self, message: rfb.Message) -> None:
        canvas = self._picture.canvas
        match message:
            case rfb.Version(minor):
                self._minor = minor
                self.transport.write(rfb.security_offer(minor))
            case rfb.SecurityChosen():
                self.transport.write(rfb.security_result(self._minor))
            case rfb.ClientInit():
                self.transport.write(rfb.server_init(canvas.width, canvas.height, rfb.NATURAL, NAME))
                self.factory.joined(self)
            case rfb.SetPixelFormat(wanted):
                self._tables = pixel_tables(PALETTE, wanted)
                self._cursor_owed = self._has_cursor
            case rfb.SetEncodings(encodings):
                self._has_cursor = self._cursor_owed = rfb.CURSOR in encodings
            case rfb.UpdateRequest(incremental, x, y, width, height):
                self._owed.ask(tiles_within(x, y, width, height, canvas), incremental)
            case rfb.Pointer(buttons, x, y):
                self._point(buttons, x, y)
            case rfb.Key(down=True, keysym=keysym):
                self._picture.key(keysym)

    def _point(self, buttons: int, x: int, y: int) -> None:
        before, self._buttons = self._buttons, buttons
        for button in range(3):  # the bits above are the wheel
            if buttons >> button & 1:
                paint = self._picture.drag if before >> button & 1 else self._picture.press
                paint(x, y, button)

    def _send_what_is_wanted(self) -> None:
        if self._paused:
            return
        tiles = self._owed.take()
        if tiles:
            self.transport.write(rfb.framebuffer_update([*self._cursor(), *self._rectangles(tiles)]))

    def _rectangles(self, tiles: set[Tile]) -> Iterator[rfb.Rectangle]:
        canvas = self._picture.canvas
        for area in areas(tiles, canvas):
            yield rfb.Rectangle(*area, payload=in_format(canvas.cut(*area), self._tables))

    def _cursor(self) -> Iterator[rfb.Rectangle]:
        """A viewer that draws the pointer itself is told its shape once; the others do without."""
        if self._cursor_owed:
            self._cursor_owed = False
            yield cursor_rectangle(self._tables)


class Viewers(protocol.ServerFactory):
    """All viewers, and the ticking that goes on while there is one.

    :param second_of_day: asked at each frame.
    """

    noisy = False

    def __init__(self, picture: Picture, reactor: Any, second_of_day: Callable[[], float]) -> None:
        self._picture = picture
        self._second_of_day = second_of_day
        self._viewers: set[Viewer] = set()
        self._connections = 0
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = reactor

    def buildProtocol(self, addr: IAddress | None) -> Viewer | None:  # type: ignore[override]
        """Make a viewer, unless there are :data:`VIEWERS_LIMIT` connections."""
        if self._connections >= VIEWERS_LIMIT:
            return None
        self._connections += 1
        viewer = Viewer(self._picture)
        viewer.factory = self
        return viewer

    def joined(self, viewer: Viewer) -> None:
        """A viewer's handshake is over."""
        self._viewers.add(viewer)
        if not self._ticking.running:
            self._ticking.start(1 / FRAMES_PER_SECOND)

    def left(self, viewer: Viewer) -> None:
        """A connection is gone."""
        self._connections -= 1
        self._viewers.discard(viewer)
        if not self._viewers and self._ticking.running:
            self._ticking.stop()

    def show(self) -> None:
        """Owe what changed in the picture to every viewer."""
        tiles = self._picture.renew()
        if tiles:
            for viewer in tuple(self._viewers):
                viewer.changed(tiles)

    def _tick(self) -> None:
        self._picture.show_time(self._second_of_day())
        self.show()


def local_second_of_day() -> float:
    """Give the seconds since midnight by the wall clock, local time."""
    now = time.time()
    local = time.localtime(now)
    return local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec + now % 1


@frozen
class Arguments:
    """The command line, checked: either ``socket`` or ``host`` and ``port``; the size in pixels."""

    socket: str | None
    host: str
    port: int | None
    size: tuple[int, int]


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Read the command line.

    :raises SystemExit: with status 2, after a message on stderr, where something is wrong with it.
    """
    parser = argparse.ArgumentParser(prog="python -m sessiond.demo.clock", description="A clock to see by RFB.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=socket_path, metavar="PATH", help="listen on a UNIX socket, mode 0600")
    where.add_argument("--port", type=port, metavar="N", help="listen on this TCP port; 0 takes any")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address of --port (%(default)s)")
    parser.add_argument("--size", type=size, default=(480, 360), metavar="WxH", help="pixels (480x360)")
    return Arguments(**vars(parser.parse_args(argv)))


def listen(arguments: Arguments, reactor: Any, factory: protocol.ServerFactory) -> IListeningPort:
    """Listen where the command line says.

    :raises CannotListenError: the place is taken or may not be used.
    """
    if arguments.socket is None:
        listening: IListeningPort = reactor.listenTCP(arguments.port, factory, interface=arguments.host)
        return listening
    before = os.umask(0o177)  # Twisted sets the mode after bind: until then others could connect
    try:
        listening = reactor.listenUNIX(arguments.socket, factory, mode=0o600)
    finally:
        os.umask(before)
    return listening


def main(argv: Sequence[str]) -> int:
    """Serve until TERM or INT; the reactor closes the port then, which removes the socket's file."""
    arguments = parse_arguments(argv)
    from twisted.internet import reactor  # noqa: PLC0415 - importing it installs it: not at module level

    viewers = Viewers(Picture(*arguments.size), reactor, local_second_of_day)
    try:
        place = listen(arguments, reactor, viewers).getHost()
    except error.CannotListenError as failure:
        sys.stderr.write(f"cannot listen: {failure.socketError}\n")
        return 1
    where = f"{place.host}:{place.port}" if isinstance(place, IPv4Address | IPv6Address) else arguments.socket
    sys.stdout.write(f"listening on {where}\n")
    sys.stdout.flush()
    reactor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
