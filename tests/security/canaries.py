"""Secrets to look for: in which forms one could turn up, and where it was found."""

import base64
from collections.abc import Iterable, Mapping
from urllib.parse import quote

PART = 24
"""How much of a secret counts as the secret: what is left to guess would not keep anybody out for long."""


def forms(secret: str) -> set[bytes]:
    """Give what to look for: the secret, its two ends, and what encoders make of it."""
    raw = secret.encode()
    escaped = "".join(f"%{byte:02X}" for byte in raw).encode()
    encoded = {base64.b64encode(raw).rstrip(b"="), raw.hex().encode(), escaped, escaped.lower(), raw[::-1]}
    return {raw, raw[:PART], raw[-PART:], quote(secret, safe="").encode(), *encoded}


def found_in(content: bytes, secrets: Mapping[str, str]) -> list[str]:
    """Name the secrets that stand in some bytes in any form."""
    return [name for name, secret in secrets.items() if any(form in content for form in forms(secret))]


def leaks(sinks: Iterable[tuple[str, bytes]], secrets: Mapping[str, str]) -> list[str]:
    """Say which secret leaked into which of the sinks, each a name and what is in it."""
    return [f"{secret} in {name}" for name, content in sinks for secret in found_in(content, secrets)]
