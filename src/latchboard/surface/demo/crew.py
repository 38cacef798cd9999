"""Crew: the agents' processes. Started, told, heard, killed and never left running."""

from __future__ import annotations

import os
import selectors
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

from latchboard.surface.demo.interruption import postponed
from latchboard.surface.demo.project import PACKAGE

if TYPE_CHECKING:
    from latchboard.surface.demo.worker import Job

_WORKER = "latchboard.surface.demo.worker"
_ERROR_CHARS_MAX = 1000


class Member:
    """One agent's process.

    Attributes:
        agent: Its id.
        process: What runs.
        errors: Where its standard error goes.
    """

    def __init__(self, job: Job) -> None:
        self.agent = job["agent"]
        self.errors = Path(job["log"] + ".errors")
        self._rest = b""
        # Its own session: Ctrl-C in the terminal is for whoever started it, and that one ends it.
        # -P: the copied project is never on the path, so what runs is this package and not the copy under edit.
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", _WORKER, dumps(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(),
                start_new_session=True,
                bufsize=0,
            )

    def tell(self, order: str) -> None:
        """Give an order; one that has ended hears nothing."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(order.encode() + b"\n")
        except BrokenPipeError:
            return  # it has ended, and its exit status will say so

    def hear(self) -> list[list[str]] | None:
        """What it said since the last call, in words; None when it has nothing more to say, ever."""
        assert self.process.stdout is not None
        data = self.process.stdout.read(65536)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode().split() for line in lines]

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def last_words(self) -> str:
        """The end of its standard error, or its exit status."""
        said = self.errors.read_text(errors="replace").strip()
        return said[-_ERROR_CHARS_MAX:] or f"exit status {self.process.poll()}"


class Crew:
    """All agents of one phase; a context manager that ends every one of them."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._selector = selectors.DefaultSelector()
        self.members: dict[str, Member] = {}

    def __enter__(self) -> Crew:
        try:
            with postponed():
                for job in self._jobs:
                    member = self.members[job["agent"]] = Member(job)
                    assert member.process.stdout is not None
                    self._selector.register(member.process.stdout, selectors.EVENT_READ, member)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def tell_all(self, order: str) -> None:
        """Give an order to everybody."""
        for member in self.members.values():
            member.tell(order)

    def hear(self, wait_s: float) -> Iterator[tuple[str, list[str]]]:
        """What was said, by whom; waits up to `wait_s` seconds for the first word. `gone` is the last of each."""
        if not self._selector.get_map():
            return
        for key, _ in self._selector.select(wait_s):
            member: Member = key.data
            said = member.hear()
            if said is None:
                self._selector.unregister(key.fileobj)
                member.process.wait()
                yield member.agent, ["gone"]
                continue
            for words in said:
                yield member.agent, words

    def close(self) -> None:
        """End whoever still runs, by SIGKILL: what they work on is about to be removed."""
        for member in self.members.values():
            member.process.kill()
        for member in self.members.values():
            with member.process:  # closes the pipes and waits
                pass
        self._selector.close()


def _environment() -> dict[str, str]:
    """The same, in which this very package is found even where it is not installed."""
    parent = str(PACKAGE.parent)
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    if parent in installed:
        return dict(os.environ)
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([parent, others] if others else [parent])}
