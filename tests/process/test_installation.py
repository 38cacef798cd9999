"""Setting up and taking out, killed at every system call, on a full disk and on one that is read-only."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import CoordinationError
from latchboard.host.project_file import KeptFiles, ProjectFiles
from latchboard.installation import Change, Choice, Installation
from latchboard.settings import Settings
from tests.conftest import SOAK
from tests.process import space
from tests.process.nursery import Channel, Gone, Nursery
from tests.process.trace import Trace

pytestmark = pytest.mark.process

CLIENTS = ("claude", "gemini", "codex", "aider")
SWEPT = CLIENTS if SOAK else ("codex",)
"""Whose files are killed at every step: JSON, TOML, marked lines, and a file that was not there."""
FILES = {
    ".claude/settings.json": '{\n    "model": "x",\n    "hooks": {"Stop": []}\n}',
    ".mcp.json": '{"mcpServers":{"mine":{"command":"x"}}}',
    ".gitignore": "*.pyc",
    "AGENTS.md": "# Mine\n",
    ".codex/config.toml": 'model = "x"\n',
}
CHANGING = ("openat", "write", "rename", "renameat", "mkdir", "unlink", "unlinkat", "rmdir", "fdatasync", "fchmod")
"""What can change a file, or stands right before it. A kill between two others leaves what is left before the next."""


class Bare:
    """A machine on which the bare names are enough."""

    def at_home(self, name: str) -> bool:
        return False

    def program(self, name: str) -> str:
        return ""

    def command(self, program: str, module: str) -> tuple[list[str], bool]:
        return [program], True

    def can_import(self, package: str) -> bool:
        return True


def installation(root: str) -> Installation:
    return Installation(ProjectFiles(root), KeptFiles(f"{root}/data/.agent_locks", "."), Bare(), Settings())


def project(root: Path) -> dict[str, bytes]:
    (root / "data/.agent_locks").mkdir(parents=True)
    (root / ".git").mkdir()
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tree(root)


def tree(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {name: path.read_bytes() for path in files if not (name := str(path.relative_to(root))).startswith("data")}


def folders(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir()}


def set_up(root: str, clients: tuple[str, ...] = CLIENTS) -> list[Change]:
    one = installation(root)
    return one.apply(one.plan(Choice(clients)))


def take_out(root: str) -> list[Change]:
    one = installation(root)
    failed = one.apply(one.plan_removal())
    one.forget(but=[change.name for change in failed])
    return failed


def victim(channel: Channel, root: str, what: str) -> None:
    """Do it once the word comes."""
    channel.send(ready=True)
    channel.receive()
    failed = _do(what, root)
    channel.send(failed=[f"{change.name}: {change.why}" for change in failed])
    channel.receive(3600)


def _do(what: str, root: str) -> list[Change]:
    return set_up(root, SWEPT) if what == "set-up" else take_out(root)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.needs_tool("strace")
@pytest.mark.parametrize("what", ["set-up", "take-out"])
def test_a_kill_at_any_step_leaves_each_file_old_or_new_and_another_run_ends_it(
    what: str, nursery: Nursery, memory_path: Path
) -> None:
    reference = memory_path / "reference"
    old = project(reference)
    set_up(str(reference), SWEPT)
    new = tree(reference)
    problems, killed = [], 0

    def attempt(*injections: str) -> tuple[bool, Counter[str]]:
        root = memory_path / f"{what}-{len(os.listdir(memory_path))}"
        project(root)
        if what == "take-out":
            set_up(str(root), SWEPT)
        child = nursery.start(victim, root=str(root), what=what)
        child.receive()
        with Trace(child.pid, memory_path / "calls", *injections) as trace:
            try:
                child.channel.send(go=True)
                was_killed = "failed" not in child.receive()
            except Gone:
                was_killed = True
            child.kill()
            child.wait()
            calls = Counter(name for name, _ in trace.calls())
        where = " ".join(injections)
        for name, data in tree(root).items():
            if not name.endswith(".tmp") and data not in (old.get(name), new.get(name)):
                problems.append(f"{where}: {name} is neither old nor new: {data[:80]!r}")
        for name in old:
            if not (root / name).exists():
                problems.append(f"{where}: {name} is gone")
        again = _do(what, str(root))
        if again or tree(root) != (new if what == "set-up" else old):
            problems.append(f"{where}: the second run left {sorted(tree(root))}, {again}")
        take_out(str(root))
        if tree(root) != old or folders(root) != {".git", ".claude", ".codex", *_store(root)}:
            problems.append(f"{where}: taken out, it is {sorted(tree(root))} in {sorted(folders(root))}")
        return was_killed, calls

    was_killed, calls = attempt()
    assert not was_killed
    for call in CHANGING:
        for number in range(1, calls[call] + 1, 1 if SOAK else 2):  # each second one
            killed += attempt(f"{call}:signal=KILL:when={number}")[0]

    print(f"{what}: killed {killed} times")
    if problems:
        pytest.fail(f"{len(problems)} problems\n" + "\n".join(problems[:20]), pytrace=False)
    assert killed > 25


def _store(root: Path) -> set[str]:
    return {name for name in folders(root) if name.startswith("data")}


# -- a disk that refuses ----------------------------------------------------------------------------------------------


def on_a_full_disk(channel: Channel, root: str) -> None:
    channel.send(**_told(_on_a_full_disk, root))


def _told(function: Any, root: str) -> dict[str, Any]:
    try:
        return {"answer": function(root)}
    except space.Refused as exc:
        return {"refused": str(exc)}


def _on_a_full_disk(root: str) -> dict[str, Any]:
    space.own_mounts()
    space.mount_tmpfs(root, "256k")
    before = project(Path(root))
    ballast = Path(root, "data/ballast")
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size):
                    continue
            except OSError:
                continue
    failed = set_up(root)
    full = tree(Path(root))
    ballast.unlink()
    again = set_up(root)
    whole = bool(again) or not installation(root).plan(Choice(CLIENTS))
    out = take_out(root)
    return {
        "failed": sorted({change.why.split(":")[-1].strip() for change in failed}),
        "kept": {name: full.get(name) == data for name, data in before.items()},
        "others": sorted(name for name in full if name not in before),
        "again": [change.why for change in again],
        "whole": whole,
        "back": not out and tree(Path(root)) == before,
    }


def test_full_disk_leaves_files_as_they_were_and_says_so(nursery: Nursery, tmp_path: Path, require: Any) -> None:
    answer = nursery.start(on_a_full_disk, root=str(tmp_path)).receive()
    require("refused" not in answer, f"a mount namespace with a tmpfs: {answer.get('refused')}")
    found = answer["answer"]

    assert found["failed"] == ["No space left on device"]
    assert all(found["kept"].values())
    assert found["others"] == []
    assert found["again"] == []
    assert found["whole"]
    assert found["back"]


def on_a_read_only_disk(channel: Channel, root: str) -> None:
    channel.send(**_told(_on_a_read_only_disk, root))


def _on_a_read_only_disk(root: str) -> dict[str, Any]:
    before = project(Path(root))
    space.own_mounts()
    space.mount_read_only(root)
    one = installation(root)
    changes = one.plan(Choice(CLIENTS))
    try:
        failed = one.apply(changes)
    except CoordinationError as exc:
        return {"raised": exc.code}
    refused = {change.name for change in changes if change.kind == "refused"} | {change.name for change in failed}
    return {"refused": sorted(refused), "same": tree(Path(root)) == before}


def test_read_only_disk_refuses_every_file(nursery: Nursery, tmp_path: Path, require: Any) -> None:
    answer = nursery.start(on_a_read_only_disk, root=str(tmp_path)).receive()
    require("refused" not in answer, f"a mount namespace with a read-only mount: {answer.get('refused')}")

    assert answer["answer"]["same"]
    assert set(FILES) <= set(answer["answer"]["refused"])
