"""What a service's script is made of: a class that starts and stops the service at a slot.

It is imported into the operator's own process, so it imports nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class RemoteServiceScript:
    """Starts and stops one service; a script derives its own class from this one.

    The script's file makes an instance at module level, or leaves that to the daemon. Each running slot has a process
    and an instance of its own; they share nothing. Calls may block, and never overlap within one process.

    :param common_options: what the service's configuration has as ``common_options``, unchanged; kept as
        ``_common_options``. Where the script makes the instance without any, they are put there before ``start``.
    """

    def __init__(self, common_options: Any = None) -> None:
        self._common_options = common_options

    def start(self, index: int, options: Mapping[str, str]) -> tuple[str, int]:
        """Start the service, and say where it listens or soon will.

        :param index: the slot, from 0 up to the pool's count less one: what keeps ports and displays apart.
        :param options: what the client chose, each a text. It is a stranger's: never give it to a shell.
        :returns: host and port. Clients are carried there as soon as it listens.
        """
        raise NotImplementedError(f"{type(self).__name__} has no start()")

    def stop(self, index: int) -> None:
        """Stop what ``start`` has started. Must do no harm a second time, or after a start that failed."""
        raise NotImplementedError(f"{type(self).__name__} has no stop()")
