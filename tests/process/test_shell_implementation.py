"""The protocol is not Python: examples/shell/latch.sh and the library work on one store, in both directions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import latchboard
from latchboard import Latchboard, LockHeld
from latchboard.errors import MalformedRecord
from latchboard.store.files import guard, layout

pytestmark = [pytest.mark.process, pytest.mark.needs_tool("jq", "flock", "gzip", "sha256sum")]

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "shell" / "latch.sh"
SHELL = shutil.which("dash") or shutil.which("sh") or "sh"
OK, REFUSED, LOST, UNREADABLE, UNAVAILABLE = 0, 10, 11, 12, 13

Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def board(memory_path: Path) -> Iterator[Latchboard]:
    """A project with a store that has had one commit."""
    (memory_path / "a.py").write_text("a = 1\n")
    found = Latchboard(memory_path, publishes=False)
    assert found.agent("founder").lock("a.py").release()
    yield found
    found.close()


@pytest.fixture
def shell(memory_path: Path, board: Latchboard) -> Shell:
    """Runs latch.sh in the project; `expect` is the exit status it must have."""
    assert board.root == str(memory_path.resolve())

    def run(*words: str, expect: int = OK, path: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]}
        command = [SHELL, str(SCRIPT), *words]
        done = subprocess.run(
            command, cwd=memory_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == expect, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    return run


def store_folder(board: Latchboard) -> Path:
    return Path(board.root) / layout.FOLDER


def journal_of(board: Latchboard) -> Path:
    header = guard.Header.unpack((store_folder(board) / layout.GUARD).read_bytes())
    assert header is not None
    return store_folder(board) / layout.journal(header.base)


def run_python(board: Latchboard, code: str, *, wait: bool = True) -> subprocess.Popen[str]:
    """A process with `board` and `me` (the agent "other"), which prints a line when it is ready."""
    head = "import sys, time, os, signal\nfrom latchboard import Latchboard\n"
    head += "board = Latchboard(sys.argv[1], publishes=False)\nme = board.agent('other')\n"
    process = subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(code), board.root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(latchboard.__file__).parents[1])},
    )
    if wait:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    return process


# -- both directions -------------------------------------------------------------------------------------------------


def test_python_is_told_that_a_shell_holds_it(board: Latchboard, shell: Shell) -> None:
    token = int(shell("acquire", "a.py", "sheila").stdout)

    with pytest.raises(LockHeld) as refused:
        board.agent("planner").lock("a.py")

    (holder,) = refused.value.fields["holders"]
    assert (holder["agent"], holder["token"], holder["bound"]) == ("sheila", token, "agent")
    assert 3590 < holder["remaining_s"] <= 3600


def test_a_shell_is_told_that_python_holds_it(board: Latchboard, shell: Shell) -> None:
    with board.agent("planner").lock("a.py", reason="rename Foo") as hold:
        told = shell("acquire", "./a.py", "sheila", expect=REFUSED).stderr
        shell("release", "a.py", "sheila", expect=REFUSED)
        seen = json.loads(shell("holders", "a.py").stdout)

    assert "planner" in told
    assert "rename Foo" in told
    assert (seen["agent"], seen["token"], seen["pid"]) == ("planner", hold.token, os.getpid())


def test_tokens_grow_across_both(board: Latchboard, shell: Shell) -> None:
    tokens = []
    for _ in range(3):
        tokens.append(int(shell("acquire", "a.py", "sheila").stdout))
        shell("release", "a.py", "sheila")
        with board.agent("planner").lock("a.py") as hold:
            tokens.append(hold.token)

    assert tokens == sorted(set(tokens))
    shell("release", "a.py", "sheila", expect=LOST)


def test_acquiring_again_is_idempotent_although_each_call_is_another_process(board: Latchboard, shell: Shell) -> None:
    first = shell("acquire", "a.py", "sheila", "60").stdout

    again = shell("acquire", "a.py", "sheila").stdout
    held = board.agent("sheila").lock("a.py", bound="agent")  # the library goes on where the shell stopped

    assert again == first
    assert held.token == int(first)


def test_the_stream_shows_commits_of_a_shell(board: Latchboard, shell: Shell) -> None:
    after = board.store.read("wide").revision

    token = int(shell("acquire", "a.py", "sheila").stdout)
    shell("send", "planner", "hello", "sheila")
    shell("release", "a.py", "sheila")

    with board.stream.changes(after=after, timeout_s=0) as changes:
        seen = list(changes)
    assert [change.key.partition("/")[0] for change in seen] == ["locks", "messages", "locks"]
    assert {change.who for change in seen} == {"sheila"}
    assert seen[0].revision == token
    assert [change.value is None for change in seen] == [False, False, True]
    with board.stream.events(after=after, timeout_s=0) as events:
        assert [event["event"] for event in events] == ["lock.acquired", "message.sent", "lock.released"]


@pytest.mark.parametrize("to", ["planner", "Planner", "a/b", "..", "x" * 150, "two words"])
def test_a_message_of_a_shell_reaches_exactly_its_recipient(board: Latchboard, shell: Shell, to: str) -> None:
    body = 'quotes " and \\ and\n\ttabs, \u00e9 \u4f60'

    message_id = shell("send", to, body, "sheila").stdout.strip()

    assert board.mailbox.receive("planner2").messages == []
    (message,) = board.mailbox.receive(to).messages
    assert (message["id"], message["from"], message["to"], message["body"]) == (message_id, "sheila", to, body)


@pytest.mark.parametrize("name", [".env", "src/deep/x.py", "with space.txt", "a%b*[c]", "x" * 140, "-n", "src/../a.py"])
def test_both_lock_one_file_under_one_name(board: Latchboard, shell: Shell, name: str) -> None:
    shell("acquire", name, "sheila")

    (holder,) = board.locks.check([name])

    assert holder["agent"] == "sheila"
    shell("release", f"./{name}", "sheila")
    assert board.locks.check([name]) == []


# -- refused rather than guessed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"key":"locks/b.py","mod_revision":1}', b"\xff"])
def test_a_record_that_cannot_be_read_is_never_free(board: Latchboard, shell: Shell, damage: bytes) -> None:
    board.agent("planner").lock("a.py")
    (store_folder(board) / layout.record("locks/a.py")).write_bytes(damage)

    for verb in ("acquire", "release"):
        shell(verb, "a.py", "sheila", expect=UNREADABLE)
    shell("holders", "a.py", expect=UNREADABLE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"agent": ""},
        {"mode": "both"},
        {"bound": None},
        {"token": "1"},
        {"depth": 2},
        {"entries": []},
        {"claim": 1},
        {"first_token": 1.5},
        {"ttl_s": 0},
        {"acquired": {"at": "", "boot": ""}},
        {"process": []},
    ],
    ids=str,
)
def test_both_call_the_same_record_malformed(board: Latchboard, shell: Shell, wrong: dict[str, Any]) -> None:
    board.agent("planner").lock("a.py")
    path = store_folder(board) / layout.record("locks/a.py")
    record = json.loads(path.read_text())
    record["holders"][0] |= wrong
    path.write_text(json.dumps(record))

    shell("acquire", "a.py", "sheila", expect=UNREADABLE)
    with pytest.raises(MalformedRecord):
        Latchboard(board.root, publishes=False).agent("builder").lock("a.py")


def test_a_shell_does_not_jump_the_line_and_does_not_drop_it(board: Latchboard, shell: Shell) -> None:
    shell("acquire", "a.py", "sheila")
    waiter = run_python(board, "print('ready', flush=True)\nprint(me.lock('a.py', wait_s_max=60).token, flush=True)")
    try:
        while not board.store.read("waiters/").scan("waiters/"):
            pass

        shell("release", "a.py", "sheila", expect=UNAVAILABLE)
        assert board.locks.release_names("sheila", ["a.py"]) == ["a.py"]
        assert waiter.stdout is not None
        assert int(waiter.stdout.readline()) > 0
    finally:
        waiter.kill()
        waiter.communicate()


def test_any_folder_or_glob_counts_as_held(board: Latchboard, shell: Shell) -> None:
    with board.agent("planner").lock("glob:docs/*.md"):
        assert "glob:" in shell("acquire", "a.py", "sheila", expect=REFUSED).stderr

    shell("acquire", "a.py", "sheila")


def test_a_dead_holder_is_taken_over_and_a_stopped_one_is_not(board: Latchboard, shell: Shell) -> None:
    holder = run_python(board, "hold = me.lock('a.py')\nprint('ready', flush=True)\nsignal.pause()")
    try:
        shell("acquire", "a.py", "sheila", expect=REFUSED)
        shell("acquire", "a.py", "other", expect=REFUSED)  # the same agent id in another living process
        before = json.loads(shell("holders", "a.py").stdout)
    finally:
        holder.kill()
        holder.communicate()

    token = int(shell("acquire", "a.py", "sheila").stdout)

    assert token > before["token"]
    with board.stream.changes("log/takeover", after=0, timeout_s=0) as changes:
        (change,) = changes
    assert change.value is not None
    assert change.value["by"] == "sheila"
    assert change.value["taken"] == [{"name": "a.py", "from": "other", "token": before["token"], "why": "dead"}]


def test_a_shell_expires_nobody(board: Latchboard, shell: Shell) -> None:
    board.agent("planner").lock("a.py", ttl_s=0.01)

    shell("acquire", "a.py", "sheila", expect=REFUSED)

    assert board.agent("builder").lock("a.py").release()  # the library knows the clock, and takes it over
    shell("acquire", "a.py", "sheila")


def test_its_own_hold_ends_in_time(board: Latchboard, shell: Shell) -> None:
    token = int(shell("acquire", "a.py", "sheila", "1").stdout)
    shell("acquire", "b.py", "sheila", "60")
    with pytest.raises(LockHeld):
        board.agent("planner").lock("b.py")
    deadline = board.clock.now().mono_s + 1.1
    while board.clock.now().mono_s < deadline:
        board.clock.wait([], 0.1)

    shell("release", "a.py", "sheila", expect=LOST)
    assert board.agent("planner").lock("a.py").token > token


@pytest.mark.parametrize("what", ["torn", "copy", "boot", "full", "header", "journal", "absent"])
def test_a_store_that_needs_work_is_left_to_the_library(board: Latchboard, shell: Shell, what: str) -> None:
    folder, journal = store_folder(board), journal_of(board)
    header = guard.Header.unpack((folder / layout.GUARD).read_bytes())
    assert header is not None
    if what == "torn":
        with journal.open("ab") as file:
            file.write(b'{"revision":')
    elif what == "copy":
        os.rename(folder, f"{folder}.old")
        shutil.copytree(f"{folder}.old", folder)
    elif what == "boot":
        header.boot = "another-boot"
        (folder / layout.GUARD).write_bytes(header.pack())
    elif what == "full":
        for _ in range(9):
            board.store.transact(lambda view: view.put("log/big", {"text": "x" * 1_000_000}), who="founder")
    elif what == "header":
        (folder / layout.GUARD).write_bytes(b"x" * guard.HEADER_BYTES)
    elif what == "journal":
        journal.unlink()
    else:
        os.rename(folder, f"{folder}.gone")

    shell("acquire", "a.py", "sheila", expect=UNAVAILABLE)
    board.close()
    assert board.agent("founder").lock("a.py").release()
    shell("acquire", "a.py", "sheila")


def test_another_format_is_not_touched(board: Latchboard, shell: Shell) -> None:
    (store_folder(board) / layout.FORMAT).write_text('{"format":2,"store_id":"x"}\n')

    shell("acquire", "a.py", "sheila", expect=UNREADABLE)


@pytest.mark.parametrize(
    "words", [[], ["steal"], ["acquire", "a.py"], ["acquire", "src/", "a"], ["acquire", "a.py", "a", "-1"]]
)
def test_wrong_usage_is_status_2(shell: Shell, words: list[str]) -> None:
    shell(*words, expect=2)


# -- together --------------------------------------------------------------------------------------------------------

_PYTHON_WORKER = """
for _ in range(6):
    me = board.agent("python-" + str(os.getpid()))
    while not (hold := me.try_lock("counter")):
        time.sleep(0.05)
    value = int(open(board.root + "/counter").read())
    time.sleep(0.002)
    open(board.root + "/counter", "w").write(str(value + 1))
    assert hold.release()
"""
_SHELL_WORKER = """
i=0
while [ "$i" -lt 2 ]; do
    "$1" "$2" acquire counter "shell-$$" >/dev/null 2>&1
    status=$?
    [ "$status" = 10 ] && sleep 0.05 && continue
    [ "$status" = 0 ] || exit "$status"
    value=$(cat counter)
    echo "$((value + 1))" >counter
    "$1" "$2" release counter "shell-$$" || exit
    i=$((i + 1))
done
"""


def test_four_shells_and_four_pythons_lose_no_increment(board: Latchboard) -> None:
    (Path(board.root) / "counter").write_text("0")

    workers: list[subprocess.Popen[Any]] = [run_python(board, _PYTHON_WORKER, wait=False) for _ in range(4)]
    command = [SHELL, "-c", _SHELL_WORKER, "worker", SHELL, str(SCRIPT)]
    workers += [subprocess.Popen(command, cwd=board.root) for _ in range(4)]
    try:
        statuses = [worker.wait(timeout=100) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()

    assert statuses == [0] * 8
    assert int((Path(board.root) / "counter").read_text()) == 4 * 6 + 4 * 2


@pytest.mark.parametrize("verb", ["acquire", "release"])
def test_a_commit_of_a_killed_shell_is_finished(board: Latchboard, shell: Shell, tmp_path: Path, verb: str) -> None:
    if verb == "release":
        shell("acquire", "a.py", "sheila")
    tool = tmp_path / "bin" / ("mv" if verb == "acquire" else "rm")  # what applies the commit: kills instead
    tool.parent.mkdir()
    rest = 'case "$*" in *.tmp) exec /bin/rm "$@" ;; esac\n' if verb == "release" else ""
    tool.write_text(f"#!/bin/sh\n{rest}kill -KILL $PPID\n")
    tool.chmod(0o755)

    shell(verb, "a.py", "sheila", expect=-9, path=str(tool.parent))

    record = store_folder(board) / layout.record("locks/a.py")
    assert record.exists() == (verb == "release")  # the line is there, the record is not what it says
    shell("holders", "a.py", expect=UNAVAILABLE)
    if verb == "acquire":
        with pytest.raises(LockHeld, match="sheila"):
            board.agent("planner").lock("a.py")
        shell("release", "a.py", "sheila")
    assert board.agent("planner").lock("a.py").release()


@pytest.mark.parametrize("name", ["gzip", "sha256sum", "jq"])
def test_a_tool_that_breaks_changes_nothing(board: Latchboard, shell: Shell, tmp_path: Path, name: str) -> None:
    tool = tmp_path / "bin" / name
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nkill -KILL $$\n")
    tool.chmod(0o755)
    before = journal_of(board).read_bytes()

    for words in (["acquire", "a.py", "sheila"], ["send", "Planner", "hello", "sheila"]):
        shell(*words, expect=UNREADABLE if name == "jq" else UNAVAILABLE, path=str(tool.parent))

    assert journal_of(board).read_bytes() == before
    assert board.agent("planner").lock("a.py").release()


def test_a_shell_that_cannot_write_takes_its_line_back(board: Latchboard, shell: Shell, tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "stat"  # says that the journal is shorter than it is: as after a failed append
    tool.parent.mkdir()
    tool.write_text(
        '#!/bin/sh\nlast=$(/usr/bin/stat "$@") || exit\n'
        'case "$* $(cat seen 2>/dev/null)" in *.jsonl" x") echo 1 ;; *.jsonl*) echo x >seen; echo "$last" ;; '
        '*) echo "$last" ;; esac\n'
    )
    tool.chmod(0o755)
    before = journal_of(board).read_bytes()

    shell("acquire", "a.py", "sheila", expect=UNAVAILABLE, path=str(tool.parent))

    assert journal_of(board).read_bytes() == before
    assert board.agent("planner").lock("a.py").release()


def test_a_repository_below_a_board_is_not_that_boards(board: Latchboard, shell: Shell) -> None:
    repository = Path(board.root) / "repository"
    (repository / ".git").mkdir(parents=True)
    command = [SHELL, str(SCRIPT), "acquire", "a.py", "sheila"]

    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, latchboard.find_root(repository)) == (UNAVAILABLE, str(repository))
    assert "is a git repository without a board" in done.stderr
