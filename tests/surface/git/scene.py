"""A real repository with a board in it, the guard on the PATH, and agents that hold files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from latchboard.clock import Now, SystemClock
from latchboard.compose import Latchboard

SOURCE = Path(__file__).parents[3] / "src"
_SCRIPT = f"""#!{sys.executable}
import sys
from latchboard.surface.git import main
if __name__ == "__main__":
    sys.exit(main())
"""
_CLIENTS = ("AGENT_ID", "CLAUDECODE", "CLAUDE_CODE_SESSION_ID", "CODEX_THREAD_ID", "CODEX_SANDBOX", "CODEX_CI")
_CLIENTS += ("GEMINI_CLI", "CURSOR_AGENT", "AI_AGENT")
WAIT_S_MAX = 60.0


class LongAgo(SystemClock):
    """The system's clock, two hours late."""

    def now(self) -> Now:
        now = super().now()
        return Now(now.wall_s - 7200, now.mono_s - 7200, now.boot)


class Scene:
    """Repositories below one folder, run by a git without the user's configuration.

    Attributes:
        base: The folder.
        repo: The repository that commands run in.
        environment: What git gets; the guard is on its PATH.
    """

    def __init__(self, base: Path, bytecode: Path | None = None) -> None:
        self.base = base
        self.repo = base / "repo"
        programs = base / "bin"
        programs.mkdir(parents=True)
        self.guard = programs / "latchboard-git-hook"
        self.guard.write_text(_SCRIPT)
        self.guard.chmod(0o755)
        self.environment = {name: value for name, value in os.environ.items() if name not in _CLIENTS}
        self.environment |= {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(SOURCE),
            "PYTHONPYCACHEPREFIX": str(bytecode or base / "bytecode"),
            "HOME": str(base),
            "GIT_CONFIG_GLOBAL": str(base / "gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_EDITOR": "true",
        }
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        (base / "gitconfig").write_text(
            "[user]\n\tname = Somebody\n\temail = somebody@example.org\n[init]\n\tdefaultBranch = main\n"
            '[protocol "file"]\n\tallow = always\n[advice]\n\tdetachedHead = false\n'
        )

    # -- files and git ------------------------------------------------------------------------------------------------

    def git(
        self, *words: str | bytes, agent: str = "", at: Path | None = None, ok: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run git as an agent, or as a person; `ok`: it must end well."""
        who = {"AGENT_ID": agent} if agent else {}
        done = subprocess.run(
            ["git", *words],
            cwd=at or self.repo,
            env={**self.environment, **who, **variables},
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=WAIT_S_MAX,
            check=False,
        )
        assert not ok or done.returncode == 0, done.stderr
        return done

    def run_guard(self, *words: str, at: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.guard), *words],
            cwd=at or self.repo,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=WAIT_S_MAX,
            check=False,
            input="",
        )

    def make(self, *, commits: bool = True, guards: bool = True, board: bool = True) -> Scene:
        """The repository: two files in its first commit, a board, the hooks."""
        self.git("init", "--quiet", str(self.repo), at=self.base)
        self.ignore_board(self.repo)
        if board:
            (self.repo / "data/.agent_locks").mkdir(parents=True)
        if commits:
            self.write("src/a.py", "a\n")
            self.write("src/b.py", "b\n")
            self.git("add", ".")
            self.git("commit", "--quiet", "-m", "first")
        if guards:
            assert self.run_guard("--install").returncode == 0
        return self

    def ignore_board(self, repo: Path) -> None:
        info = Path(self.git("rev-parse", "--git-path", "info/exclude", at=repo).stdout.strip())
        path = repo / info
        path.parent.mkdir(exist_ok=True)
        path.write_text("/data/\n")

    def write(self, path: str, text: str, *, at: Path | None = None) -> Path:
        file = (at or self.repo) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def change(self, *paths: str, at: Path | None = None) -> None:
        """Write something new into files, and stage them."""
        for path in paths:
            file = self.write(path, f"{os.urandom(8).hex()}\n", at=at)
            self.git("add", "--", str(file), at=at)

    def commit(self, agent: str = "", *words: str, **given: Any) -> subprocess.CompletedProcess[str]:
        """Try to commit what is staged; the status is the caller's business."""
        return self.git("commit", "-m", "a commit", *words, agent=agent, ok=False, **given)

    def head(self, at: Path | None = None) -> str:
        return self.git("rev-parse", "HEAD", at=at).stdout.strip()

    def files_of_head(self) -> set[str]:
        listing = self.git("show", "--name-only", "--format=", "--no-renames", "-z", "HEAD").stdout
        return {name for name in listing.split("\0") if name}

    # -- the board ----------------------------------------------------------------------------------------------------

    def board(self, root: Path | None = None, **given: Any) -> Latchboard:
        return Latchboard(root or self.repo, publishes=False, **given)

    def hold(self, agent: str, *paths: str, root: Path | None = None, **given: Any) -> int:
        """Lock paths for an agent; returns the token."""
        given = {"bound": "agent", "reason": "splitting it", **given}
        clock = {"clock": given.pop("clock")} if "clock" in given else {}
        board = self.board(root, **clock)
        token = board.agent(agent).lock(*paths, **given).token
        board.close()
        return int(token)

    def release(self, agent: str, root: Path | None = None) -> None:
        board = self.board(root)
        board.locks.release_names(agent)
        board.close()

    def conflicts(self, root: Path | None = None) -> list[dict[str, Any]]:
        """Conflicts on the board about files."""
        board = self.board(root)
        found = [one for one in board.board.conflicts() if one["kind"] in ("bypass", "overwritten")]
        board.close()
        return found

    def mail(self, agent: str) -> list[str]:
        """The bodies of what an agent has in its mailbox."""
        board = self.board()
        found = [str(one["body"]) for one in board.mailbox.peek(agent)]
        board.close()
        return found
