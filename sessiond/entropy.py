"""Secrets and unique marks, from the operating system's generator only."""

from __future__ import annotations

import hashlib
import secrets
from uuid import uuid4

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without the letters and digits that people mistake for each other."""


class SystemEntropy:
    """The :class:`sessiond.ports.Entropy` of a running daemon."""

    def token(self) -> str:
        """Make a secret of 256 bits, safe in URLs."""
        return secrets.token_urlsafe(32)

    def uuid(self) -> str:
        """Make a secret of 122 bits in the form of a random UUID (RFC 9562 section 5.4)."""
        return str(uuid4())

    def nonce(self) -> str:
        """Make a mark of 128 bits for one launch."""
        return secrets.token_hex(16)

    def suffix(self) -> str:
        """Make six characters that tell sessions of one service apart."""
        return "".join(secrets.choice(ALPHABET) for _ in range(6))

    def fraction(self) -> float:
        """Draw from 0.0 up to, but not including, 1.0."""
        return secrets.randbelow(1 << 30) / (1 << 30)


def digest(secret: str) -> bytes:
    """Give what is kept of a secret: its SHA-256.

    A secret of 256 random bits can't be guessed from its hash, so no slow hash is needed.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
