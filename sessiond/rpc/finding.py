"""Applications by their names: ``MODULE:CLASS``, where a path may stand for the module."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from sessiond.rpc import LinkProtocol, ServerProtocol


class Unusable(Exception):
    """What was asked for can't be served; the text says why."""


def class_of(named: str) -> Any:
    """Find the application's class.

    :raises Unusable: there is none.
    """
    module_name, colon, name = named.rpartition(":")
    if not colon:
        raise Unusable(f"{named}: MODULE:CLASS is needed")
    try:
        found = getattr(_module(module_name), name, None)
    except ImportError as error:
        raise Unusable(f"{module_name} can't be imported: {error}") from error
    if not isinstance(found, type):
        raise Unusable(f"{module_name} has no class {name}")
    return found


def _module(name: str) -> ModuleType:
    if not name.endswith(".py"):
        sys.path.insert(0, os.getcwd())
        return importlib.import_module(name)
    path = Path(name)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError("no such file")
    sys.path.insert(0, str(path.parent))
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(found: Any) -> ServerProtocol:
    """Make an application out of a class; a protocol alone is one, too.

    :raises Unusable: it is neither.
    """
    application = found()
    if isinstance(application, LinkProtocol):
        alone, application = application, ServerProtocol()
        application.registerLinkProtocol(alone)
    if not isinstance(application, ServerProtocol):
        raise Unusable(f"{found.__name__} is neither a ServerProtocol nor a LinkProtocol")
    return application
