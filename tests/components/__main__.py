"""``python -m tests.components``: install the real programs that tests need, or say which are missing.

Runs before anything of ours is installed. It installs only where it may, as root on Debian, and fails only
where installing does: what stays missing costs the tests that need it, and they say so themselves.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.components import PACKAGES, missing
from tests.components.wstest import SUITE, install_wstest

APT = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"]
"""Another installation may be running: it is waited for, seconds."""


POLICY = Path("/usr/sbin/policy-rc.d")
"""What Debian's packages ask whether they may start what they bring (invoke-rc.d(8))."""


def may_install() -> bool:
    """Tell whether this is root on Debian."""
    release = Path("/etc/os-release")
    is_debian = release.exists() and "ID=debian" in release.read_text(encoding="utf-8").splitlines()
    return is_debian and os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: list[str]) -> None:
    """Install Debian packages without a question.

    :raises subprocess.CalledProcessError: apt-get could not.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with nothing_starts():
        for step in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run([*APT, *step], env=environment, stdin=subprocess.DEVNULL, check=True)


@contextmanager
def nothing_starts(policy: Path = POLICY) -> Iterator[None]:
    """Keep servers from being started where they are installed: tests start their own, elsewhere."""
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")  # "not allowed", to whatever is asked
    try:
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink()


def main() -> int:
    """Leave nothing missing, or name it."""
    absent = missing()
    if absent and may_install():
        install(sorted({PACKAGES[name] for name in absent}))
        absent = missing()
    if absent:
        packages = " ".join(sorted({PACKAGES[name] for name in absent}))
        print(f"Missing: {', '.join(absent)} (Debian packages: {packages}).", file=sys.stderr)
        print("The tests that need them are skipped by name; with CI=true they fail.", file=sys.stderr)
    lacking = install_wstest()
    if lacking is not None:
        print(f"Missing: wstest (PyPI package {SUITE}): {lacking}. Its tests are skipped by name.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
