"""Things that are never written here: sleeping tests, swallowed errors, paths of one machine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.tree import ROOT, nodes, python_files, relative, tracked

# Where real processes are paused and waited for. Everywhere else time is a ManualClock.
MAY_SLEEP = ("tests/histories/", "tests/process/")
SIGNALS = ("kill", "killpg", "pidfd_send_signal", "send_signal", "terminate")


def test_tests_do_not_sleep() -> None:
    sleeps = [
        f"{relative(path)}:{line}"
        for path in python_files("tests/")
        if not relative(path).startswith(MAY_SLEEP)
        for line in _sleeps(path)
    ]

    assert not sleeps, "wait for the event itself, or use a ManualClock:\n" + "\n".join(sleeps)


def test_whether_a_process_is_there_is_asked_of_the_host_alone() -> None:
    asked = [
        f"{relative(path)}:{node.lineno}"
        for path in python_files("src/latchboard/")
        if not relative(path).startswith("src/latchboard/host/")
        for node in nodes(path, r"\b(kill|pid_exists|is_running|process_iter|exists)\b")
        if isinstance(node, ast.Call) and _asks_about_a_process(node)
    ]

    assert not asked, "a bare pid proves nothing: ask host.verdict(identity):\n" + "\n".join(asked)


def test_a_signal_to_another_process_goes_through_a_grip() -> None:
    senders = {
        relative(path)
        for path in python_files("src/latchboard/")
        for node in nodes(path, rf"\b({'|'.join(SIGNALS)})\b")
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in SIGNALS
        and not _is_about_itself(node)
    }

    # identity.py asks by signal 0, the fake ends what is only in memory, and surfaces end children that they started.
    # A keeper ends the group that it leads, and command_group a keeper that is its child and was not reaped.
    others = {f"src/latchboard/host/{name}.py" for name in ("grip", "identity", "fake", "keeper", "command_group")}
    assert {path for path in senders if not path.startswith("src/latchboard/surface/")} <= others


def test_no_error_is_swallowed() -> None:
    swallowed = [
        f"{relative(path)}:{node.lineno}"
        for path in python_files()
        for node in nodes(path, r"\bexcept\b\W*:|\b(Base)?Exception\b")
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (_is_broad(node.type) and _is_empty(node.body)))
    ]

    assert not swallowed, "name the error, and do something with it:\n" + "\n".join(swallowed)


def test_no_file_names_a_path_of_one_machine() -> None:
    # Built from parts, so that this file does not name one either.
    homes = "|".join(("home", "opt", "root", "work", "Users"))
    absolute = re.compile(rf"(?<![\w.~$}}*-])/(?:{homes})/\w[\w./-]*")
    found = []
    for path in tracked():
        if relative(path) == "uv.lock":  # its hashes and addresses have a test of their own
            continue
        text = path.read_bytes().decode("utf-8", errors="replace")
        if not absolute.search(text) and str(ROOT) + "/" not in text:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            hits = [hit.group() for hit in absolute.finditer(line)]
            hits += [str(ROOT)] if str(ROOT) + "/" in line else []
            found += [f"{relative(path)}:{number}: {hit}" for hit in hits]

    assert not found, "say it relative to the project, or under /srv for an example:\n" + "\n".join(found)


def test_lock_file_refers_to_the_public_index_alone() -> None:
    text = (ROOT / "uv.lock").read_text(encoding="utf-8")

    assert set(re.findall(r'registry = "([^"]*)"', text)) == {"https://pypi.org/simple"}
    assert set(re.findall(r"[a-z+]+://[^/\"]*", text)) == {"https://pypi.org", "https://files.pythonhosted.org"}
    assert set(re.findall(r"source = \{ (\w+)", text)) == {"registry", "editable"}


def _sleeps(path: Path) -> Iterator[int]:
    for node in nodes(path, r"\bsleep\b"):
        if isinstance(node, ast.Attribute) and node.attr == "sleep":
            if isinstance(node.value, ast.Name) and node.value.id == "time":
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "time" and any(a.name == "sleep" for a in node.names):
            yield node.lineno


def _asks_about_a_process(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    is_signal_0 = name == "kill" and len(call.args) == 2 and getattr(call.args[1], "value", None) == 0
    return is_signal_0 or name in ("pid_exists", "is_running", "process_iter") or (name == "exists" and _in_proc(call))


def _in_proc(call: ast.Call) -> bool:
    return any(isinstance(n, ast.Constant) and str(n.value).startswith("/proc/") for n in ast.walk(call))


def _is_about_itself(call: ast.Call) -> bool:
    first = call.args[0] if call.args else None
    return isinstance(first, ast.Call) and getattr(first.func, "attr", "") == "getpid"


def _is_broad(caught: ast.expr) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(name, ast.Name) and name.id in ("Exception", "BaseException") for name in names)


def _is_empty(body: list[ast.stmt]) -> bool:
    return all(isinstance(node, ast.Pass | ast.Continue) or _is_ellipsis(node) for node in body)


def _is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
