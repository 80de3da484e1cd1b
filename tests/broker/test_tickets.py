"""Tickets for sessions: they open what the session's token opens, and nothing once it does not."""

from __future__ import annotations

import pytest

from sessiond.broker import Issued, Reservation
from sessiond.core.errors import Code, Refused
from sessiond.core.events import Release
from sessiond.core.tickets import LIFETIME_S
from sessiond.core.values import State
from tests.broker.world import WARM, World


def reserved(world: World, name: str = "plain", **more: str) -> Reservation:
    """Make a session and let it become ready."""
    made = world.reserve(name, **more).reservation
    world.advance(0.0)
    assert made is not None
    return made


def ticket_for(world: World, made: Reservation) -> Issued:
    """Ask for a ticket for a session as it stands now."""
    return world.broker.issue_ticket(world.broker.session(made.session.id), "ada")


def opens_nothing(world: World, ticket: str) -> bool:
    """Hold that a ticket is refused, in the words that say least."""
    with pytest.raises(Refused) as refused:
        world.broker.by_ticket(ticket)
    return (refused.value.code, refused.value.detail) == (Code.UNAUTHENTICATED, "")


def test_opens_its_session_once() -> None:
    """A ticket gives its own session, once."""
    world = World()
    made, other = reserved(world), reserved(world)
    issued = ticket_for(world, made)
    assert (issued.expires_at - world.now, issued.expires_in_s) == (LIFETIME_S, LIFETIME_S)
    assert issued.ticket not in (made.token, other.token)
    assert issued.ticket not in repr(issued)
    assert world.broker.by_ticket(issued.ticket).id == made.session.id
    assert opens_nothing(world, issued.ticket)


def test_opens_nothing_later() -> None:
    """After its time a ticket opens nothing, though its session is there."""
    world = World()
    made = reserved(world)
    issued = ticket_for(world, made)
    world.advance(LIFETIME_S / 2)
    late = ticket_for(world, made)
    world.tunnel(made.session.id)
    world.advance(LIFETIME_S / 2)
    assert opens_nothing(world, issued.ticket)
    assert world.broker.by_ticket(late.ticket).id == made.session.id


def test_token_is_no_ticket() -> None:
    """Neither secret is taken for the other."""
    world = World()
    made = reserved(world)
    assert opens_nothing(world, made.token)
    with pytest.raises(Refused):
        world.broker.by_token(ticket_for(world, made).ticket)


def test_ends_with_the_session() -> None:
    """The tickets of a session that has ended are dropped, others stay."""
    world = World()
    made, other = reserved(world), reserved(world)
    issued, kept = [ticket_for(world, made) for _ in range(3)], ticket_for(world, other)
    world.broker.dispatch(made.session.id, Release())
    world.advance(0.0)
    assert world.state(made.session.id) is State.ENDED
    assert len(world.broker._tickets) == 1
    assert all(opens_nothing(world, one.ticket) for one in issued)
    assert world.broker.by_ticket(kept.ticket).id == other.session.id


def test_ends_with_the_token() -> None:
    """A repeated request makes the old token void, and the tickets that stood for it."""
    world = World()
    made = reserved(world, key="order", owner="ada")
    old = ticket_for(world, made)
    again = reserved(world, key="order", owner="ada")
    assert again.session.id == made.session.id
    assert opens_nothing(world, old.ticket)
    assert world.broker.by_ticket(ticket_for(world, again).ticket).id == made.session.id


def test_none_for_what_opens_nothing() -> None:
    """A session that is being ended, has ended, or waits for its user has no tickets."""
    world = World(services=(WARM,))
    world.advance(0.0)
    [waiting] = world.broker.sessions()
    made = reserved(world, "warm", owner="ada")
    with pytest.raises(Refused) as unclaimed:
        world.broker.issue_ticket(waiting, "")
    world.broker.dispatch(made.session.id, Release())
    for state in (State.STOPPING, State.ENDED):
        assert world.state(made.session.id) is state
        with pytest.raises(Refused) as over:
            ticket_for(world, made)
        assert over.value.code is unclaimed.value.code is Code.NOT_ACCEPTING
        world.advance(0.0)


def test_claim_under_way() -> None:
    """Who saw a warm session before it had its user gets no ticket for the token that it is being given."""
    world = World(services=(WARM,))
    world.advance(0.0)
    [waiting] = world.broker.sessions()
    world.store.slow = True
    world.reserve("warm", owner="ada")
    assert world.broker.session(waiting.id).owner == ""
    with pytest.raises(Refused) as refused:
        world.broker.issue_ticket(world.broker.session(waiting.id), "")
    assert refused.value.code is Code.NOT_ACCEPTING
    world.store.slow = False


def test_restart() -> None:
    """A daemon that starts again knows the tokens and no tickets."""
    world = World()
    made = reserved(world, "lazy")
    issued = ticket_for(world, made)
    world.kill()
    world.start()
    world.advance(0.0)
    assert world.broker.by_token(made.token).id == made.session.id
    assert opens_nothing(world, issued.ticket)
