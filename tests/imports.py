"""Reads which modules of a package import what, without importing any of them."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs


@attrs.frozen
class Import:
    """One imported module, as it stands in a source.

    :ivar importer: dotted name of the module in which it stands.
    :ivar target: dotted name of what is imported, with the name taken from it: ``twisted.internet.reactor``.
    :ivar is_top_level: it is carried out when the importer is imported, not later in a function.
    :ivar is_typing: it stands below ``if TYPE_CHECKING`` and is never carried out.
    """

    importer: str
    target: str
    line: int
    is_top_level: bool
    is_typing: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


def is_below(name: str, *prefixes: str) -> bool:
    """Tell whether a dotted name is one of the prefixes, or below one."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def sources_below(folder: Path) -> dict[str, str]:
    """Read a package: dotted module name to source text."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return found


def imports_of(sources: Mapping[str, str]) -> list[Import]:
    """List every import of every source, one entry for each imported name."""
    packages = {name.rpartition(".")[0] for name in sources}
    return [
        found
        for name, source in sources.items()
        for found in _Reader(name, is_package=name in packages).read(ast.parse(source))
    ]


def circles(imports: list[Import], modules: frozenset[str]) -> list[list[str]]:
    """Find the modules that need each other in order to be imported: each circle once, as a path."""
    needs: dict[str, set[str]] = {module: set() for module in modules}
    for found in imports:
        if found.is_top_level and not found.is_typing:
            needed = _module_of(found.target, modules)
            if needed not in (None, found.importer):
                needs[found.importer].add(str(needed))
    found_circles: list[list[str]] = []
    done: set[str] = set()

    def follow(module: str, path: list[str]) -> None:
        if module in path:
            found_circles.append([*path[path.index(module) :], module])
        elif module not in done:
            for needed in sorted(needs[module]):
                follow(needed, [*path, module])
            done.add(module)

    for module in sorted(modules):
        follow(module, [])
    return found_circles


def _module_of(target: str, modules: frozenset[str]) -> str | None:
    """Name the module that holds an imported name; none if it is not one of ours."""
    while target and target not in modules:
        target = target.rpartition(".")[0]
    return target or None


class _Reader:
    """Walks one source, remembering whether it is inside a function or below ``if TYPE_CHECKING``."""

    def __init__(self, module: str, *, is_package: bool) -> None:
        self._module = module
        self._is_package = is_package

    def read(self, tree: ast.AST, *, is_top_level: bool = True, is_typing: bool = False) -> Iterator[Import]:
        """Yield the imports below a node."""
        for node in ast.iter_child_nodes(tree):
            for target in self._targets(node):
                yield Import(self._module, target, getattr(node, "lineno", 0), is_top_level, is_typing)
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            is_guard = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            yield from self.read(node, is_top_level=is_top_level and not is_function, is_typing=is_typing or is_guard)

    def _targets(self, node: ast.AST) -> list[str]:
        """Name what one statement imports; nothing if it is no import."""
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            origin = self._origin(node)
            return [f"{origin}.{alias.name}" for alias in node.names]
        return []

    def _origin(self, node: ast.ImportFrom) -> str:
        """Name the module behind ``from``, the dots of a relative import resolved."""
        if not node.level:
            return node.module or ""
        here = self._module.split(".")
        package = here[: len(here) + self._is_package - node.level]
        return ".".join([*package, *filter(None, [node.module])])
