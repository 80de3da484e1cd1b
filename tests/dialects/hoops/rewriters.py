"""How pages in the field make another address of an endpoint, so that it leads through their reverse proxy.

Each takes the endpoint and the page's host, with its port where that has one.
"""

import re

PREFIXES = {"wssproxy": "/wssproxy/{}/", "streaming": "/streaming/{}", "ws": "/ws/{}"}


def shipped(endpoint: str, host: str) -> str:
    """Rewrite as the shipped sample does where its proxy is on: a path is lost, and what has no port is left alone."""
    found = re.match(r"(wss?)://[^/:]+:(\d+)", endpoint)
    if found is None:
        return endpoint
    scheme, port = found.groups()
    return f"{scheme}://{host}/{scheme}proxy/{port}"


def plain_only(endpoint: str, host: str) -> str:
    """Rewrite as the first kind of reverse-proxy pages does, which are served over TLS in front of plain children.

    :raises ValueError: it is no plain endpoint with a port.
    """
    found = re.match(r"ws://[^/:]+:(\d+)", endpoint)
    if found is None:
        raise ValueError(f"no ws://host:port: {endpoint}")
    return f"wss://{host}/wsproxy/{found[1]}"


def path_keeping(endpoint: str, host: str) -> str:
    """Rewrite as the second kind does: what is behind the port stays; without a port its place is empty.

    :raises ValueError: it is no address of a WebSocket.
    """
    found = re.fullmatch(r"(wss?)://[^/:?]+(?::(\d+))?(.*)", endpoint)
    if found is None:
        raise ValueError(f"no WebSocket: {endpoint}")
    scheme, port, path = found.groups()
    return f"{scheme}://{host}/wsproxy/{port or ''}{path}"


def colon_splitting(endpoint: str, host: str, prefix: str = "ws") -> str:
    """Rewrite as all others do: the third and last of its parts between colons is the port.

    :param prefix: which of the PREFIXES the page has.
    :raises ValueError: there are more or fewer parts, or the last is no port.
    """
    parts = endpoint.split(":")
    if len(parts) != 3 or not re.fullmatch(r"\d+", parts[2].rstrip("/"), re.ASCII):
        raise ValueError(f"not scheme:host:port: {endpoint}")
    return f"{parts[0]}://{host}{PREFIXES[prefix].format(parts[2].rstrip('/'))}"
