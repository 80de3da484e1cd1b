"""Files that clients choose: looked up below the folder that the operator named, when the program is started."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from sessiond.core.services import File, OptionType, Scalar


class FileError(ValueError):
    """A file can't be given to a program; the text names the option and may be shown to the caller."""


def with_real_paths(declared: Mapping[str, OptionType], chosen: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Give what a client chose, each file as its real path.

    :raises FileError: there is no such file, or not one that may be given.
    """
    return {
        name: real_path(name, option, str(value)) if isinstance(option := declared.get(name), File) else value
        for name, value in chosen.items()
    }


def real_path(name: str, option: File, chosen: str) -> str:
    """Give the path of a file, with no link in it.

    Links may lead elsewhere below the folder, and nowhere else. What is not there, lies outside, is hidden, is no plain
    file or has another name than it may is all the same to the caller: the text says nothing of what there is.

    :param name: of the option.
    :raises FileError: it is not there, or may not be given.
    """
    try:
        root = Path(option.root).resolve(strict=True)
        found = root.joinpath(chosen).resolve(strict=True)
        is_plain = stat.S_ISREG(found.stat().st_mode)
    except (OSError, ValueError, RuntimeError):
        raise FileError(f"{name}: there is no such file") from None
    is_hidden = not found.is_relative_to(root) or any(part.startswith(".") for part in found.relative_to(root).parts)
    if is_hidden or not is_plain or not found.name.endswith(option.suffixes or ""):
        raise FileError(f"{name}: there is no such file")
    return str(found)
