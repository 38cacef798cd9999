"""What a module may load: the import budget of the hot path, the purity of rules, one home per foreign package.

The rings are contracts of import-linter in pyproject.toml; here is what it cannot say.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict

import pytest

from tests.tidy.tree import PACKAGE, module_name, nodes, python_files, relative, runtime_imports

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
    "traceback",
    "typing",
    "urllib",
    "uuid",
)

# What import-linter does not see: a rule needs no import for these.
IMPURE_CALLS = ("__import__", "breakpoint", "eval", "exec", "input", "open", "print")

# Folders that count as one module: a file per verb is still one surface.
ONE_HOME = ("latchboard.surface", "latchboard.testing")


def _hot_modules() -> list[str]:
    folders = tuple(f"src/latchboard/{folder}/" for folder in HOT_FOLDERS)
    return sorted({*HOT, *(module_name(path) for path in python_files(*folders))} - set(COLD))


@pytest.mark.parametrize("name", _hot_modules())
def test_hot_module_loads_nothing_slow(name: str) -> None:
    # -I -S: no site, hence no third-party package either.
    program = (
        "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1]); "
        "__import__(sys.argv[2]); print(*sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-I", "-S", "-c", program, str(PACKAGE.parent), name]
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & set(FORBIDDEN_WHEN_HOT)


def test_rules_do_nothing_but_decide() -> None:
    impure = [
        f"{relative(path)}:{node.lineno}: {node.func.id}()"
        for path in python_files("src/latchboard/rules/")
        for node in nodes(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS
    ]

    assert not impure, "a rule is a function of its arguments:\n" + "\n".join(impure)


def test_each_foreign_package_is_imported_in_one_module() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for path in python_files("src/latchboard/"):
        module = module_name(path)
        home = next((one for one in ONE_HOME if module == one or module.startswith(one + ".")), module)
        for _, name in runtime_imports(path):
            package = name.split(".")[0]
            ours = package in ("", "latchboard") or package.startswith("_") or package in sys.stdlib_module_names
            if not ours:
                homes[package].add(home)

    spread = {package: sorted(modules) for package, modules in homes.items() if len(modules) > 1}
    assert not spread, "hide a foreign package behind one module of ours"
