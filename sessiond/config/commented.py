"""JSON with comments, ``//`` to the end of the line and ``/* … */``, as people write configurations."""

from __future__ import annotations

import json
import re
from typing import Any

# Texts first: what looks like a comment within one is none.
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|//[^\r\n]*|/\*.*?\*/', re.DOTALL)


def read_commented(text: str) -> Any:
    """Read JSON with comments.

    :raises ValueError: it is none; line and column are those of the text with its comments.
    """
    try:
        return json.loads(_TOKEN.sub(_blank, text))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _blank(token: re.Match[str]) -> str:
    """Leave a text as it is, and put spaces in place of a comment, so that what follows keeps its place."""
    return token[0] if token[0].startswith('"') else re.sub(r"[^\r\n]", " ", token[0])
