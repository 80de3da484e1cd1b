"""``/v1/status`` and the page beside it: how every slot of every service stands, told from memory.

Portals ask before and after everything they do, so what was told of a service is kept until one of its slots changes.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sessiond.core.session import Session
from sessiond.dialects.nexus.front import Front

TOKEN_SHOWN = 8
"""How much of a token the page for people shows."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Sessions</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; color: #222 }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .3em .8em .3em 0; border-bottom: 1px solid #ddd; overflow-wrap: anywhere }}
.free {{ color: #777 }}
</style></head><body><h1>Sessions</h1>
<table><thead><tr><th>Service</th><th>Slot</th><th>Session</th><th>Since</th><th>State</th><th>Options</th></tr></thead>
<tbody>
{rows}
</tbody></table></body></html>
"""
FREE = '<tr class="free"><td>{name}</td><td>{index}</td><td></td><td></td><td>free</td><td></td></tr>'
TAKEN = (
    "<tr><td>{name}</td><td>{index}</td><td>{token}</td><td>{since}</td><td>{state}</td><td>{options}</td></tr>"
)


class Status:
    """How the services stand.

    :ivar told: how often a service was written down anew.
    """

    def __init__(self, front: Front) -> None:
        self._front = front
        self._kept: dict[str, bytes] = {}
        self._whole: bytes | None = None
        self.told = 0
        front.changed = self._forget

    def document(self) -> bytes:
        """Give the state of all services as JSON."""
        if self._whole is None:
            self._whole = b"[" + b",".join(self._of(name) for name in self._services()) + b"]"
        return self._whole

    def page(self) -> bytes:
        """Give the same for people, without whole tokens."""
        rows = [row for name in self._services() for row in self._rows(name)]
        return PAGE.format(rows="\n".join(rows)).encode()

    def _services(self) -> list[str]:
        return [name for name in self._front.settings.services if name in self._front.broker.catalogue.services]

    def _forget(self, changed: str) -> None:
        """Take note that something of a service, and so of all that share its pool, is not as it was."""
        catalogue = self._front.broker.catalogue
        service = catalogue.services.get(changed)
        pool = changed if service is None else catalogue.pool_of(service).name
        for name in tuple(self._kept):
            if catalogue.pool_of(catalogue.services[name]).name == pool:
                del self._kept[name]
                self._whole = None

    def _of(self, name: str) -> bytes:
        kept = self._kept.get(name)
        if kept is None:
            self.told += 1
            told = json.dumps(self._shape(name), ensure_ascii=False, separators=(",", ":"))
            kept = self._kept[name] = told.encode("utf-8", "replace")
        return kept

    def _shape(self, name: str) -> Mapping[str, Any]:
        instances = [self._instance(index, place) for index, place in self._slots(name)]
        return {"name": name, "common_options": self._front.settings.services[name], "instances": instances}

    def _instance(self, index: int, place: Session | None) -> Mapping[str, Any]:
        if place is None:
            return {"index": index, "token": "", "timestamp": 0.0, "options": {}}
        token, options = self._front.token_of(place), dict(place.options)
        return {"index": index, "token": token, "timestamp": place.created_at, "options": options}

    def _slots(self, name: str) -> Iterator[tuple[int, Session | None]]:
        broker = self._front.broker
        service = broker.service(name)
        places = broker.places(service)
        return ((index, places.get(index)) for index in range(broker.catalogue.pool_of(service).count))

    def _rows(self, name: str) -> Iterator[str]:
        for index, place in self._slots(name):
            if place is None:
                yield FREE.format(name=html.escape(name), index=index)
                continue
            since = datetime.fromtimestamp(int(place.created_at), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            yield TAKEN.format(
                name=html.escape(name),
                index=index,
                token=html.escape(self._front.token_of(place)[:TOKEN_SHOWN]),
                since=since,
                state=html.escape(place.state.value),
                options=html.escape(", ".join(f"{key}={value}" for key, value in place.options.items())),
            )
