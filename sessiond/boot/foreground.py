"""Runs the daemon as twistd would, for command lines that other programs' users know."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NoReturn, TextIO

from twisted.logger import (
    FilteringLogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure

from sessiond.boot.daemon import Daemon, prepare
from sessiond.boot.listening import ListenError
from sessiond.config import Config

REFUSED, PORT_TAKEN, FAILED = 2, 3, 1
"""Exit statuses: for what can't be, for a port that is taken, for any other start that failed."""


def run(config: Config, log_to: TextIO, name: str, warnings: Sequence[str] = (), *, verbose: bool = False) -> NoReturn:
    """Run the daemon until it is stopped, and end the process.

    :param name: of the command, for its own lines in the log.
    :param warnings: what is to be logged first.
    """
    from twisted.internet import reactor as installed  # noqa: PLC0415 - none is needed to refuse an option

    reactor: Any = installed
    prepare(config, reactor)
    level = LogLevel.debug if verbose else LogLevel.info
    observer: Any = FilteringLogObserver(textFileLogObserver(log_to), [LogLevelFilterPredicate(level)])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    log = Logger(namespace=name)
    for line in warnings:
        log.warn("{line}", line=line)
    daemon = Daemon(reactor, config, os.environ, status_of)
    daemon.startService()
    reactor.addSystemEventTrigger("before", "shutdown", daemon.stopService)
    reactor.run()
    log_to.flush()
    raise SystemExit(0)


def status_of(failure: Failure) -> int:
    """Give the exit status of a start that has failed."""
    return PORT_TAKEN if failure.check(ListenError) else FAILED
