"""The folders that one running daemon has for itself: private, ours, locked, and reached without following links."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from attrs import define

MOST_INSTANCES = 1000
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
LOCK, RUNNING = "lock", "running"


class FolderError(Exception):
    """A folder can't be used; the text says which and why."""


@define
class Instance:
    """One instance's own folder below the state folder, locked for as long as this process lives.

    :ivar name: the same in each run, and different for each instance on this machine: it marks all its children.
    """

    number: int
    folder: Path
    _lock: int

    @property
    def name(self) -> str:
        """Give the name."""
        return str(self.folder)

    def release(self, *, in_order: bool) -> None:
        """Let another start have it.

        :param in_order: nothing was left behind.
        """
        if self._lock >= 0:
            if in_order:
                (self.folder / RUNNING).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1


def claim(state_dir: Path) -> Instance:
    """Lock an instance's folder below the state folder, and make both if need be.

    Taken is, of those that no other daemon holds, one that was not left in order, else the first.

    :raises FolderError: a folder is not private, not ours, or can't be made.
    """
    state = open_private(state_dir)
    try:
        instances = _open_below(state, "instances", state_dir / "instances")
    finally:
        os.close(state)
    try:
        return _claim_below(instances, state_dir / "instances")
    finally:
        os.close(instances)


def claim_abandoned(state_dir: Path) -> list[Instance]:
    """Lock every instance's folder that was not left in order and that no daemon holds.

    :raises FolderError: as :func:`claim`.
    """
    folder = state_dir / "instances"
    instances = open_private(folder)
    try:
        found = [_claim_one(instances, number, folder) for number in _disorderly(instances, _known(instances))]
    finally:
        os.close(instances)
    return [instance for instance in found if instance is not None]


def open_private(folder: Path) -> int:
    """Make a folder if it is not there, with those above it, and open it.

    Of those above it is only asked that not everybody can put another folder in its place.

    :returns: its descriptor.
    :raises FolderError: it is not private, not ours, or can't be made.
    """
    try:
        _make_above(folder)
        _make(folder, None)
        opened = _open_or_follow(folder)
    except OSError as error:
        raise FolderError(f"{folder}: {error.strerror}") from None
    return _checked(opened, folder)


def private(folder: Path) -> Path:
    """Make a private folder, or see that it is one.

    :raises FolderError: as :func:`open_private`.
    """
    os.close(open_private(folder))
    return folder


def private_below(folder: Path, name: str) -> Path:
    """Make a private folder within a private one, or see that it is one and no link.

    :raises FolderError: as :func:`open_private`.
    """
    above = open_private(folder)
    try:
        os.close(_open_below(above, name, folder / name))
    finally:
        os.close(above)
    return folder / name


def _claim_below(instances: int, path: Path) -> Instance:
    known = _known(instances)
    fresh = next(number for number in range(MOST_INSTANCES + 1) if number not in known)
    for number in (*_disorderly(instances, known), *known, fresh):
        instance = _claim_one(instances, number, path)
        if instance is not None:
            return instance
    raise FolderError(f"{path}: another daemon took the last folder")


def _known(instances: int) -> list[int]:
    return sorted(int(entry) for entry in os.listdir(instances) if entry.isdecimal())


def _disorderly(instances: int, known: list[int]) -> list[int]:
    return [number for number in known if _exists(f"{number}/{RUNNING}", instances)]


def _claim_one(instances: int, number: int, path: Path) -> Instance | None:
    """Lock an instance's folder; ``None`` where another daemon has it."""
    folder = _open_below(instances, str(number), path / str(number))
    try:
        lock = _lock(folder, path / str(number))
    finally:
        os.close(folder)
    return None if lock is None else Instance(number, path / str(number), lock)


def _lock(folder: int, path: Path) -> int | None:
    """Lock an instance's folder; ``None`` where another daemon has it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        lock = os.open(LOCK, flags, 0o600, dir_fd=folder)
    except OSError as error:
        raise FolderError(f"{path / LOCK}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    os.close(os.open(RUNNING, flags, 0o600, dir_fd=folder))
    return lock


def _open_below(above: int, name: str, path: Path) -> int:
    try:
        _make(name, above)
        opened = os.open(name, OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=above)
    except OSError as error:
        raise FolderError(f"{path}: {error.strerror}") from None
    return _checked(opened, path)


def _make_above(folder: Path) -> None:
    """Make the folders above one, for everybody to look into and nobody to write, and look at those that are there."""
    for above in reversed(folder.parents):
        try:
            os.mkdir(above, 0o755)
        except OSError:  # it is there, or another one is told when the folder itself can't be made
            pass
    for above in Path(os.path.realpath(folder)).parents:
        mode = above.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise FolderError(f"{folder}: everybody may rename what is in {above}")


def _open_or_follow(folder: Path) -> int:
    """Open a folder, through a link only if nobody but root and ourselves can have made that.

    systemd puts a link where it keeps the folders of users that it makes up. A stranger's could lead to any private
    folder of ours.
    """
    try:
        return os.open(folder, OPEN_FOLDER | os.O_NOFOLLOW)
    except OSError:
        found = os.lstat(folder)
        if not stat.S_ISLNK(found.st_mode):
            raise
        if found.st_uid not in (0, os.geteuid()):
            raise FolderError(f"{folder}: is a link of user {found.st_uid}") from None
        return os.open(folder, OPEN_FOLDER)


def _make(folder: Path | str, above: int | None) -> None:
    try:
        os.mkdir(folder, 0o700, dir_fd=above)
    except FileExistsError:
        pass


def _checked(opened: int, path: Path) -> int:
    """Give the descriptor of a folder on if the folder is private and ours."""
    found = os.fstat(opened)
    why = None
    if found.st_uid != os.geteuid():
        why = f"belongs to user {found.st_uid}, not to {os.geteuid()}"
    elif stat.S_IMODE(found.st_mode) & 0o077:
        why = f"has mode {stat.S_IMODE(found.st_mode):04o}; 0700 is needed"
    if why is None:
        return opened
    os.close(opened)
    raise FolderError(f"{path}: {why}")


def _exists(name: str, above: int) -> bool:
    try:
        os.stat(name, dir_fd=above, follow_symlinks=False)
    except OSError:
        return False
    return True
