"""Files and folders that clients choose: looked up below what the operator named, when the program is started."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from sessiond.core.services import FOLDERS_SEPARATOR, File, Folders, OptionType, Scalar


class FileError(ValueError):
    """A file or folder can't be given to a program; the text names the option and may be shown to the caller."""


def with_real_paths(declared: Mapping[str, OptionType], chosen: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Give what a client chose, each file and folder as its real path.

    :raises FileError: there is no such file or folder, or not one that may be given.
    """
    return {name: _real(name, declared.get(name), value) for name, value in chosen.items()}


def _real(name: str, option: OptionType | None, chosen: Scalar) -> Scalar:
    if isinstance(option, File) and chosen:
        return real_path(name, option, str(chosen))
    return real_folders(name, option, str(chosen)) if isinstance(option, Folders) else chosen


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
    if not _is_seen(found, root) or not is_plain or not found.name.endswith(option.suffixes or ""):
        raise FileError(f"{name}: there is no such file")
    return str(found)


def real_folders(name: str, option: Folders, chosen: str) -> str:
    """Give the paths of folders, with no link in them, as they stand in one argument.

    :param name: of the option.
    :raises FileError: one is not there, or may not be given, which is all the same to the caller as with a file.
    """
    try:
        roots = [Path(root).resolve(strict=True) for root in option.roots]
        found = [Path(folder).resolve(strict=True) for folder in chosen.split(FOLDERS_SEPARATOR)]
    except (OSError, ValueError, RuntimeError):
        raise FileError(f"{name}: there is no such folder") from None
    for folder in found:
        may_be_given = any(_is_seen(folder, root) for root in roots) and FOLDERS_SEPARATOR not in str(folder)
        if not may_be_given or not folder.is_dir():
            raise FileError(f"{name}: there is no such folder")
    return FOLDERS_SEPARATOR.join(str(folder) for folder in found)


def _is_seen(found: Path, root: Path) -> bool:
    """Say whether something lies in a folder and is not hidden there."""
    return found.is_relative_to(root) and not any(part.startswith(".") for part in found.relative_to(root).parts)
