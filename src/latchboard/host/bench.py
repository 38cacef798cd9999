"""Bench: a scratch folder, and commands run in it as a client runs its hooks.

No variable by which an agent, a project or a repository is named is passed on: what is tried must not find the real
one.

Protocol: protocol/installation.md, "Probing".
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager

from latchboard.errors import HostError, from_os_error
from latchboard.host.root import read_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GIT_S_MAX = 60.0
_FILE_BYTES_MAX = 16 * 1024 * 1024
_PROJECTS = ("CLAUDE_PROJECT_DIR", "GEMINI_PROJECT_DIR", "CURSOR_PROJECT_DIR")
_NAMED = ("AGENT_ID", "CLAUDE_ENV_FILE", *_PROJECTS)


class Ran:
    """How a command ended; see doctor/probed.py."""

    __slots__ = ("err", "out", "status", "took_s")

    def __init__(self, status: int, out: str, err: str, took_s: float) -> None:
        self.status = status
        self.out = out
        self.err = err
        self.took_s = took_s


class ScratchBench:
    """Runs commands in folders of their own."""

    __slots__ = ()

    @contextmanager
    def scratch(self) -> Iterator[str]:
        """See doctor/probed.py."""
        try:
            folder = os.path.realpath(tempfile.mkdtemp(prefix="latchboard-doctor-"))
        except OSError as exc:
            raise from_os_error(exc, "make a scratch folder in", tempfile.gettempdir()) from exc
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def run(self, command: str, folder: str, stdin: str, *, timeout_s: float) -> Ran:
        """See doctor/probed.py."""
        environment = {**_environment(), **dict.fromkeys(_PROJECTS, folder)}
        return self._timed(["/bin/sh", "-c", command], folder, stdin, timeout_s, environment)

    def git(self, folder: str, *words: str, agent: str = "") -> Ran:
        """See doctor/probed.py."""
        nobody = {f"GIT_{who}_{what}": "doctor" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment = {**_environment(), **nobody, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        if agent:
            environment["AGENT_ID"] = agent
        return self._timed(["git", "-c", "init.templateDir=", *words], folder, "", GIT_S_MAX, environment)

    def hooks_folder(self, folder: str) -> str:
        """See doctor/probed.py."""
        try:
            words = ["git", "-C", folder, "rev-parse", "--git-path", "hooks"]
            done = subprocess.run(words, capture_output=True, check=False, env=_environment(), timeout=GIT_S_MAX)
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise HostError(f"git cannot be asked: {exc}") from exc
        said = os.fsdecode(done.stdout).removesuffix("\n")
        return os.path.join(folder, said) if done.returncode == 0 and said else ""

    def read(self, path: str) -> bytes | None:
        """See doctor/probed.py."""
        return read_start(path, _FILE_BYTES_MAX)

    def can_be_run(self, path: str) -> bool:
        """See doctor/finding.py."""
        return os.access(path, os.X_OK)

    def write(self, path: str, data: bytes, *, is_program: bool = False) -> None:
        """See doctor/probed.py."""
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
            if is_program:
                os.chmod(path, 0o700)
        except OSError as exc:
            raise from_os_error(exc, "write", path) from exc

    def resolved(self, path: str) -> str:
        """See doctor/probed.py."""
        return os.path.realpath(os.path.expanduser(path))

    def _timed(
        self, words: list[str], folder: str, stdin: str, timeout_s: float, environment: Mapping[str, str]
    ) -> Ran:
        """What it says goes to files: a child that it leaves behind cannot keep us waiting for the end of a pipe."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin.encode("utf-8", "surrogateescape"))
            given.seek(0)
            begun = time.perf_counter()
            try:
                done = subprocess.run(
                    words,
                    cwd=folder,
                    env=environment,
                    stdin=given,
                    stdout=out,
                    stderr=err,
                    timeout=timeout_s,
                    check=False,
                )
                status = done.returncode
            except subprocess.TimeoutExpired:
                status = -1
            except OSError as exc:
                raise HostError(f"{words[0]} cannot be run: {exc.strerror}") from exc
            took = time.perf_counter() - begun
            said = []
            for file in (out, err):
                file.seek(0)
                said.append(file.read().decode("utf-8", "replace"))
            return Ran(status, said[0], said[1], took)


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _NAMED and not name.startswith(("LATCHBOARD_", "GIT_"))
    }
