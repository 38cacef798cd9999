"""Scene: one operation in a folder of its own, with its victim, its rival, and strace on the victim."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from types import TracebackType
from typing import Any

from latchboard.errors import CoordinationError
from tests.process import inspection
from tests.process.nursery import Gone, Nursery
from tests.process.operation import FILE, OTHER, PROBE, RIVAL, Operation, meanwhile, start_rival, victim
from tests.process.trace import Trace


class Scene:
    """Made afresh for every attempt; a context manager that leaves no process and no file behind.

    Attributes:
        root: The project's folder.
        before: The store when the operation started.
        victim: The process that runs the operation.
        trace: strace on the victim, once it runs.
    """

    def __init__(self, operation: Operation, nursery: Nursery, folder: Path) -> None:
        self.operation = operation
        self.root = str(folder / "root")
        self._log = folder / "calls"
        self._nursery = nursery
        self.trace: Trace | None = None

    def __enter__(self) -> Scene:
        Path(self.root).mkdir()
        self.board = self.operation.board(self.root)
        self.victim = self._nursery.start(victim, root=self.root, name=self.operation.name)
        self.open_files: int = self.victim.receive()["open_files"]
        self.rival = start_rival(self.operation, self._nursery, self.root)
        if self.rival is not None and self.operation.rival == "waits":
            self.rival.stop(self.board.store)  # so that nobody but the victim changes anything until we have looked
        self.before = self.look()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.board.close()
        if self.trace is not None:
            self.trace.close()
        self._nursery.clear()
        shutil.rmtree(self.root)

    def look(self) -> inspection.State:
        """The whole store, as a reader sees it that opened it just now."""
        self.board.close()
        commits = inspection.Folder(self.root).commits()
        state = inspection.State(self.board, inspection.keys_of({}, commits))
        if self.operation.is_damaged:
            state.records = inspection.fold({}, commits)
        return state

    def run(self, *injections: str) -> dict[str, Any] | None:
        """Let the victim run its operation under strace; its answer, or None when it was killed."""
        self.trace = Trace(self.victim.pid, self._log, *injections)
        try:
            self.victim.channel.send(go=True)  # where strace interrupts its waiting, it may be dead by now
            meanwhile(self.operation, self.root, self.rival, self.victim.has_spoken)
            return self.victim.receive()
        except Gone:
            self.victim.wait()
            return None

    def problems(self, *, free: tuple[str, ...]) -> list[str]:
        """What is wrong now, looked at by this process; `free` are the paths that anybody can lock at once."""
        found: list[str] = []
        try:
            self.board.close()
            if not self.operation.is_damaged:
                found += inspection.nothing_half_done(self.board, self.before)
            found += self._rival_goes_on()
            found += inspection.nothing_blocks(self.board, PROBE, [OTHER, *free], self.before)
            found += self._heir_has_it()
            found += inspection.settled(self.board, self.before)
            found += [f"{p} is free" for p in self.operation.kept if not self.board.locks.check([p], agent=PROBE)]
        except (CoordinationError, OSError) as exc:
            found.append(f"{type(exc).__name__}: {exc}")
        return found

    def commits(self) -> list[dict[str, Any]]:
        """What the victim has committed since the operation started."""
        commits = inspection.Folder(self.root).commits(self.before.revision)
        return [commit for commit in commits if commit["who"] not in (PROBE, RIVAL)]

    def _rival_goes_on(self) -> list[str]:
        """A rival who stands in line gets the lock once the victim let go or is dead."""
        if self.rival is None or self.operation.rival != "waits" or not self._is_let_go():
            return []
        self.rival.kill(signal.SIGCONT)
        token = self.rival.receive()["token"]
        self.rival.kill()
        self.rival.wait()
        return [] if token > self.before.revision else [f"the rival's token {token} is not new"]

    def _heir_has_it(self) -> list[str]:
        """A dead holder's lock goes to who stands in line without a process, as soon as anybody asks for it."""
        if not self.operation.heir or not self.victim.has_ended():
            return []
        if hold := self.board.agent(PROBE).try_lock(FILE):
            hold.release()
            return []
        holders = [holder["agent"] for holder in self.board.locks.check([FILE])]
        return [] if holders == [self.operation.heir] else [f"{FILE} is held by {holders} and still refused"]

    def _is_let_go(self) -> bool:
        return self.victim.has_ended() or bool(self.commits())
