"""What is run for a session: the argument list and the environment, put together from a service and its values."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from sessiond.core.services import Argument, Rlimits, Scalar, Service, words_of
from sessiond.launchers.placeholders import OPTION_PREFIX, fill, names_in

SESSION_VARIABLE = "SESSIOND_SESSION"
NONCE_VARIABLE = "SESSIOND_NONCE"
SECRET_VARIABLE = "SESSIOND_SECRET"  # noqa: S105 - the name of a variable, not its value
INSTANCE_VARIABLE = "SESSIOND_INSTANCE"


class CommandError(ValueError):
    """A command can't be run; the text may be shown to the caller."""


@frozen
class Tools:
    """Where util-linux's and coreutils' programs are, as absolute paths."""

    setsid: str = "/usr/bin/setsid"
    env: str = "/usr/bin/env"
    prlimit: str = "/usr/bin/prlimit"
    setpriv: str = "/usr/bin/setpriv"

    @classmethod
    def found_on(cls, path: str | None) -> Tools:
        """Look them up once, so that no child's own PATH decides what runs in front of it."""
        names = ("setsid", "env", "prlimit", "setpriv")
        return cls(**{name: found for name in names if (found := shutil.which(name, path=path))})


@frozen
class Marks:
    """What a child's environment says about its launch, so that it can report and be found again."""

    session: str
    nonce: str
    secret: str
    instance: str
    folder: Path

    def variables(self) -> dict[str, str]:
        """Give the variables that no service can change."""
        return {
            SESSION_VARIABLE: self.session,
            NONCE_VARIABLE: self.nonce,
            SECRET_VARIABLE: self.secret,
            INSTANCE_VARIABLE: self.instance,
            # Private, of this session only, and deleted with it: what the XDG base directory rules ask for.
            "XDG_RUNTIME_DIR": str(self.folder),
        }


def argv_of(service: Service, values: Mapping[str, Scalar], tools: Tools, user: tuple[int, int] | None) -> list[str]:
    """Put the whole argument list together.

    Limits, user and folder are set by programs in front of the command, because Twisted's ``path=``, ``uid=`` and
    ``gid=`` fork the whole daemon (14 ms blocked at 1 GiB, against 0.3 ms for these programs).

    :param user: numeric user and group that the child gets; ``None`` keeps the daemon's.
    :raises CommandError: the command can't be run in front of which ``env`` stands.
    :raises PlaceholderError: a placeholder can't be filled.
    """
    command = arguments_of(service.command, values)
    return [
        *_limits(service.rlimits, tools),
        *_identity(service, user, tools),
        tools.setsid,
        *_directory(service, values, tools, command),
        *command,
    ]


def arguments_of(command: tuple[Argument, ...], values: Mapping[str, Scalar]) -> list[str]:
    """Fill a command, without those of its groups in which an option is empty.

    :raises PlaceholderError: a placeholder can't be filled.
    """
    found = tuple(part for part in command if isinstance(part, str) or not _has_empty(part, values))
    return [fill(word, values) for word in words_of(found)]


def _has_empty(group: tuple[str, ...], values: Mapping[str, Scalar]) -> bool:
    names = (name for template in group for name in names_in(template) if name.startswith(OPTION_PREFIX))
    return any(values.get(name) == "" for name in names)


def environment_of(
    service: Service, values: Mapping[str, Scalar], own: Mapping[str, str], marks: Marks
) -> dict[str, str]:
    """Put the child's environment together: an allow-list, nothing else of the daemon's own reaches a child.

    Loader variables (``LD_*``, ``PYTHONPATH``) are no exception: they pass where the operator names them.

    :param own: the daemon's environment.
    :raises PlaceholderError: a placeholder can't be filled.
    """
    passed = {name: own[name] for name in service.pass_env if name in own}
    named = {name: fill(template, values) for name, template in service.env.items()}
    # Python children would keep a ready line in their buffer, as their output is a file.
    return {"PYTHONUNBUFFERED": "1", **passed, **named, **marks.variables()}


def directory_of(service: Service, values: Mapping[str, Scalar]) -> str | None:
    """Give the folder that a program is started in, ``None`` for the daemon's own.

    :raises CommandError: what was put in would lead out of it.
    :raises PlaceholderError: a placeholder can't be filled.
    """
    if service.directory is None:
        return None
    found = fill(service.directory, values)
    if ".." in Path(found).parts and ".." not in Path(service.directory).parts:
        raise CommandError("the folder to start in would be above the one that is configured")
    return found


def missing(command: str, path: str | None, directory: str | None) -> str | None:
    """Say why a command can't be run, ``None`` if it can as far as one sees without running it.

    :param command: the command's first word; with a slash in it, it is looked up from ``directory``.
    :param path: the PATH of the child.
    """
    place = str(Path(directory or ".") / command) if "/" in command else command
    if shutil.which(place, path=path):
        return None
    if "/" in command and Path(place).is_file():
        return f"command not executable: {command}"
    return f"command not found: {command}"


def _limits(rlimits: Rlimits, tools: Tools) -> list[str]:
    return [tools.prlimit, *(f"--{name}={value}" for name, value in rlimits.of)] if rlimits.of else []


def _identity(service: Service, user: tuple[int, int] | None, tools: Tools) -> list[str]:
    if user is None:
        return []
    # Groups of the user where one is named; with a group alone the daemon's supplementary ones are dropped.
    groups = "--init-groups" if service.user else "--clear-groups"
    return [tools.setpriv, f"--reuid={user[0]}", f"--regid={user[1]}", groups]


def _directory(service: Service, values: Mapping[str, Scalar], tools: Tools, command: list[str]) -> list[str]:
    directory = directory_of(service, values)
    if directory is None:
        return []
    if "=" in command[0]:  # env would take it for a variable
        raise CommandError("a command whose path holds a '=' can't be run with a directory set")
    return [tools.env, "-C", directory]
