"""The pages for people: what a context has, and why a file in its folder is no party."""

from __future__ import annotations

import html

from twisted.web.server import Request

from sessiond.dialects.genius2.entry import Entry
from sessiond.dialects.genius2.front import Front
from sessiond.dialects.genius2.leaf import Giving
from sessiond.web.answers import Answer

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
}
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; color: #222 }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .3em .8em .3em 0; border-bottom: 1px solid #ddd; overflow-wrap: anywhere }}
.fault {{ color: #a00 }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


def page(title: str, body: str) -> Answer:
    """Make a page."""
    return Answer(PAGE.format(title=html.escape(title), body=body).encode("utf-8", "replace"), headers=HEADERS)


def home_of(front: Front, entry: Entry) -> Giving:
    """Give the home page: links, parties, files that are none with the reason, and runs."""

    async def show(request: Request) -> Answer:
        path = html.escape(entry.path)
        links = ("available", "running", "free", "partiesrepo/")
        body = [
            f"<p>{front.free()} of {front.context.slots} slots are free.</p>",
            "<p>" + " · ".join(f'<a href="{path}/{link}">{link}</a>' for link in links) + "</p>",
            "<h2>Parties</h2>",
            _parties(front, path),
            "<h2>Running</h2>",
            _runs(front),
        ]
        if front.transcripts is not None:
            kept = front.transcripts.kept()
            body += ["<h2>Transcripts</h2>", _links(f"{path}/transcripts", kept)]
        return page(f"Parties server {entry.path}", "\n".join(body))

    return show


def repository_of(front: Front, entry: Entry) -> Giving:
    """Give the listing of the folder: names and states, no downloads."""

    async def show(request: Request) -> Answer:
        payload = "".join(_row(name, "no party: nothing launches files of this kind") for name in front.folder.payload)
        return page(f"Files of {entry.path}", _parties(front, None, payload))

    return show


def _parties(front: Front, path: str | None, more: str = "") -> str:
    fault = front.folder.fault
    rows = [f'<tr><td class="fault" colspan="2">{html.escape(fault)}</td></tr>'] if fault else []
    for name, party in sorted(front.folder.parties.items()):
        if party.why:
            rows.append(_row(party.file, f"not accepted: {party.why}", "fault"))
        elif path is None:
            rows.append(_row(party.file, "a party"))
        else:
            link = f'<a href="{path}/run/{html.escape(name)}">{html.escape(name)}</a>'
            rows.append(f"<tr><td>{link}</td><td>{html.escape(party.description)}</td></tr>")
    return "<table>" + "".join(rows) + more + "</table>"


def _runs(front: Front) -> str:
    rows = [_row(key, f"{run.name}, until {run.end_ms}") for key, run in sorted(front.runs.items())]
    return "<table>" + "".join(rows) + "</table>"


def _links(path: str, names: list[str]) -> str:
    items = (f'<li><a href="{path}/{html.escape(name)}">{html.escape(name)}</a></li>' for name in names)
    return "<ul>" + "".join(items) + "</ul>"


def _row(first: str, second: str, kind: str = "") -> str:
    return f'<tr><td>{html.escape(first)}</td><td class="{kind}">{html.escape(second)}</td></tr>'
