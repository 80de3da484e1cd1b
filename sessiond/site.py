"""The resource tree: which mount points a listener has, by what it serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import unquote_to_bytes

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from sessiond.broker import Broker
from sessiond.config import Face as Served
from sessiond.config import Listener, StaticFolder
from sessiond.dialects.genius2 import Genius2Faces
from sessiond.dialects.hoops import HoopsFaces
from sessiond.dialects.nexus import NexusFaces
from sessiond.dialects.wslink import WslinkFaces
from sessiond.meters import Meters
from sessiond.web.access import Access, Face
from sessiond.web.api import api_tree
from sessiond.web.child import ChildRoot
from sessiond.web.door import Door, DoorSite
from sessiond.web.guard import Guarded
from sessiond.web.health import Health, Metrics, Pressure, Readiness
from sessiond.web.leaf import Branch
from sessiond.web.portal import page, pages
from sessiond.web.static import Files, anybody


@frozen
class Sources:
    """What the resources of every listener draw on.

    :ivar tunnel: makes the resource that opens tunnels, for a listener that presents itself so.
    :ivar sessions: makes what has an address for each session, likewise.
    :ivar rpc: makes what takes calls over a WebSocket, likewise.
    :ivar events: makes what tells what happens, likewise; ``feeds`` what takes events of others.
    :ivar tunnel_listener: where tunnels open for those who called a listener that opens none.
    """

    broker: Broker
    access: Access
    meters: Meters
    static: tuple[StaticFolder, ...]
    tunnel: Callable[[Face], IResource]
    tunnel_listener: Listener | None = None
    nexus: NexusFaces | None = None
    genius2: Genius2Faces | None = None
    hoops: HoopsFaces | None = None
    sessions: Callable[[Face], IResource] | None = None
    rpc: Callable[[Face], IResource] | None = None
    wslink: WslinkFaces | None = None
    events: Callable[[Face], IResource] | None = None
    feeds: Callable[[Face], IResource] | None = None


Find = Callable[[Sequence[bytes], Request], IResource | None]
"""Gives the resource of a request whose path a dialect keeps to itself."""


def nothing(path: Sequence[bytes], request: Request) -> IResource | None:
    """Find no path that a dialect keeps to itself."""
    return None


def first_of(finders: Sequence[Find]) -> Find:
    """Make what asks each dialect in turn."""
    return lambda path, request: next((found for find in finders if (found := find(path, request)) is not None), None)


class Root(Branch):
    """The root of a listener's tree.

    ``//`` counts as ``/``, so that a mount point is found however a client has put its URL together, and no other
    resource is reached by it.

    :param fallback: takes every path that is no mount point.
    :param kept: finds the resource of a path that a dialect keeps to itself.
    """

    def __init__(
        self,
        fallback: IResource | None = None,
        kept: Find = nothing,
    ) -> None:
        super().__init__()
        self._fallback, self._kept = fallback, kept

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        """Collapse the path, then find its first part."""
        behind, before = request.postpath or [], request.prepath or []
        parts = [part for part in (path, *behind) if part]
        if behind[-1:] == [b""] or not parts:
            parts.append(b"")
        request.prepath, request.postpath = [*before[:-1], parts[0]], parts[1:]
        kept = self._kept(parts, request)
        if kept is not None:
            return kept
        found: IResource = super().getChildWithDefault(parts[0], request)
        return found

    def getChild(self, path: bytes, request: Request) -> IResource:  # type: ignore[override]
        """Give what stands for a path that is no mount point."""
        if self._fallback is None:
            return super().getChild(path, request)
        request.prepath, request.postpath = [], [path, *(request.postpath or [])]
        return self._fallback


def site_of(listener: Listener, sources: Sources, reactor: IReactorTime) -> DoorSite:
    """Make what a listener serves, behind its door."""
    door = Door(listener.max_connections, listener.max_per_address)
    site = DoorSite(tree_of(listener, sources), reactor, door, sources.meters.count_answer, listener.patience)
    site.headers = listener.headers
    site.streams = streaming(listener, sources)
    return site


def streaming(listener: Listener, sources: Sources) -> Callable[[bytes], bool]:
    """Make what says whether the body of a request for a target is passed on as it comes."""
    passes = [is_page] if Served.TUNNEL in listener.serves else []
    if Served.WSLINK in listener.serves and sources.wslink is not None:
        passes.append(sources.wslink.passes_on)
    return lambda target: any(one(target) for one in passes)


def tree_of(listener: Listener, sources: Sources) -> Resource:
    """Make a listener's resource tree."""
    serves = listener.serves
    face = Face.of(listener, None if Served.TUNNEL in serves else sources.tunnel_listener)
    folders = sources.static if Served.STATIC in serves else ()
    whole = next((folder for folder in folders if folder.path == "/"), None)
    if serves == {Served.CHILD}:
        return ChildRoot(sources.broker, () if sources.hoops is None else sources.hoops.bases())
    if serves == {Served.TUNNEL}:
        # A port of its own has no other path that a client could mean.
        return with_sessions(Root(sources.tunnel(face)), sources, face)
    nexus = sources.nexus
    if nexus is not None and Served.NEXUS_TUNNEL in serves:
        return Root(nexus.tunnel(face))
    own = nexus if Served.NEXUS in serves else None
    guard = anybody if own is None else own.may_list

    def files(folder: StaticFolder) -> Resource:
        found = Files(folder.folder, folder.listing, guard)
        # Nexus' clients come by any name and from any page: its own rules say who may see what.
        return Guarded(found, face) if own is None else found

    fallback: IResource | None = None if whole is None else files(whole)
    finders = [] if own is None else [own.paths(face)]
    if sources.genius2 is not None and Served.GENIUS2 in serves:
        finders.append(sources.genius2.paths(face))
        fallback = fallback or sources.genius2.elsewhere()
    if sources.hoops is not None and Served.HOOPS in serves:
        finders.append(sources.hoops.paths(face))
        fallback = fallback or sources.hoops.elsewhere()
    if sources.wslink is not None and Served.WSLINK in serves:
        finders.append(sources.wslink.paths(face))
        content = sources.wslink.content
        fallback = fallback or (None if content is None else files(StaticFolder("/", content)))
    root = Root(fallback, first_of(finders))
    for folder in folders:
        if folder is not whole:
            mount(root, folder.path, files(folder))
    if Served.PORTAL in serves:
        root.putChild(b"", Guarded(page(), face))
        root.putChild(b"pages", Guarded(pages(), face))
    if Served.API in serves:
        api = api_tree(sources.broker, sources.access, face, serves)
        if sources.events is not None:
            api.putChild(b"events", sources.events(face))
        if sources.feeds is not None:
            api.putChild(b"feeds", sources.feeds(face))
        mount(root, "/api/v1", api)
    if Served.RPC in serves and sources.rpc is not None:
        root.putChild(b"rpc", sources.rpc(face))
    if Served.TUNNEL in serves:
        root.putChild(b"tunnel", sources.tunnel(face))
        with_sessions(root, sources, face)
    if Served.HEALTH in serves:
        root.putChild(b"healthz", Health())
        root.putChild(b"readyz", Readiness(sources.broker, sources.meters.outside))
    if Served.METRICS in serves:
        root.putChild(b"metrics", Metrics(sources.meters, sources.broker, sources.access, face))
        root.putChild(b"pressure", Pressure(sources.meters, sources.broker, sources.access, face))
    return root


def is_page(target: bytes) -> bool:
    """Say whether a target lies below a session's address, where bodies are passed on."""
    return unquote_to_bytes(target.partition(b"?")[0].lstrip(b"/").partition(b"/")[0]) == b"session"


def with_sessions(root: Root, sources: Sources, face: Face) -> Root:
    """Put the addresses of sessions into a tree."""
    if sources.sessions is not None:
        root.putChild(b"session", sources.sessions(face))
    return root


def mount(root: Resource, path: str, resource: Resource) -> None:
    """Put a resource at a path of several parts, with branches on the way there."""
    *way, last = path.encode("ascii").strip(b"/").split(b"/")
    for part in way:
        below = root.getStaticEntity(part)
        if below is None:
            below = Branch()
            root.putChild(part, below)
        root = below
    root.putChild(last, resource)
