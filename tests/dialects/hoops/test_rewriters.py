"""What pages in the field make of endpoints, and which they can't do with (spec 6)."""

import pytest

from tests.dialects.hoops.rewriters import colon_splitting, path_keeping, plain_only, shipped

HOST = "models.example.org"


def test_shipped() -> None:
    """It takes the port, loses the path, and leaves alone what has no port."""
    assert shipped("ws://127.0.0.1:11000", HOST) == f"ws://{HOST}/wsproxy/11000"
    assert shipped("wss://host:11000/session/a/ws?token=b", HOST) == f"wss://{HOST}/wssproxy/11000"
    assert shipped("wss://host/session/a/ws?token=b", HOST) == "wss://host/session/a/ws?token=b"


def test_plain_only() -> None:
    """It throws where the endpoint has no port, or is over TLS."""
    assert plain_only("ws://127.0.0.1:11000/any", HOST) == f"wss://{HOST}/wsproxy/11000"
    for endpoint in ("wss://host:11000", "ws://host/any"):
        with pytest.raises(ValueError, match="no ws"):
            plain_only(endpoint, HOST)


def test_path_keeping() -> None:
    """The path stays."""
    assert path_keeping("ws://127.0.0.1:11000/a?b=c", HOST) == f"ws://{HOST}/wsproxy/11000/a?b=c"
    assert path_keeping("ws://127.0.0.1/a", HOST) == f"ws://{HOST}/wsproxy//a"
    with pytest.raises(ValueError, match="no WebSocket"):
        path_keeping("http://127.0.0.1:11000", HOST)


@pytest.mark.parametrize(
    ("prefix", "path"), [("wssproxy", "/wssproxy/11000/"), ("streaming", "/streaming/11000"), ("ws", "/ws/11000")]
)
def test_colon_splitting(prefix: str, path: str) -> None:
    """It wants exactly three parts between colons."""
    assert colon_splitting("ws://127.0.0.1:11000", HOST, prefix) == f"ws://{HOST}{path}"
    for endpoint in ("ws://host", "ws://[::1]:11000", "ws://host:11000/any"):
        with pytest.raises(ValueError, match="not scheme:host:port"):
            colon_splitting(endpoint, HOST, prefix)
