"""No process of a session outlives it: not one that forked twice into a session of its own, nor one without marks.

What a launcher does for that is held below ``tests/launchers``, after a ``kill -9`` of the daemon too.
"""

import pytest

from tests.e2e.places import Place
from tests.e2e.running import launched_below, running
from tests.e2e.services import LAUNCHERS, echo, serves_on, service


@pytest.mark.parametrize("how", ["stay", "leave", "clean", "hop"])
def test_forks_away(place: Place, how: str) -> None:
    """Whatever a program leaves behind under other names and parents goes with its session."""
    forks = service(
        *("forks", LAUNCHERS / "fork_away.py", how, "${socket}"),
        ready="line:forked away",
        stop=["term 500ms", "kill 5s"],
    )
    with running(place.configure(forks + echo(place))) as daemon:
        daemon.ready()
        made = daemon.order("forks")
        if how == "stay":
            assert made.status == 201, made
            assert len(launched_below(place.folder)) == 4
            assert daemon.release(made.json["id"]).status == 200
            assert daemon.ended(made.json["id"])["reason"] == "released"
        else:
            # It ends by itself, right behind its ready line: either may be seen first.
            session = daemon.ended(made.json.get("id") or made.json["session"])
            assert session["reason"] in ("exited", "launch-failed")
            assert session["exit"] == {"code": 0, "signal": None}
        assert launched_below(place.folder) == []
        serves_on(daemon)
