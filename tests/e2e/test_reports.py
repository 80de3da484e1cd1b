"""A real program reports to the child listener of a real daemon: it is ready, and it ends."""

from pathlib import Path

from sessiond.launchers.procfs import variable_of
from tests.daemon import free_port
from tests.e2e.places import Place
from tests.e2e.running import launched_below, running, until
from tests.e2e.wire import Tunnel

PROGRAM = Path(__file__).parent / "programs" / "reporting.py"
CONFIG = """
[listeners.child]
endpoint = "tcp:{port}:interface=127.0.0.1"
serves = ["child"]
[services.viewer]
kind = "tcp"
launcher = "process"
command = ["${{python}}", "{program}", "${{port}}", "${{liveliness}}", "${{id}}"]
ports = "{first}-{last}"
ready = "report"
count = 1
limits = {{ launch = "60s", liveliness = "1h" }}
stop = ["drain 60s", "term 5s", "kill 5s"]
"""


def test_reports(place: Place) -> None:
    """The caller who waits is answered by the report, and the end that it announces has a clean exit."""
    first, last = place.ports
    config = CONFIG.format(port=free_port(), program=PROGRAM, first=first, last=last)
    with running(place.configure(config)) as daemon:
        daemon.ready()
        made = daemon.order("viewer")
        assert (made.status, made.json["state"]) == (201, "ready")
        [program] = launched_below(place.folder)
        secret = variable_of(program.pid, "SESSIOND_SECRET")
        told = daemon.session(made.json["id"])
        assert told["reported_at"] is not None
        with Tunnel(made.json["tunnel_url"]):
            until(lambda: daemon.session(made.json["id"])["state"] == "connected", "the client is counted")
        over = daemon.ended(made.json["id"])
        assert (over["reason"], over["exit"]["code"]) == ("finished", 0)
        assert f"POST /[hidden]//{over['id']}/ 204" in daemon.text
        assert secret
        assert secret not in daemon.text
