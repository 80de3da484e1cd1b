"""The real programs that tests start: whether they are here, and what it means when one is not.

The table is read twice: by the tests and, before anything is installed, by ``python -m tests.components``,
which installs what is missing or names it. So this file imports only the standard library.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

JACKSON = "/usr/share/java/jackson-databind.jar"
APACHE = "/usr/sbin/apache2"
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Not the program of that name on the PATH: that one changes the user."""
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"

PACKAGES: Mapping[str, str] = {
    "Xvnc": "tigervnc-standalone-server",
    "xclock": "x11-apps",
    "xeyes": "x11-apps",
    "xcalc": "x11-apps",
    "xterm": "xterm",
    "chromium": "chromium",
    FONT: "fonts-dejavu-core",
    "systemd-analyze": "systemd",
    "setsid": "util-linux",
    "prlimit": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    APACHE: "apache2-bin",
    "javac": "default-jdk-headless",
    JACKSON: "libjackson2-databind-java",
    RABBITMQ: "rabbitmq-server",
}
"""Program (found on the PATH) or file, and the Debian package that brings it."""


def is_here(name: str) -> bool:
    """Tell whether a program of :data:`PACKAGES` can be started, or a file of it read."""
    if name not in PACKAGES:
        raise KeyError(f"{name} is not in the table of components")
    return Path(name).exists() if name.startswith("/") else shutil.which(name) is not None


def missing(names: tuple[str, ...] = ()) -> list[str]:
    """Name what is not here, out of the given components or out of all."""
    return [name for name in names or PACKAGES if not is_here(name)]


def needs(*names: str) -> None:
    """Skip the running test by the name of what it lacks; with ``CI=true``, where nothing may lack, fail it.

    Called in a test or in a fixture.

    :param names: keys of :data:`PACKAGES`.
    :raises KeyError: a name is not in the table, so nothing would ever install it.
    """
    absent = missing(names)
    if absent:
        lack("not installed: " + ", ".join(f"{name} (package {PACKAGES[name]})" for name in absent))


def lack(reason: str) -> NoReturn:
    """Skip the running test for what it lacks; with ``CI=true`` fail it."""
    import pytest  # not at the top: the table is read where pytest is not installed yet

    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
