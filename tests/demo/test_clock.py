"""The demo's clock: in memory, and as a real program."""

import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from sessiond.demo import rfb
from sessiond.demo.clock import NAME, VIEWERS_LIMIT, Viewer, Viewers, local_second_of_day, parse_arguments
from sessiond.demo.face import MARKS
from sessiond.demo.picture import Picture
from tests.demo import viewer as real
from tests.demo.programs import LIMIT_S, outcome, program
from tests.demo.viewer import GREETING, said

WIDTH, HEIGHT = 160, 120
WHOLE = rfb.UpdateRequest(False, 0, 0, WIDTH, HEIGHT)
MORE = rfb.UpdateRequest(True, 0, 0, WIDTH, HEIGHT)
GONE = Failure(ConnectionDone())


class Scene:
    """A clock in memory: its viewers, and a Clock that moves both the hands and the ticking."""

    def __init__(self) -> None:
        self.reactor = Clock()
        self.viewers = Viewers(Picture(WIDTH, HEIGHT), self.reactor, self.reactor.seconds)

    def connect(self, greeting: bytes = GREETING) -> tuple[Viewer, StringTransport]:
        """Connect a viewer that has said its greeting."""
        viewer, transport = self.dial()
        viewer.dataReceived(greeting)
        transport.clear()
        return viewer, transport

    def dial(self) -> tuple[Viewer, StringTransport]:
        """Connect a viewer that has said nothing yet."""
        viewer = self.viewers.buildProtocol(None)
        assert viewer is not None
        transport = StringTransport()
        viewer.makeConnection(transport)
        return viewer, transport


def sizes_of(update: bytes) -> list[tuple[int, ...]]:
    """Give x, y, width, height and encoding of each rectangle of one update in 32-bit pixels."""
    (number,) = struct.unpack_from(">2xH", update)
    found, place = [], 4
    for _ in range(number):
        found.append(struct.unpack_from(">4Hi", update, place))
        _, _, width, height, encoding = found[-1]
        place += 12 + width * height * 4 + (height * -(-width // 8) if encoding == rfb.CURSOR else 0)
    assert place == len(update)
    return found


def test_handshake() -> None:
    """The whole greeting is answered, here in one go."""
    viewer, transport = Scene().dial()
    viewer.dataReceived(GREETING)
    assert transport.value() == (
        rfb.VERSION + b"\x01\x01" + bytes(4) + rfb.server_init(WIDTH, HEIGHT, rfb.NATURAL, NAME)
    )
    viewer.connectionLost(GONE)


def test_old_viewer() -> None:
    """A viewer of RFB 3.3 is told its security type and says nothing about it."""
    viewer, transport = Scene().dial()
    viewer.dataReceived(said(rfb.Version(3)) + said(rfb.ClientInit(shared=False)))
    assert transport.value().startswith(rfb.VERSION + b"\0\0\0\x01" + struct.pack(">HH", WIDTH, HEIGHT))
    viewer.connectionLost(GONE)


def test_only_what_was_asked_for() -> None:
    """Nothing is sent unasked; the first answer is the whole picture, the next only what moved."""
    scene = Scene()
    viewer, transport = scene.connect()
    scene.reactor.advance(1)
    assert transport.value() == b""
    viewer.dataReceived(said(WHOLE))
    assert sum(width * height for _, _, width, height, _ in sizes_of(transport.value())) == WIDTH * HEIGHT
    transport.clear()
    scene.reactor.advance(1)
    assert transport.value() == b""
    viewer.dataReceived(said(MORE))
    moved = sum(width * height for _, _, width, height, _ in sizes_of(transport.value()))
    assert 0 < moved < WIDTH * HEIGHT / 2
    viewer.connectionLost(GONE)


def test_request_waits_for_a_change() -> None:
    """An incremental request is answered when something changes, and once."""
    scene = Scene()
    viewer, transport = scene.connect(GREETING + said(WHOLE))
    viewer.dataReceived(said(MORE))
    assert transport.value() == b""
    scene.reactor.pump([0.2] * 10)
    assert len(sizes_of(transport.value())) > 0
    viewer.connectionLost(GONE)


def test_request_for_an_area() -> None:
    """Only tiles of the area asked for are sent; an area outside the picture is none."""
    scene = Scene()
    viewer, transport = scene.connect(GREETING + said(WHOLE))
    viewer.dataReceived(said(rfb.UpdateRequest(False, 5, 5, 20, 3)))
    assert sizes_of(transport.value()) == [(0, 0, 32, 16, rfb.RAW)]
    transport.clear()
    viewer.dataReceived(said(rfb.UpdateRequest(False, 9000, 0, 20, 3)) + said(rfb.UpdateRequest(False, 0, 0, 0, 0)))
    assert transport.value() == b""
    viewer.connectionLost(GONE)


def test_slow_reader_is_not_written_to() -> None:
    """A paused transport gets nothing, however much is asked and however much changes; then one update."""
    scene = Scene()
    viewer, transport = scene.connect(GREETING + said(WHOLE))
    assert transport.producer is viewer
    assert transport.streaming
    viewer.pauseProducing()
    for _ in range(100):
        viewer.dataReceived(said(WHOLE) * 10 + said(rfb.Pointer(1, 50, 50)))
        scene.reactor.advance(0.2)
    assert transport.value() == b""
    viewer.resumeProducing()
    assert sum(width * height for _, _, width, height, _ in sizes_of(transport.value())) == WIDTH * HEIGHT
    viewer.connectionLost(GONE)


def test_cursor_is_sent_once_for_each_format() -> None:
    """A viewer that draws the pointer is told its shape with the next update, and again in a new format."""
    scene = Scene()
    viewer, transport = scene.connect()

    def cursors() -> int:
        transport.clear()
        viewer.dataReceived(said(WHOLE))
        return sum(encoding == rfb.CURSOR for *_, encoding in sizes_of(transport.value()))

    assert cursors() == 0
    viewer.dataReceived(said(rfb.SetEncodings((rfb.RAW, rfb.CURSOR))))
    assert [cursors(), cursors()] == [1, 0]
    viewer.dataReceived(said(rfb.SetPixelFormat(rfb.PixelFormat(32, 24, True, 255, 255, 255, 16, 8, 0))))
    assert [cursors(), cursors()] == [1, 0]
    viewer.connectionLost(GONE)


def test_small_pixels() -> None:
    """A viewer with 8-bit pixels gets a quarter of the bytes."""
    viewer, transport = Scene().connect()
    viewer.dataReceived(said(rfb.SetPixelFormat(rfb.PixelFormat(8, 8, False, 7, 7, 3, 0, 3, 6))) + said(WHOLE))
    assert WIDTH * HEIGHT < len(transport.value()) < WIDTH * HEIGHT * 1.1
    viewer.connectionLost(GONE)


def test_all_see_what_one_does() -> None:
    """A press of one viewer reaches another that waits."""
    scene = Scene()
    (one, _), (other, transport) = scene.connect(GREETING + said(WHOLE)), scene.connect(GREETING + said(WHOLE))
    other.dataReceived(said(MORE))
    one.dataReceived(said(rfb.Pointer(1, 20, 20)))
    assert bytes(MARKS[0]) in transport.value()
    for viewer in (one, other):
        viewer.connectionLost(GONE)


def test_drag_and_release() -> None:
    """A moving pointer draws while its button is down, and not afterwards; the wheel paints nothing."""
    scene = Scene()
    viewer, transport = scene.connect(GREETING + said(WHOLE))
    viewer.dataReceived(said(rfb.Pointer(2, 20, 20)) + said(rfb.Pointer(2, 60, 20)) + said(MORE))
    assert bytes(MARKS[1]) in transport.value()
    transport.clear()
    viewer.dataReceived(said(MORE) + said(rfb.Pointer(0, 90, 20)) + said(rfb.Pointer(8, 95, 20)))
    assert transport.value() == b""
    viewer.connectionLost(GONE)


def test_fault_ends_the_connection(capsys: pytest.CaptureFixture[str]) -> None:
    """A viewer that talks nonsense is cut off, and stderr says why."""
    viewer, transport = Scene().connect(b"GET / HTTP/1.1\r\n")
    assert transport.disconnected
    assert "none of RFB" in capsys.readouterr().err
    viewer.connectionLost(GONE)


def test_ticking_only_for_viewers() -> None:
    """The clock costs nothing while nobody looks, and starts again for the next viewer."""
    scene = Scene()
    for _ in range(2):
        assert scene.reactor.getDelayedCalls() == []
        viewer, _ = scene.connect()
        assert len(scene.reactor.getDelayedCalls()) == 1
        viewer.connectionLost(GONE)
    assert scene.reactor.getDelayedCalls() == []


def test_connections_are_counted() -> None:
    """Beyond the limit a connection is refused until one is gone."""
    viewers = Scene().viewers
    connected = [viewers.buildProtocol(None) for _ in range(VIEWERS_LIMIT)]
    assert viewers.buildProtocol(None) is None
    assert connected[0] is not None
    connected[0].connectionLost(GONE)
    assert viewers.buildProtocol(None) is not None


def test_time_of_day() -> None:
    """The clock shows a time of day."""
    assert 0 <= local_second_of_day() < 86_402


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "one of the arguments --socket --port is required"),
        (["--socket", "a", "--port", "1"], "not allowed with"),
        (["--port", "65536"], "a port is a number"),
        (["--socket", "a", "--size", "1x1"], "a size is WIDTHxHEIGHT"),
        (["--socket", ""], "1 to 107 bytes"),
        (["--socket", "a", "--colour"], "unrecognized arguments"),
    ],
)
def test_wrong_command_line(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command line ends with status 2 and says what is wrong."""
    with pytest.raises(SystemExit) as ended:
        parse_arguments(argv)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def on_unix_socket(folder: Path) -> tuple[list[str], Callable[[str], socket.socket]]:
    """Give the arguments for a UNIX socket, and how to connect to it."""
    path = str(folder / "clock")

    def connect(_: str) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        return connection

    return ["--socket", path], connect


def on_tcp(_: Path) -> tuple[list[str], Callable[[str], socket.socket]]:
    """Give the arguments for any TCP port, and how to connect to the one that was told."""

    def connect(line: str) -> socket.socket:
        host, _, port = line.removeprefix("listening on ").rpartition(":")
        return socket.create_connection((host, int(port)))

    return ["--port", "0"], connect


@pytest.mark.parametrize("place", [on_unix_socket, on_tcp])
def test_real_clock(tmp_path: Path, place: Callable[[Path], tuple[list[str], Callable[[str], socket.socket]]]) -> None:
    """The program shows itself to a viewer, moves, paints where it is pressed, and ends cleanly on TERM."""
    arguments, connect = place(tmp_path)
    with program("clock", *arguments, "--size", "320x240") as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line.startswith("listening on ")
        viewer = real.Viewer(connect(line))
        try:
            assert (viewer.name, viewer.format) == (NAME, rfb.NATURAL)
            viewer.update(incremental=False)
            before = bytes(viewer.picture.pixels)
            assert viewer.update()
            assert viewer.picture.pixels != before
            viewer.say(rfb.Pointer(1, 100, 80))
            for _ in range(50):
                if viewer.picture.at(100, 80) == MARKS[0]:
                    break
                viewer.update()
            assert viewer.picture.at(100, 80) == MARKS[0]
            assert viewer.picture.at(111, 80) == MARKS[0]
            child.terminate()
            assert child.wait(LIMIT_S) == 0
        finally:
            viewer.close()
    assert list(tmp_path.iterdir()) == []


def test_socket_is_private(tmp_path: Path) -> None:
    """Only the owner may connect to the UNIX socket."""
    path = tmp_path / "clock"
    with program("clock", "--socket", str(path)) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_taken_place(tmp_path: Path) -> None:
    """Where it cannot listen, the program says so and ends with status 1."""
    status, said_on_stderr = outcome("clock", "--socket", str(tmp_path / "no" / "folder"))
    assert status == 1
    assert "cannot listen: " in said_on_stderr
