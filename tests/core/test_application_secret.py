"""What a client and its program share: made of the child's secret, and gone with it."""

from attrs import evolve

from sessiond.core.services import Service
from sessiond.core.values import Kind
from tests.core.sessions import blank


def test_made_of_the_childs() -> None:
    """It is the same each time, another for each session, and neither of the two follows from the other."""
    one, other = evolve(blank(), child_secret="one"), evolve(blank(), child_secret="other")
    assert one.application_secret == evolve(one, version=9).application_secret != other.application_secret
    assert len(one.application_secret) == 32
    assert "one" not in one.application_secret
    assert evolve(one, child_secret="").application_secret == ""


def test_who_shares_one() -> None:
    """A service shares it whose programs are given it, wherever that stands."""
    plain = Service("app", Kind.WEBSOCKET, "process", command=("app", "${port}"))
    assert not plain.shares_secret
    assert evolve(plain, command=("app", ("--key=${secret}", "${options.x}"))).shares_secret
    assert evolve(plain, env={"KEY": "${secret}"}).shares_secret
    assert not evolve(plain, command=("app", "$${secret}")).shares_secret
