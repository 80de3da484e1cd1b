"""The fixed launcher's targets; its behaviour is in the contract."""

import pytest

from sessiond.core.events import Gone, Ready, Started
from sessiond.core.services import FixedTarget
from sessiond.core.values import Endpoint, StopStep, Tcp, Unix
from sessiond.launchers.fixed import FixedLauncher, endpoint_of
from tests.contracts.launcher import Told, make_service, session_named


@pytest.mark.parametrize(
    ("target", "endpoint"),
    [
        (FixedTarget(port=5900), Tcp("127.0.0.1", 5900)),
        (FixedTarget(host="10.0.0.1", port=1), Tcp("10.0.0.1", 1)),
        (FixedTarget(socket="/run/a.sock"), Unix("/run/a.sock")),
        (FixedTarget(), None),
        (None, None),
    ],
)
def test_targets(target: FixedTarget | None, endpoint: Endpoint | None) -> None:
    """A target is a socket, else a port, else nothing."""
    assert endpoint_of(target) == endpoint


def test_all_at_once() -> None:
    """Everything is told without any time passing."""
    told = Told()
    child = FixedLauncher().launch(session_named("demo-1"), make_service(target=FixedTarget(port=1)), told)
    child.halt(StopStep.ASK)
    assert told.events == [Started(None), Ready(Tcp("127.0.0.1", 1)), Gone()]
