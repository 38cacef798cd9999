"""What a module may load: the import budget of the hot path, the purity of rules, one home per foreign package.

The rings are contracts of import-linter in pyproject.toml; here is what it cannot say.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict

import pytest

from tests.tidy.tree import PACKAGE, module_name, nodes, python_files, relative, runtime_imports, text

# What a hook process loads for one check or lock. Each is named, so that one that goes missing is noticed;
# the folders are whole.
HOT = (
    "latchboard",
    "latchboard.agent",
    "latchboard.clock",
    "latchboard.codec",
    "latchboard.compose",
    "latchboard.errors",
    "latchboard.host.identity",
    "latchboard.host.port",
    "latchboard.host.system",
    "latchboard.locks",
    "latchboard.settings",
    "latchboard.store.etcd.relay",
    "latchboard.store.etcd.store",
    "latchboard.store.port",
)
HOT_FOLDERS = ("locks", "rules", "store/files")
# In these folders, but imported only when first needed: waiting with a limit, and other platforms.
COLD = ("latchboard.store.files.portable",)

# Slow to load, and nothing the hot path cannot do without.
FORBIDDEN_WHEN_HOT = (
    "argparse",
    "ast",
    "asyncio",
    "concurrent",
    "contextlib",
    "dataclasses",
    "datetime",
    "enum",
    "fractions",
    "hashlib",
    "importlib.metadata",
    "inspect",
    "json",
    "logging",
    "multiprocessing",
    "pathlib",
    "random",
    "re",
    "secrets",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "traceback",
    "typing",
    "urllib",
    "uuid",
)

# What import-linter does not see: a rule needs no import for these.
IMPURE_CALLS = ("__import__", "breakpoint", "eval", "exec", "input", "open", "print")

# Folders that count as one module: a file per verb is still one surface.
ONE_HOME = ("latchboard.surface", "latchboard.testing")

# The package of every import: ruff lets each stand on a line of its own (E401, E701, E702).
_IMPORTED = re.compile(r"^\s*(?:from|import) +(\w+)", re.MULTILINE)


def _hot_modules() -> list[str]:
    folders = tuple(f"src/latchboard/{folder}/" for folder in HOT_FOLDERS)
    return sorted({*HOT, *(module_name(path) for path in python_files(*folders))} - set(COLD))


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str] | None]:
    """What the import of each module loads, in a process with nothing loaded before; None where the import failed."""
    # -I -S: no site, hence no third-party package either. One interpreter, which forks for each module.
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules)\n"
        "for name in sys.argv[2:]:\n"
        "    if not os.fork():\n"
        "        __import__(name); print(name, *sorted(set(sys.modules) - before), flush=True); os._exit(0)\n"
        "    os.wait()"
    )
    names = _hot_modules()
    command = [sys.executable, "-I", "-S", "-c", program, str(PACKAGE.parent), *names]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    told = {name: modules for name, *modules in map(str.split, done.stdout.splitlines())}
    return {name: told.get(name) for name in names}


@pytest.mark.parametrize("name", _hot_modules())
def test_hot_module_loads_nothing_slow(loaded: dict[str, list[str] | None], name: str) -> None:
    modules = loaded[name]

    assert modules is not None, "it cannot be imported alone"
    assert name in modules
    assert not set(modules) & set(FORBIDDEN_WHEN_HOT)


def test_rules_do_nothing_but_decide() -> None:
    impure = [
        f"{relative(path)}:{node.lineno}: {node.func.id}()"
        for path in python_files("src/latchboard/rules/")
        for node in nodes(path, "|".join(IMPURE_CALLS))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS
    ]

    assert not impure, "a rule is a function of its arguments:\n" + "\n".join(impure)


def test_each_foreign_package_is_imported_in_one_module() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for path in python_files("src/latchboard/"):
        if all(map(_is_ours, _IMPORTED.findall(text(path)))):
            continue  # need not be parsed
        module = module_name(path)
        home = next((one for one in ONE_HOME if module == one or module.startswith(one + ".")), module)
        for _, name in runtime_imports(path):
            if not _is_ours(package := name.split(".")[0]):
                homes[package].add(home)

    spread = {package: sorted(modules) for package, modules in homes.items() if len(modules) > 1}
    assert not spread, "hide a foreign package behind one module of ours"


def _is_ours(package: str) -> bool:
    return package in ("", "latchboard") or package.startswith("_") or package in sys.stdlib_module_names
