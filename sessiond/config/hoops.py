"""Reads the HOOPS dialect's part: which services it spawns, and how viewers are let in."""

from __future__ import annotations

from sessiond.config.dialects import EndpointForm, FailureStatus, Hoops, PortGuard, Rendering, SpawnAccess
from sessiond.config.table import Table, boolean, list_of, matching, one_of, text
from sessiond.config.values import Face, Listener
from sessiond.core.services import Catalogue, Folders, Service
from sessiond.core.values import Clients, Kind, LeaseKind, Watch

PATH = matching(r"(/[A-Za-z0-9._-]+)+", 'a path such as "/viewer", without a slash at its end,')
PREFIX = matching(r"[A-Za-z0-9][A-Za-z0-9._-]*", 'one word of a path, such as "wsproxy",')


def read_hoops(dialects: Table, catalogue: Catalogue, listeners: tuple[Listener, ...]) -> Hoops | None:
    """Read ``[dialects.hoops]``."""
    serving = [one for one in listeners if Face.HOOPS in one.serves]
    if "hoops" not in dialects:
        for listener in serving:
            dialects.faults.append(f"listeners.{listener.name}.serves: names hoops, but there is no [dialects.hoops]")
        return None
    table = dialects.table("hoops")
    services = {}
    for rendering in Rendering:
        called = table.read(rendering.value, text, None)
        if called is not None:
            services[rendering] = called
    usual = Hoops(services)
    found = Hoops(
        services=services,
        endpoint=table.read("endpoint", one_of(EndpointForm), usual.endpoint),
        failure_status=table.read("failure_status", one_of(FailureStatus), usual.failure_status),
        access=table.read("access", one_of(SpawnAccess), usual.access),
        port_guard=table.read("port_guard", one_of(PortGuard), usual.port_guard),
        child_auth=table.read("child_auth", boolean, usual.child_auth),
        direct_paths=table.read("direct_paths", list_of(PATH), usual.direct_paths),
        proxy_prefixes=table.read("proxy_prefixes", list_of(PREFIX), usual.proxy_prefixes),
        allow_shutdown=table.read("allow_shutdown", boolean, usual.allow_shutdown),
    )
    table.done()
    if not services:
        table.fault("", "csr or ssr is needed: the name of a service")
    if not serving:
        table.fault("", "is configured, but no listener serves hoops")
    if found.endpoint is EndpointForm.SESSION_PATH and not any(Face.TUNNEL in one.serves for one in listeners):
        table.fault("endpoint", "session-path needs a listener that serves tunnel")
    for rendering, called in services.items():
        for fault in _faults_of(catalogue.services.get(called), found.endpoint):
            table.fault(rendering.value, fault)
    return found


def _faults_of(service: Service | None, endpoint: EndpointForm) -> list[str]:
    """Say what of a service this wire can't do with."""
    if service is None:
        return ["there is no such service"]
    plan, directories = service.plan, service.options.get("directories")
    watch = Watch.CHILD if endpoint is EndpointForm.DIRECT_PORT else Watch.TUNNEL
    wanted = {
        'kind = "websocket"': service.kind is Kind.WEBSOCKET,
        'ready = "report"': plan.ready_by_report,
        'clients = "once"': plan.clients is Clients.ONCE,
        "${port} in its command": LeaseKind.PORT in plan.leases,
        f'watch = "{watch.value}" with endpoint = "{endpoint.value}"': plan.watch is watch,
        "type = folders for its option directories": directories is None or isinstance(directories, Folders),
    }
    return [f"the service {service.name} needs {what}" for what, holds in wanted.items() if not holds]
