"""Autobahn|Testsuite's fuzzing client against our tunnels (RFC 6455), for both ways to read and write frames.

Text cases go to a service whose messages are text, binary ones to one whose messages are bytes. Compression (12 and 13)
is never negotiated. The large messages (9) are asked with ``SESSIOND_CONFORMANCE=all``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sessiond.core.services import Frames
from tests.certificates import write_certificate
from tests.components.wstest import needs_wstest
from tests.conformance.suite import Echoes, counted, echo, failed, run_suite
from tests.launchers.real import RealBench
from tests.reactor import within

LARGE = os.environ.get("SESSIOND_CONFORMANCE") == "all"
LIMIT_S = 900.0
BINARY = ("1.2.*", *(("9.2.*", "9.4.*", "9.6.*", "9.8.*") if LARGE else ()))
BUT = ("12.*", "13.*", *(() if LARGE else ("9.*",)))
ASKED = 301 if LARGE else 247


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("by_autobahn", [False, True], ids=["frames", "autobahn"])
@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted 26.10 does
@within(LIMIT_S)
async def test_fuzzing_client(tmp_path: Path, by_autobahn: bool, secure: bool) -> None:
    """No case fails."""
    program = needs_wstest()
    runtime = tmp_path / "run"
    runtime.mkdir()
    bench = RealBench(runtime)
    echoes = Echoes(bench, [echo(frames) for frames in Frames], ASKED + 20, by_autobahn)
    await echoes.start()
    try:
        key, chain = write_certificate(tmp_path)
        where = f"ssl:0:privateKey={key}:certKey={chain}" if secure else "tcp:0"
        port = await echoes.listen(f"{where}:interface=127.0.0.1")
        base = f"{'wss' if secure else 'ws'}://127.0.0.1:{port}/tunnel?token="
        limit_s = LIMIT_S / 2 - 30
        text = await run_suite(program, tmp_path / "text", limit_s, f"{base}text", ["*"], [*BUT, *BINARY])
        binary = await run_suite(program, tmp_path / "binary", limit_s, f"{base}binary", BINARY, [])
    finally:
        await echoes.stop()
        await bench.launcher.close()
        bench.reaper.close()
    print(dict(counted(text)), dict(counted(binary)))  # noqa: T201  the counts, for who runs this with -s
    assert failed(text) + failed(binary) == []
    assert len(text) + len(binary) == ASKED
