"""An instance's folders: private, ours, and held by one daemon at a time."""

import os
from pathlib import Path

import pytest

from sessiond.boot.instance import FolderError, claim, claim_abandoned, private, private_below


def modes(folder: Path) -> set[int]:
    """Give the modes of all that is in a folder, and of itself."""
    return {path.stat().st_mode & 0o7777 for path in (folder, *folder.rglob("*"))}


def test_first_claim(tmp_path: Path) -> None:
    """All that is made is for nobody else's eyes, whatever the umask says."""
    before = os.umask(0)
    try:
        instance = claim(tmp_path / "state")
    finally:
        os.umask(before)
    assert instance.folder == tmp_path / "state" / "instances" / "0"
    assert modes(tmp_path / "state") == {0o700, 0o600}
    instance.release(in_order=True)


def test_each_has_its_own(tmp_path: Path) -> None:
    """Two daemons at a time have a folder each; one that comes later takes a free one."""
    first, second = claim(tmp_path / "s"), claim(tmp_path / "s")
    assert (first.number, second.number) == (0, 1)
    assert first.name != second.name
    first.release(in_order=True)
    third = claim(tmp_path / "s")
    assert third.number == 0
    assert third.name == first.name
    second.release(in_order=True)
    third.release(in_order=True)


def test_disorder_comes_first(tmp_path: Path) -> None:
    """A folder that was not left in order is seen to before one that was."""
    first, second = claim(tmp_path / "s"), claim(tmp_path / "s")
    first.release(in_order=True)
    second.release(in_order=False)
    again = claim(tmp_path / "s")
    assert again.number == 1
    again.release(in_order=True)
    last = claim(tmp_path / "s")
    assert last.number == 0
    last.release(in_order=True)
    last.release(in_order=True)


def test_loose_modes(tmp_path: Path) -> None:
    """A folder that others may look into is refused, and left as it is."""
    loose = tmp_path / "loose"
    loose.mkdir(mode=0o755)
    with pytest.raises(FolderError, match="has mode 0755; 0700 is needed"):
        claim(loose)
    assert list(loose.iterdir()) == []


def test_loose_below(tmp_path: Path) -> None:
    """That holds below the state folder too."""
    instance = claim(tmp_path / "s")
    instance.release(in_order=True)
    instance.folder.chmod(0o750)
    with pytest.raises(FolderError, match=r"instances/0: has mode 0750"):
        claim(tmp_path / "s")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_owner(tmp_path: Path) -> None:
    """A folder that somebody else has made is refused."""
    strange = tmp_path / "strange"
    strange.mkdir(mode=0o700)
    os.chown(strange, 65534, 65534)
    with pytest.raises(FolderError, match="belongs to user 65534"):
        private(strange)


def test_links_below(tmp_path: Path) -> None:
    """A link within the private folders is not followed, be it to a folder or for the lock."""
    private(tmp_path / "s")
    private(tmp_path / "elsewhere")
    (tmp_path / "s" / "instances").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderError, match="instances"):
        claim(tmp_path / "s")
    (tmp_path / "s" / "instances").unlink()
    instance = claim(tmp_path / "s")
    instance.release(in_order=True)
    (instance.folder / "lock").unlink()
    (instance.folder / "lock").symlink_to(tmp_path / "elsewhere" / "file")
    with pytest.raises(FolderError, match="lock"):
        claim(tmp_path / "s")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_state_folder_by_link(tmp_path: Path) -> None:
    """The state folder itself may be reached by a link, as systemd arranges it, if it is private and ours."""
    private(tmp_path / "kept")
    (tmp_path / "state").symlink_to(tmp_path / "kept")
    claim(tmp_path / "state").release(in_order=True)
    assert (tmp_path / "kept" / "instances" / "0").is_dir()


def test_no_folder(tmp_path: Path) -> None:
    """What can't be a folder is told by name."""
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match=f"{tmp_path}/file"):
        private(tmp_path / "file")
    with pytest.raises(FolderError, match=f"{tmp_path}/file/below"):
        private(tmp_path / "file" / "below")


def test_private_below(tmp_path: Path) -> None:
    """A folder in a private one is private too, and may be there already."""
    private(tmp_path / "run")
    assert private_below(tmp_path / "run", "0") == private_below(tmp_path / "run", "0")
    assert modes(tmp_path / "run") == {0o700}


def test_abandoned(tmp_path: Path) -> None:
    """What killed daemons have left is found, and neither what is in order nor what somebody holds."""
    first, second, third = (claim(tmp_path / "s") for _ in range(3))
    first.release(in_order=True)
    second.release(in_order=False)
    (abandoned,) = claim_abandoned(tmp_path / "s")
    assert abandoned.number == 1
    assert claim_abandoned(tmp_path / "s") == []
    abandoned.release(in_order=False)
    third.release(in_order=True)
    again = claim(tmp_path / "s")
    assert again.number == 1
    again.release(in_order=True)
    assert claim_abandoned(tmp_path / "s") == []
