"""Reads the services and their pools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import evolve, frozen

from sessiond.config.limits import read_limits
from sessiond.config.programs import read_program
from sessiond.config.scripts import OF_SCRIPTS, read_script
from sessiond.config.table import Table, boolean, list_of, matching, name, one_of, sessions, text, whole
from sessiond.config.units import Unfit
from sessiond.config.values import ApiToken
from sessiond.core.services import Caps, Catalogue, FixedTarget, Plan, Pool, Service
from sessiond.core.values import Clients, Kind, Watch

MOST_SLOTS = 10_000
MOST_QUEUED = 10_000
OF_PROGRAMS = (
    *("command", "launch", "ready", "options", "endpoint", "ports", "displays", "env", "pass_env", "directory"),
    *("user", "user_group", "rlimits", "output", "output_folder", "stop", "warm", "needs", "framing", "frames"),
    *OF_SCRIPTS,
)
"""Keys that mean nothing where there is no program to start."""

PROGRAM = matching(r"[^/\0\s]+|/[^\0]*", "the name of a program or its absolute path")


@frozen
class Offer:
    """A service as it stands in the configuration.

    :ivar count: how many slots its own pool has; ``None`` where it shares one.
    :ivar needs: the programs that it can't do without.
    """

    service: Service
    count: int | None
    needs: tuple[str, ...]


def read_catalogue(
    root: Table, folder: Path, tokens: Iterable[ApiToken] = ()
) -> tuple[Catalogue, dict[str, tuple[str, ...]]]:
    """Read ``[pools]``, ``[services]`` and ``[admission]``; give also the programs that each service needs.

    :param folder: what relative folders begin at.
    """
    pools = {pool: _read_pool(pool, table) for pool, table in root.tables("pools")}
    services: dict[str, Service] = {}
    needs: dict[str, tuple[str, ...]] = {}
    for service_name, table in root.tables("services"):
        offer = _read_service(service_name, table, folder)
        _place(offer, table, pools)
        services[service_name] = offer.service
        needs[service_name] = offer.needs
    return Catalogue(services, pools, read_caps(root, services, tokens)), needs


def read_caps(root: Table, services: Mapping[str, Service], tokens: Iterable[ApiToken]) -> Caps:
    """Read ``[admission]``, and take the numbers that tokens have of their own."""
    table, usual = root.table("admission"), Caps()
    caps = Caps(
        sessions=table.read("sessions", sessions, usual.sessions),
        per_owner=table.read("per_owner", sessions, usual.per_owner),
        queue=table.read("queue", whole(1, MOST_QUEUED), usual.queue),
        owners={token.name: token.per_owner for token in tokens if token.per_owner is not None},
    )
    table.done()
    warm = sum(service.warm for service in services.values())
    if caps.sessions is not None and warm > caps.sessions:
        table.fault("sessions", f"is less than the services keep warm ({warm})")
    return caps


def _read_pool(pool: str, table: Table) -> Pool:
    _check_name(pool, table)
    count = table.need("count", whole(1, MOST_SLOTS), 1)
    table.done()
    return Pool(pool, count)


def _check_name(value: str, table: Table) -> None:
    try:
        name(value)
    except Unfit as unfit:
        table.fault("", str(unfit))


def _place(offer: Offer, table: Table, pools: dict[str, Pool]) -> None:
    """Give the service its pool, and see that the pool can serve it."""
    service = offer.service
    if offer.count is not None:
        if service.name in pools:
            table.fault("count", f"there is a pool {service.name!r} already: name it as pool")
        pools.setdefault(service.name, Pool(service.name, offer.count))
    elif service.pool not in pools:
        if "pool" in table and "count" not in table:
            table.fault("pool", f"there is no pool {service.pool!r}")
        return
    count = pools[service.pool].count
    for kind in service.plan.leases:
        if len(service.candidates(kind)) < count:
            table.fault(f"{kind.value}s", f"holds fewer numbers than the pool has slots ({count})")
    if service.warm > count:
        table.fault("warm", f"is more than the pool has slots ({count})")


def _read_service(service_name: str, table: Table, folder: Path) -> Offer:
    _check_name(service_name, table)
    launcher = table.need("launcher", _launcher, "process")
    service = Service(
        name=service_name,
        kind=table.need("kind", one_of(Kind), Kind.TCP),
        launcher=launcher,
        title=table.read("title", text, ""),
        group=table.read("group", text, None),
        pool=_read_pool_name(service_name, table),
        per_owner=table.read("per_owner", sessions, None),
    )
    count = table.read("count", whole(1, MOST_SLOTS), None)
    plan = Plan(
        limits=read_limits(table),
        clients=table.read("clients", _clients, 1),
        watch=table.read("watch", one_of(Watch), Watch.TUNNEL),
        queueing=table.read("queueing", boolean, False),
    )
    if plan.watch is Watch.CHILD:
        table.table("limits").refuse(("connect", "linger"), 'is off with watch = "child"')
    if launcher == "fixed":
        table.refuse(OF_PROGRAMS, 'has no meaning with launcher = "fixed"')
        service = _read_fixed(evolve(service, plan=plan), table)
        return Offer(service, count, ())
    table.refuse(("target",), f'has no meaning with launcher = "{launcher}"')
    read = read_script if launcher == "script" else read_program
    service = read(evolve(service, plan=plan), table, folder)
    needs = table.read("needs", list_of(PROGRAM), ())
    table.done()
    return Offer(service, count, needs)


def _launcher(value: object) -> str:
    if value not in ("process", "script", "fixed"):
        raise Unfit("one of process, script, fixed is needed")
    return str(value)


def _read_pool_name(service_name: str, table: Table) -> str:
    """Say where the slots come from: the service's own pool has the service's name."""
    shared = table.read("pool", name, service_name)
    if "count" in table and "pool" in table:
        table.fault("count", "contradicts pool: a service has its own slots or shares a pool's")
    if "count" not in table and "pool" not in table:
        table.fault("count", "is needed, or pool")
    return service_name if "count" in table else shared


def _clients(value: object) -> int | Clients:
    for rule in Clients:
        if rule.value == value:
            return rule
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10_000:
        raise Unfit('a whole number from 1, "once" or "takeover" is needed')
    return value


def _read_fixed(service: Service, table: Table) -> Service:
    if service.kind is Kind.MESSAGES:
        table.fault("kind", "messages need a program's own input and output")
    target = table.table("target")
    found = FixedTarget(
        host=target.read("host", text, "127.0.0.1"),
        port=target.read("port", whole(1, 65535), None),
        socket=target.read("socket", _absolute, None),
    )
    if ("port" in target) == ("socket" in target):
        target.fault("", "either host and port, or socket is needed")
    elif "host" in target and "socket" in target:
        target.fault("host", "contradicts socket")
    target.done()
    for key in OF_PROGRAMS:  # refused already, so known
        table.read(key, lambda value: value, None)
    table.done()
    return evolve(service, target=found, endpoint="port" if found.socket is None else "socket")


def _absolute(value: object) -> str:
    if not text(value).startswith("/"):
        raise Unfit("an absolute path is needed")
    return text(value)
