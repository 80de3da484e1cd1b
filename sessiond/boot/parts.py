"""Makes the daemon's parts out of its configuration and joins them; nothing runs yet."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from sessiond.boot.exchange import Exchange, feeds_of
from sessiond.boot.instance import Instance, private, private_below
from sessiond.broker import Broker, Tickets
from sessiond.bus.local import LocalBus
from sessiond.bus.topics import Feed as Topic
from sessiond.bus.topics import Topics, Viewer
from sessiond.clock import SteadyClock
from sessiond.config import Config, Face, FeedSource, StoreKind
from sessiond.core.errors import Refused
from sessiond.core.services import Catalogue, Service
from sessiond.core.session import Session
from sessiond.core.values import LeaseKind
from sessiond.dialects.genius2 import Genius2Faces
from sessiond.dialects.hoops import HoopsFaces
from sessiond.dialects.nexus import NexusFaces
from sessiond.dialects.wslink import WslinkFaces
from sessiond.entropy import SystemEntropy
from sessiond.launchers.fixed import FixedLauncher
from sessiond.launchers.leases import LeaseTester, ephemeral_ports
from sessiond.launchers.process import ProcessLauncher
from sessiond.launchers.reaping import Reaper
from sessiond.launchers.script import ScriptLauncher
from sessiond.launchers.sockets import SocketTable
from sessiond.meters import Meters, Traffic
from sessiond.ports import Launcher, Store
from sessiond.site import Sources
from sessiond.stores.memory import MemoryStore
from sessiond.stores.sqlite import SqliteStore
from sessiond.web.access import Access
from sessiond.web.api_feeds import Feeds
from sessiond.web.proxy import Ways
from sessiond.web.visits import Visits
from sessiond.ws.bulletin import Bulletins
from sessiond.ws.feed import Feed
from sessiond.ws.rpc.own import OwnLinks
from sessiond.ws.sessions import Pages
from sessiond.ws.tunnels import Tunnels

STORE_NAME = "sessions.sqlite"

log = Logger()


@frozen
class Parts:
    """What a daemon consists of, joined and not yet running."""

    broker: Broker
    tunnels: Tunnels
    meters: Meters
    sources: Sources
    programs: ProcessLauncher
    launcher_of: Callable[[Instance], ProcessLauncher]
    reaper: Reaper
    table: SocketTable
    rpc: OwnLinks
    topics: Topics
    feed: Feed
    exchange: Exchange

    async def reclaim(self, instance: Instance) -> None:
        """End the programs that another instance has left, and delete their folders.

        :param instance: locked, so that no daemon has it.
        """
        left = self.launcher_of(instance)
        try:
            await left.reclaim_strays(())
            left.sweep_runtime(())
        finally:
            await left.close()

    def start(self) -> None:
        """Begin what goes on while the daemon runs, once the broker has found what was there."""
        self.meters.start()
        beginning = Deferred.fromCoroutine(self.topics.begin())
        beginning.addErrback(lambda failure: log.failure("the history of facts can't be read", failure))
        if self.sources.genius2 is not None:
            self.sources.genius2.start()
        if self.sources.wslink is not None:
            self.sources.wslink.start()

    def stop(self) -> None:
        """Look for nothing new any more, and let those go who only call."""
        self.rpc.close()
        self.feed.close()
        if self.sources.genius2 is not None:
            self.sources.genius2.stop()
        if self.sources.wslink is not None:
            self.sources.wslink.stop()

    async def close(self) -> None:
        """Let go of what the broker does not know of."""
        self.meters.stop()
        self.reaper.close()
        self.table.close()


def assemble(
    reactor: Any,
    config: Config,
    instance: Instance,
    environment: Mapping[str, str],
    liveliness: Callable[[Session], str],
    shutdown: Callable[[], object] = lambda: None,
) -> Parts:
    """Make the parts.

    :param environment: the daemon's own.
    :param liveliness: gives the URL where a session's program reports.
    :param shutdown: ends the daemon in order.
    :raises sessiond.boot.instance.FolderError: the runtime folder can't be used.
    """
    clock, entropy, bus = SteadyClock(reactor), SystemEntropy(), LocalBus()
    reaper, table = Reaper(reactor), SocketTable()

    def launcher_of(whose: Instance) -> ProcessLauncher:
        folder = private_below(private(config.runtime_dir), str(whose.number))
        return ProcessLauncher(
            reactor,
            clock,
            folder,
            reaper,
            instance=whose.name,
            liveliness=liveliness,
            nonce=entropy.nonce,
            environ=environment,
        )

    programs = launcher_of(instance)
    store = _store(config.store, instance.folder, reactor, entropy.nonce())
    launchers: dict[str, Launcher] = {
        "process": programs,
        "script": ScriptLauncher(programs, clock, entropy.nonce),
        "fixed": FixedLauncher(),
    }
    catalogue = offered(config.catalogue, config.needs, environment.get("PATH"))
    warn_of_shared_ports(catalogue.services.values(), ephemeral_ports())
    source = f"/sessiond/{instance.number}"
    feeds = feeds_of(config.feeds)
    exchange = Exchange(config.bus, store, bus, source, reactor, clock, entropy, feeds, bus.emit)
    meters = Meters(catalogue.services, clock, lambda: traffic_of(tunnels), exchange.outside)
    broker = Broker(catalogue, store, bus, launchers, LeaseTester(table), entropy, clock, meters.count_refusal)
    access = Access(config.tokens, Tickets(entropy, clock))
    tunnels = Tunnels(broker, access.check_origin, config.tunnel, reactor, clock)
    visits, ways = Visits(broker, entropy, clock), Ways(reactor, clock, config.tunnel)
    pages = Pages(broker, tunnels, visits, ways)
    bus.subscribe(meters.hear)
    opening = next((listener for listener in config.listeners if Face.TUNNEL in listener.serves), None)
    nexus = None
    if config.nexus is not None:
        nexus = NexusFaces(config.nexus, broker, tunnels.greeting, shutdown)
        bus.subscribe(nexus.hear)
    genius2 = None
    if config.genius2 is not None:
        bulletins = Bulletins(config.tunnel, reactor, clock)
        shelf = store.shelf("genius2")
        genius2 = Genius2Faces(config.genius2, broker, tunnels.greeting, bulletins, instance.folder, shelf)
        bus.subscribe(genius2.hear)
    hoops = None
    if config.hoops is not None:
        hoops = HoopsFaces(config.hoops, broker, access, tunnels.entrance, entropy.uuid, shutdown)
        bus.subscribe(hoops.hear)
    wslink = None
    if config.wslink is not None:
        wslink = WslinkFaces(config.wslink, broker, tunnels.entrance, visits, ways, entropy, reactor)
        bus.subscribe(wslink.hear)
    rpc = OwnLinks(broker, access, reactor)
    bus.subscribe(rpc.hear)
    topics = Topics(store, source, map(feed_of, config.feeds), unowned(broker))
    bus.subscribe(topics.hear)
    bus.listen(topics.came)
    feed = Feed(topics, access, reactor, clock)
    sources = Sources(
        *(broker, access, meters, config.static, tunnels.resource, opening, nexus, genius2, hoops),
        sessions=pages.resource,
        rpc=rpc.resource,
        wslink=wslink,
        events=feed.resource,
        feeds=lambda face: Feeds(topics, bus, access, face, entropy.uuid),
    )
    return Parts(broker, tunnels, meters, sources, programs, launcher_of, reaper, table, rpc, topics, feed, exchange)


def feed_of(source: FeedSource) -> Topic:
    """Give the topic of a configured feed."""
    return Topic(source.name, source.owner_field, source.group)


def unowned(broker: Broker) -> Callable[[Viewer, str], bool]:
    """Make what says whether a caller whom nobody knows may hear of a session."""

    def may_see(viewer: Viewer, session_id: str) -> bool:
        try:
            session = broker.session(session_id)
        except Refused:  # forgotten already
            return False
        return session.claimed and session.owner == viewer.owner

    return may_see


def traffic_of(tunnels: Tunnels) -> Traffic:
    """Give what all tunnels carry, for the meters."""
    now = tunnels.meters()
    return Traffic(now.open, now.up_bytes, now.down_bytes)


def offered(catalogue: Catalogue, needs: Mapping[str, tuple[str, ...]], path: str | None) -> Catalogue:
    """Leave out the services whose programs are not installed; the log says which.

    :param path: where programs are looked for.
    """
    missing = {name: [p for p in programs if not shutil.which(p, path=path)] for name, programs in needs.items()}
    for name, programs in missing.items():
        if programs:
            log.warn(
                "the service {name} is not offered: {programs} is not installed",
                name=name,
                programs=", ".join(programs),
            )
    return evolve(
        catalogue, services={name: service for name, service in catalogue.services.items() if not missing.get(name)}
    )


def warn_of_shared_ports(services: Iterable[Service], ephemeral: tuple[int, int] | None) -> None:
    """Say which services lease ports that any outgoing connection may be given, too.

    :param ephemeral: the range of those, both ends included; ``None`` if nobody knows.
    """
    for service in services:
        first, last = service.ports
        if ephemeral and LeaseKind.PORT in service.plan.leases and first <= ephemeral[1] and last >= ephemeral[0]:
            log.warn(
                "the service {name} shares ports {first}-{last} with outgoing connections: the kernel takes those from"
                " {low}-{high}",
                name=service.name,
                first=first,
                last=last,
                low=ephemeral[0],
                high=ephemeral[1],
            )


def _store(kind: StoreKind, folder: Path, reactor: Any, epoch: str) -> Store:
    return MemoryStore(epoch=epoch) if kind is StoreKind.MEMORY else SqliteStore(folder / STORE_NAME, reactor)
