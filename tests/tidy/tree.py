"""The files of this repository and what they import when they run: what the tidiness tests look at."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "latchboard"


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that is committed or could be (new and not ignored)."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return tuple(path for name in sorted(set(listing.split("\0")) - {""}) if (path := ROOT / name).is_file())


def python_files(*folders: str) -> list[Path]:
    """The Python files of the repository, or of some of its top folders."""
    return [path for path in tracked() if path.suffix == ".py" and (not folders or relative(path).startswith(folders))]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def parse(path: Path) -> ast.Module:
    """The tree of a file. None is kept: the trees of all files are a million objects, which every collection visits."""
    return ast.parse(text(path), filename=str(path))


def nodes(path: Path, pattern: str) -> Iterator[ast.AST]:
    """Everything in a file; nothing when `pattern` is nowhere in it: most files need not even be parsed."""
    return ast.walk(parse(path)) if re.search(pattern, text(path)) else iter(())


def statements(tree: ast.Module) -> Iterator[ast.AST]:
    """The statements and handlers, at any depth, without the expressions: a tenth of all nodes."""
    found: list[Any] = [tree]
    for node in found:
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            below = getattr(node, name, ())
            found += below if isinstance(below, list) else ()
    return iter(found)


def module_name(path: Path) -> str:
    """`src/latchboard/store/__init__.py` is `latchboard.store`."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def runtime_imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of each import that can run: also inside functions, but not under `if TYPE_CHECKING`."""
    yield from _imports(parse(path).body)


def _imports(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            yield from _imports(node.orelse)
        elif not isinstance(node, ast.expr):  # no import is in one
            yield from _imports(ast.iter_child_nodes(node))


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
