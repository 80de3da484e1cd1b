"""``python -m sessiond.rpc MODULE:CLASS``: serve one application until nobody wants it any more."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

REACTORS = ("asyncio", "epoll")
KNOWN_TO_ALL = "wslink-secret"
"""What clients say as their secret that were told none."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class UsageError(Exception):
    """The command line makes no sense; the text says why."""


def arguments() -> argparse.ArgumentParser:
    """Make the command line: wslink's, as far as it means something here."""
    parser = argparse.ArgumentParser("python -m sessiond.rpc", description=__doc__, add_help=False)
    parser.add_argument("application", metavar="MODULE:CLASS", help="the application; a path may stand for its module")
    parser.add_argument("--help", action="help", help="tell this, and end")
    parser.add_argument("-i", "--host", default="localhost", help="where it listens (localhost)")
    parser.add_argument("-p", "--port", type=int, default=8080, help="on which port (8080)")
    parser.add_argument("-a", "--authKey", default=None, help="the secret of its clients; without it AUTH_KEY is read")
    parser.add_argument(
        "--default-secret", action="store_true", help="take the one that everybody knows; loopback only"
    )
    parser.add_argument("-t", "--timeout", type=float, default=300.0, help="end after so many seconds alone; 0: never")
    parser.add_argument("--ws-endpoint", default="ws", help="taken for launchers' sake: every path will do")
    parser.add_argument("-c", "--content", default="", help="a folder of pages")
    parser.add_argument("-d", "--debug", action="store_true", help="show clients where methods failed")
    parser.add_argument("--auth-max-bytes", type=int, default=512, help="how long a hello may be (512)")
    parser.add_argument("--origin", action="append", default=[], help="of pages that may connect; without any, all may")
    parser.add_argument("--sslKey", default="", help="a private key, with --sslCert")
    parser.add_argument("--sslCert", default="", help="its certificate")
    parser.add_argument("--reactor", choices=REACTORS, default="asyncio", help="asyncio, unless epoll is asked for")
    return parser


def secret_of(given: argparse.Namespace, usual: str) -> str:
    """Say what clients must know.

    :param usual: the application's own.
    :raises UsageError: nothing was said, or what everybody knows was not asked for.
    """
    said = given.authKey or os.environ.pop("AUTH_KEY", "") or usual
    if given.default_secret:
        if given.host not in LOOPBACK:
            raise UsageError("--default-secret: only on loopback, since everybody knows it")
        return said or KNOWN_TO_ALL
    if not said or said == KNOWN_TO_ALL:
        raise UsageError("a secret is needed, by --authKey or AUTH_KEY, or --default-secret for what everybody knows")
    return str(said)


def endpoint_of(given: argparse.Namespace) -> str:
    """Write where it listens, as Twisted names it.

    :raises UsageError: a key has no certificate, or the other way round.
    """
    host = "127.0.0.1" if given.host == "localhost" else given.host
    where = f"{given.port}:interface={host.replace(':', chr(92) + ':')}"
    if bool(given.sslKey) != bool(given.sslCert):
        raise UsageError("--sslKey and --sslCert are needed together")
    return f"ssl:{where}:privateKey={given.sslKey}:certKey={given.sslCert}" if given.sslKey else f"tcp:{where}"


def main(words: list[str] | None = None) -> int:
    """Serve; give the status that the program ends with."""
    from twisted.internet import asyncioreactor, epollreactor

    words = sys.argv[1:] if words is None else words
    parser = arguments()
    known, _ = parser.parse_known_args(words)
    install: Callable[[], object] = epollreactor.install if known.reactor == "epoll" else asyncioreactor.install
    install()
    # What it imports may import the reactor: that was chosen just now.
    from sessiond.rpc.finding import Unusable, class_of

    try:
        return _serve(parser, words, class_of(known.application))
    except (Unusable, UsageError) as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2


def _serve(parser: argparse.ArgumentParser, words: list[str], found: Any) -> int:
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.logger import globalLogBeginner, textFileLogObserver
    from twisted.python.failure import Failure

    from sessiond.rpc.finding import made
    from sessiond.rpc.serving import Serving, Settings

    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    if hasattr(found, "add_arguments"):
        found.add_arguments(parser)
    given = parser.parse_args(words)
    if hasattr(found, "configure"):
        found.configure(given)
    application = made(found)
    settings = Settings(
        endpoint_of(given),
        secret_of(given, application.authKey),
        given.timeout,
        given.content,
        given.debug,
        given.auth_max_bytes,
        tuple(given.origin),
    )
    status = 0

    def failed(failure: Failure) -> None:
        nonlocal status
        sys.stderr.write(f"{parser.prog}: {failure.getErrorMessage()}\n")
        status = 1
        reactor.stop()

    serving = Serving(reactor, application, settings)
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(serving.start()).addErrback(failed))
    reactor.run()
    return status


if __name__ == "__main__":
    sys.exit(main())
