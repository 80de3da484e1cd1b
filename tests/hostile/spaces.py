"""Two network namespaces with a link between them, on which packets can be made to vanish. They are gone afterwards."""

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from attrs import frozen

from tests.components import lack, needs

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
NEAR, FAR = "192.0.2.1", "192.0.2.2"
"""Addresses for documentation (RFC 5737): nobody has them."""


@frozen
class Space:
    """A network namespace."""

    name: str

    @property
    def before(self) -> tuple[str, ...]:
        """Give the words that start a program in it."""
        return ("ip", "netns", "exec", self.name)

    def ip(self, *words: str) -> None:
        """Set something up in it, by the program of that name."""
        _ip("-n", self.name, *words)

    def call(self, function: Callable[[], T]) -> T:
        """Call something in it; a socket that this makes belongs to it for good."""
        with ThreadPoolExecutor(1, initializer=self._enter) as thread:
            return thread.submit(function).result()

    def _enter(self) -> None:
        """Take the present thread, and no other, into it (setns(2)); Python has a call for that from 3.12 on."""
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(there, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(there)


@frozen
class Spaces:
    """Two that are linked: the daemon is near."""

    near: Space
    far: Space

    def part(self) -> None:
        """Have every packet between them vanish from now on, without a word to either."""
        for space in (self.near, self.far):
            space.ip("neigh", "flush", "dev", "veth")
            other = FAR if space is self.near else NEAR
            space.ip("neigh", "replace", other, "lladdr", "02:00:00:00:00:99", "dev", "veth", "nud", "permanent")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=30)


@contextmanager
def linked() -> Iterator[Spaces]:
    """Make them; the running test is skipped where that is not allowed."""
    needs("ip")
    near, far = (Space(f"sessiond-{os.getpid()}-{side}") for side in ("near", "far"))
    try:
        try:
            for space in (near, far):
                _ip("netns", "add", space.name)
            _ip("link", "add", "veth", "netns", near.name, "type", "veth", "peer", "name", "veth", "netns", far.name)
        except subprocess.CalledProcessError as error:
            lack(f"no network namespaces: {error.stderr.decode().strip()}")
        for space, address in ((near, NEAR), (far, FAR)):
            space.ip("addr", "add", f"{address}/30", "dev", "veth")
            space.ip("link", "set", "veth", "up")
            space.ip("link", "set", "lo", "up")
        yield Spaces(near, far)
    finally:
        for space in (near, far):
            subprocess.run(["ip", "netns", "del", space.name], check=False, capture_output=True, timeout=30)
