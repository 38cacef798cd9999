"""Operation: one thing that an agent does, as the sweeps interrupt it at every system call.

`prepare` and `run` happen in the process that is killed (the victim), `meanwhile` in the test while `run` is under way.
An operation says what must be true once it was interrupted: which paths anybody can lock at once, and what the whole
operation, had it ended, would have changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latchboard.compose import Latchboard
from latchboard.errors import CoordinationError
from latchboard.locks.hold import Hold
from latchboard.settings import Settings
from tests.process import queueing
from tests.process.nursery import Channel, Child, Nursery, until

VICTIM, RIVAL, PROBE = "victim", "rival", "probe"
FILE = "src/a.py"
OTHER = "src/other.py"
Answer = dict[str, Any]
"""What a victim says of its operation: `done`, else `error`, `families` (its classes) and `message`."""
OLD, NEW = "old content\n" * 40, "new content\n" * 50


@dataclass(frozen=True)
class Operation:
    """One operation of the sweeps.

    Attributes:
        name: What it is called in reports.
        run: The operation; gets what `prepare` returned.
        prepare: Brings the store into the state in which the operation starts.
        free: Paths that anybody can lock at once when the victim is dead.
        free_after_error: Paths that anybody can lock at once when the victim lives, but was told that it failed.
        heir: Who may have FILE, where it is not free, once somebody else has asked for it.
        kept: Paths that must stay held, since their hold does not end with the victim.
        settings: Of every process in the scene.
        rival: Holds or waits in a process of its own: "" (nobody), "waits" for FILE, "holds" FILE.
        check: Problems with what files outside the store say: (root, commits of the victim, its answer or None).
        commits: Whether it commits anything.
        is_long: It commits more than once, so that an error may come after its first commit.
        is_damaged: It starts from files that a power cut has damaged: the journal alone says what is true.
        is_first: The store does not exist before it.
        is_main: Belongs to `make test`; the others run in the soak.
    """

    name: str
    run: Callable[[Latchboard, Any], Any]
    prepare: Callable[[Latchboard], Any] = lambda board: None
    free: tuple[str, ...] = (FILE,)
    free_after_error: tuple[str, ...] = ()
    heir: str = ""
    kept: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    rival: str = ""
    check: Callable[[str, list[dict[str, Any]], Answer | None], list[str]] = lambda root, commits, answer: []
    commits: bool = True
    is_long: bool = False
    is_damaged: bool = False
    is_first: bool = False
    is_main: bool = True

    def board(self, root: str) -> Latchboard:
        return Latchboard(root, settings=Settings(**{"guard_wait_s_max": 10.0, **self.settings}), publishes=False)


# -- in the processes --------------------------------------------------------------------------------------------------


def victim(channel: Channel, root: str, name: str) -> None:
    """Prepare, wait for the word, run, tell; then again for every further word."""
    operation = OPERATIONS[name]
    board = operation.board(root)
    if not operation.is_first:
        with board.agent(VICTIM).lock("src/warm.py"):
            pass
    prepared = operation.prepare(board)
    channel.send(ready=True, open_files=_open_files())
    while True:
        word = channel.receive(3600)
        if "prepare" in word:
            prepared = operation.prepare(board)
        answer: dict[str, Any] = {"done": True}
        try:
            operation.run(board, prepared)
        except (CoordinationError, OSError) as exc:
            families = [kind.__name__ for kind in type(exc).__mro__]
            answer = {"done": False, "error": type(exc).__name__, "families": families, "message": str(exc)}
        channel.send(**answer)
        channel.receive(3600)  # nothing may be asked of the system here: it may still refuse
        channel.send(open_files=_open_files())


def rival(channel: Channel, root: str, name: str) -> None:
    """Wait for FILE, or hold it until told."""
    operation = OPERATIONS[name]
    me = operation.board(root).agent(RIVAL)
    if operation.rival == "holds":
        hold = me.lock(FILE)
        channel.send(holds=True)
        channel.receive()
        hold.release()
        channel.send(released=True)
        return
    channel.send(asks=True)
    hold = me.lock(FILE, wait_s_max=60)
    channel.send(token=hold.token)
    channel.receive()
    hold.release()


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


# -- what the test does ------------------------------------------------------------------------------------------------


def start_rival(operation: Operation, nursery: Nursery, root: str) -> Child | None:
    """Start the other process of the scene, and return when it holds or stands in line."""
    if not operation.rival:
        return None
    child = nursery.start(rival, root=root, name=operation.name)
    child.receive()
    if operation.rival == "waits":
        until(lambda: _waiters(operation, root), "the rival stands in line")
    return child


def meanwhile(operation: Operation, root: str, child: Child | None, has_spoken: Callable[[], bool]) -> None:
    """What happens while the victim is busy: a rival who holds lets go once the victim stands in line, or gave up."""
    if child is not None and operation.rival == "holds":
        until(lambda: has_spoken() or _waiters(operation, root), "the victim stands in line, or gave up")
        child.ask(release=True)


def _waiters(operation: Operation, root: str) -> list[Any]:
    board = operation.board(root)
    try:
        return board.store.read("waiters/").scan("waiters/", damaged=[])
    finally:
        board.close()


# -- the operations ----------------------------------------------------------------------------------------------------


def _locked(board: Latchboard) -> Hold:
    return board.agent(VICTIM).lock(FILE)


def _write_file(board: Latchboard) -> Hold:
    os.makedirs(f"{board.root}/src", exist_ok=True)
    with open(f"{board.root}/{FILE}", "w", encoding="utf-8") as file:
        file.write(OLD)
    return _locked(board)


def leaves_doubt(answer: Answer) -> bool:
    """Whether an error says that something may have happened all the same."""
    return any(word in answer["message"] for word in ("committed", "unknown", "not recorded"))


def _check_file(root: str, commits: list[dict[str, Any]], answer: Answer | None) -> list[str]:
    with open(f"{root}/{FILE}", encoding="utf-8") as file:
        text = file.read()
    if text not in (OLD, NEW):
        return [f"the file is neither old nor new: {text[:40]!r}... of {len(text)} characters"]
    is_recorded = any("log/write" in commit["puts"] for commit in commits)
    if text == OLD and (is_recorded or (answer is not None and answer["done"])):
        return ["it was written, so it is said, but the file is old"]
    if text == NEW and answer is not None and not answer["done"] and not leaves_doubt(answer):
        return ["it failed, so it is said, but the file is new"]
    return []


def _expired(board: Latchboard) -> None:
    board.agent(RIVAL).lock(FILE, bound="agent", ttl_s=0.001)


def _asked(board: Latchboard) -> str:
    """A holder who is asked for its lock by an agent that needs no process."""
    from latchboard.locks import handoff

    _locked(board)
    locks = board.locks
    request = locks.request(RIVAL, [FILE], bound="agent")
    handoff.ask_and_go(locks, request)
    return request.request


def _grant(board: Latchboard, request: str) -> None:
    from latchboard.locks import handoff

    handoff.grant(board.locks, request, by=VICTIM)


def _decline(board: Latchboard, request: str) -> None:
    from latchboard.locks import handoff

    handoff.decline(board.locks, request, by=VICTIM, reason="busy")


def _break(board: Latchboard, prepared: Any) -> None:
    from latchboard.locks import handoff

    handoff.break_lock(board.locks, FILE, by="operator", reason="a test")


def _mail(board: Latchboard) -> str:
    sent = board.mailbox.send(RIVAL, VICTIM, "please look", ack="required")
    board.mailbox.send(RIVAL, VICTIM, "no answer needed")
    board.mailbox.broadcast(RIVAL, "to everybody")
    return str(sent["id"])


def _received(board: Latchboard) -> str:
    message = _mail(board)
    board.mailbox.receive(VICTIM)
    return message


def _fill(board: Latchboard) -> None:
    """A journal so full that the next commit starts a new one."""
    fill(board)


def fill(board: Latchboard) -> None:
    """Commit until the journal is past its limit."""
    for number in range(4):
        board.store.transact(lambda view, n=number: view.put("log/fill", {"n": n, "text": "x" * 400}), who="filler")


def _journal_folder(board: Latchboard) -> Path:
    return Path(board.root, "data/.agent_locks/journal")


def _unfinished(board: Latchboard) -> None:
    """A writer died behind its commit point: its line is there, one of its files and the header are not."""
    guard = _journal_folder(board) / "guard"
    header = guard.read_bytes()
    board.agent(RIVAL).lock("src/unfinished.py", bound="agent")
    for record in guard.parent.parent.glob("src__unfinished*.lock"):
        record.unlink()
    _write_in_place(guard, header)


def _torn(board: Latchboard) -> None:
    """A writer died in the middle of its line."""
    with max(_journal_folder(board).glob("*.jsonl")).open("ab") as journal:
        journal.write(b'{"revision":17,"at":"2026-11-21T')


def _rebooted(board: Latchboard) -> None:
    """The machine went down since the last commit, and took a record with it that had not been flushed."""
    board.agent(RIVAL).lock("src/lost.py", bound="agent")
    guard = _journal_folder(board) / "guard"
    header = guard.read_bytes()
    boot = header.split()[-1]
    _write_in_place(guard, header.replace(boot, boot[::-1]))
    for record in guard.parent.parent.glob("src__lost*.lock"):
        record.write_bytes(b"")


def _write_in_place(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        file.write(data)


def _litter(board: Latchboard) -> None:
    """Holds and waits that are over."""
    from latchboard.locks import handoff

    for number in range(3):
        board.agent(RIVAL).lock(f"src/{number}.py", bound="agent", ttl_s=0.001)
    request = board.locks.request("asker", ["src/0.py"], bound="agent")
    handoff.ask_and_go(board.locks, request, wait_s_max=0.001)


def _clean_up(board: Latchboard, prepared: Any) -> None:
    board.cleanup.run()


def _wait(board: Latchboard, prepared: Any) -> None:
    board.agent(VICTIM).lock(FILE, wait_s_max=60)


def _wait_in_vain(board: Latchboard, prepared: Any) -> None:
    try:
        board.agent(VICTIM).lock(FILE, wait_s_max=0.01)
    except CoordinationError as exc:
        if exc.code != "wait-ended":
            raise


def _check_board(root: str, commits: list[dict[str, Any]], answer: Answer | None) -> list[str]:
    """Whatever was left of the board file, the next one to publish it writes all there is."""
    board = Latchboard(root, publishes=False)
    try:
        if not board.board.publish():
            return ["the board file cannot be written"]
        shown = json.loads(Path(board.root, "data/.agent_locks/status_board.json").read_bytes())
        newest = board.store.read("wide").revision
        return [] if shown["revision"] == newest else [f"the board says {shown['revision']}, the store {newest}"]
    finally:
        board.board.close()
        board.close()


def _strict(board: Latchboard) -> None:
    """A user whose umask leaves nothing to the group."""
    os.umask(0o077)


def _check_modes(root: str, commits: list[dict[str, Any]], answer: Answer | None) -> list[str]:
    """Nobody of the group is shut out of a shared folder."""
    paths = [path for path in Path(root, "data").rglob("*") if ".tmp" not in str(path)]
    modes = {path: path.lstat().st_mode for path in [Path(root, "data"), *paths] if path.exists()}
    return [f"{path} has mode {mode:o}" for path, mode in modes.items() if mode & 0o060 != 0o060]


_ALL = [
    Operation("create", lambda board, _: _locked(board), free_after_error=(FILE,), is_first=True),
    Operation(
        "create-shared",
        lambda board, _: _locked(board),
        prepare=_strict,
        free_after_error=(FILE,),
        settings={"shared": True},
        check=_check_modes,
        is_first=True,
        is_main=False,
    ),
    Operation("acquire", lambda board, _: _locked(board), free_after_error=(FILE,)),
    Operation(
        "acquire-several",
        lambda b, _: b.agent(VICTIM).lock(FILE, "docs/", "glob:lib/**/*.py", shared=True),
        free_after_error=(FILE,),
    ),
    Operation("acquire-again", lambda board, hold: _locked(board), prepare=_locked, is_main=False),
    Operation("acquire-expired", lambda board, _: _locked(board), prepare=_expired, free_after_error=(FILE,)),
    Operation(
        "acquire-agent-bound",
        lambda b, _: b.agent(VICTIM).lock(FILE, bound="agent"),
        free=(),
        free_after_error=(FILE,),
        is_main=False,
    ),
    Operation("wait", _wait, rival="holds", is_long=True, free_after_error=(FILE,)),
    Operation(
        "wait-in-vain",
        _wait_in_vain,
        is_long=True,
        prepare=lambda b: b.agent(RIVAL).lock(FILE, bound="agent"),
        free=(),
        kept=(FILE,),
        is_main=False,
    ),
    Operation("release", lambda board, hold: hold.release(), prepare=_locked),
    Operation("release-contended", lambda board, hold: hold.release(), prepare=_locked, rival="waits", free=()),
    Operation(
        "release-several",
        lambda board, hold: hold.release(),
        prepare=lambda b: b.agent(VICTIM).lock(FILE, "docs/", "glob:lib/**/*.py"),
        is_main=False,
    ),
    Operation("renew", lambda board, hold: hold.renew(), prepare=_locked),
    Operation("guarded-write", lambda board, hold: hold.write(FILE, NEW), prepare=_write_file, check=_check_file),
    Operation("handoff-grant", _grant, prepare=_asked, free=(), heir=RIVAL),
    Operation("handoff-decline", _decline, prepare=_asked, free=(), heir=RIVAL, is_main=False),
    Operation("break", _break, prepare=lambda b: b.agent(RIVAL).lock(FILE, bound="agent"), free=(), is_main=False),
    Operation("send", lambda board, _: board.mailbox.send(VICTIM, RIVAL, "hello")),
    Operation("send-first", lambda board, _: board.mailbox.send(VICTIM, RIVAL, "hello"), is_first=True, is_main=False),
    Operation(
        "send-shared",
        lambda board, _: board.mailbox.send(VICTIM, RIVAL, "hello"),
        prepare=_strict,
        settings={"shared": True},
        check=_check_modes,
        is_main=False,
    ),
    Operation("broadcast", lambda board, _: board.mailbox.broadcast(VICTIM, "hello"), is_main=False),
    Operation("receive", lambda board, _: board.mailbox.receive(VICTIM), prepare=_mail),
    Operation("ack", lambda board, message: board.mailbox.ack(VICTIM, message), prepare=_received),
    Operation(
        "queue-claim",
        queueing.take,
        prepare=queueing.queued,
        free=(),
        check=queueing.check,
    ),
    Operation(
        "queue-sync",
        queueing.sync,
        prepare=queueing.edited,
        settings={"queue_file": queueing.NAME},
        check=queueing.check_file,
        is_long=True,
    ),
    Operation("queue-complete", queueing.complete, prepare=queueing.claimed, free=(), check=queueing.check),
    Operation("queue-fail", queueing.fail, prepare=queueing.claimed, free=(), check=queueing.check, is_main=False),
    Operation("queue-submit", queueing.submit, prepare=queueing.queued, check=queueing.check, is_main=False),
    Operation("queue-reclaim", queueing.reclaim, prepare=queueing.expired, check=queueing.check_records, is_main=False),
    Operation("queue-stand", queueing.stand, prepare=queueing.held, free=(), kept=(FILE,), check=queueing.check_place),
    Operation(
        "queue-mend", queueing.mend, prepare=queueing.damaged, free=(), check=queueing.check_mended, is_main=False
    ),
    Operation("recover", lambda board, _: _locked(board), prepare=_unfinished, free_after_error=(FILE,)),
    Operation("recover-torn", lambda board, _: _locked(board), prepare=_torn, free_after_error=(FILE,), is_main=False),
    Operation("settle", lambda board, _: _locked(board), prepare=_rebooted, is_damaged=True, free_after_error=(FILE,)),
    Operation("clean-up", _clean_up, prepare=_litter, is_long=True, is_main=False),
    Operation(
        "publish-board",
        lambda board, hold: board.board.publish(),
        prepare=_locked,
        check=_check_board,
        commits=False,
    ),
    Operation(
        "update-status",
        lambda board, _: board.board.update(VICTIM, "busy", [FILE]),
        prepare=lambda board: board.board.update(VICTIM, "starting"),
        check=_check_board,
        is_main=False,
    ),
    Operation(
        "rotate",
        lambda board, _: _locked(board),
        prepare=_fill,
        free_after_error=(FILE,),
        settings={"journal_bytes_max": 2000, "journals_kept_count": 2},
    ),
]
OPERATIONS = {operation.name: operation for operation in _ALL}
