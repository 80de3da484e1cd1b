"""The command lines of the demo's programs."""

import argparse

import pytest

from sessiond.demo.arguments import port, size, socket_path


def test_good_values() -> None:
    """Values inside the limits are read."""
    assert size("480x360") == (480, 360)
    assert size("1920x1200") == (1920, 1200)
    assert [port("0"), port("65535")] == [0, 65535]
    assert socket_path("/run/s") == "/run/s"


@pytest.mark.parametrize(
    "text", ["", "x", "480", "480x", "x360", "480X360", "480x360x1", "+480x360", "\u0664\u0668\u0660x360"]
)
def test_no_size(text: str) -> None:
    """What is no size is refused with the form that is wanted."""
    with pytest.raises(argparse.ArgumentTypeError, match="WIDTHxHEIGHT"):
        size(text)


@pytest.mark.parametrize("text", ["159x120", "160x119", "1921x1200", "1920x1201", "999999x999999"])
def test_size_outside(text: str) -> None:
    """A size outside the limits is refused with the limits."""
    with pytest.raises(argparse.ArgumentTypeError, match="160x120 to 1920x1200"):
        size(text)


@pytest.mark.parametrize("text", ["", "-1", "65536", "http", "1.5", "\u0665"])
def test_no_port(text: str) -> None:
    """What is no port is refused."""
    with pytest.raises(argparse.ArgumentTypeError, match="0 to 65535"):
        port(text)


@pytest.mark.parametrize("text", ["", "/" + "s" * 107, "/" + "é" * 54])
def test_no_socket_path(text: str) -> None:
    """A path that the kernel would not take is refused before anything starts; its limit counts bytes."""
    with pytest.raises(argparse.ArgumentTypeError, match="107 bytes"):
        socket_path(text)
