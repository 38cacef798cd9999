"""Git forecast: which files of a work tree a command of git would write, asked of git itself before it runs.

Every question is a reading one, has `SECONDS_MAX` seconds, and takes no lock of the repository. Where git does not
answer, or does not know the word, there is no answer: nothing is guessed.

Protocol: protocol/editing.md, "Shell calls".
"""

from __future__ import annotations

import os

SECONDS_MAX = 5.0
"""Without an answer a write is not known of: longer than a busy machine stands still, shorter than a client waits."""
FILES_COUNT_MAX = 5000
"""So many files are named at most; a switch that changes more is told of these."""
_COMMITS_COUNT_MAX = 20
_NAMES = ("--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-relative", "--ignore-submodules=all")
_QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_PAGER": "cat"}


def forecast(kind: str, cwd: str, words: tuple[str, ...]) -> list[str]:
    """The files that `kind` would write, as absolute paths (rules/git_command.py says what the words are)."""
    asked = _Repository(cwd)
    above = asked.lines("rev-parse", "--show-toplevel")
    if not above:
        return []
    known = _KINDS.get(kind)
    names = known(asked, *_split(words)) if known is not None else []
    where = cwd if kind == "git-clean" else above[0]
    return [os.path.join(where, name) for name in dict.fromkeys(names[:FILES_COUNT_MAX])]


class _Repository:
    """The repository around one folder."""

    def __init__(self, cwd: str) -> None:
        self._cwd = cwd

    def ask(self, *words: str) -> str | None:
        """What `git WORDS` prints; None: it did not answer well."""
        import subprocess  # ten milliseconds that a command which is none of git's does not pay

        command = ["git", "--glob-pathspecs", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", *words]
        try:
            done = subprocess.run(
                command,
                cwd=self._cwd,
                env={**os.environ, **_QUIET},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS_MAX,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired, ValueError):
            return None
        return os.fsdecode(done.stdout) if done.returncode == 0 else None

    def lines(self, *words: str) -> list[str]:
        """The lines that it prints."""
        return (self.ask(*words) or "").splitlines()

    def names(self, *words: str) -> list[str]:
        """The names that it prints, with a NUL behind each."""
        return [name for name in (self.ask(*words) or "").split("\0") if name]

    def is_commit(self, word: str) -> bool:
        """Whether a word names a commit."""
        return self.ask("rev-parse", "--verify", "--quiet", f"{word}^{{commit}}") is not None


def _split(words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """What stands in front of `--`, and the paths behind it."""
    at = words.index("--") if "--" in words else len(words)
    return list(words[:at]), list(words[at + 1 :])


def _switch(asked: _Repository, words: list[str], _: list[str]) -> list[str]:
    return asked.names("diff", *_NAMES, "HEAD", words[0], "--")


def _reset(asked: _Repository, words: list[str], paths: list[str]) -> list[str]:
    return asked.names("diff", *_NAMES, *[word for word in words if word], "--", *paths)


def _checkout(asked: _Repository, words: list[str], _: list[str]) -> list[str]:
    first, rest = words[0], words[1:]
    if asked.is_commit(first):
        return _reset(asked, [first], rest) if rest else _switch(asked, [first], [])
    if not rest and (there := asked.lines("for-each-ref", "--format=%(refname)", f"refs/remotes/*/{first}")):
        return _switch(asked, there[:1], [])  # git makes a branch of it
    return _reset(asked, [], words)


def _merge(asked: _Repository, words: list[str], _: list[str]) -> list[str]:
    return asked.names("diff", *_NAMES, f"HEAD...{words[0]}", "--")


def _commits(asked: _Repository, words: list[str], _: list[str]) -> list[str]:
    found: list[str] = []
    for commit in words[:_COMMITS_COUNT_MAX]:
        found += asked.names("diff-tree", "-r", "--root", "--no-commit-id", *_NAMES, commit, "--")
    return found


def _stash(asked: _Repository, words: list[str], _: list[str]) -> list[str]:
    return asked.names("stash", "show", "--include-untracked", *_NAMES[:2], *words)


def _clean(asked: _Repository, options: list[str], paths: list[str]) -> list[str]:
    said = "Would remove "
    lines = asked.lines("clean", "-n", *options, "--", *paths)
    return [line.removeprefix(said).rstrip("/") for line in lines if line.startswith(said) and '"' not in line]


def _apply(asked: _Repository, words: list[str], _: list[str]) -> list[str]:
    return [line.split("\t", 2)[2] for line in asked.names("apply", "--numstat", "-z", *words) if line.count("\t") > 1]


_KINDS = {
    "git-switch": _switch,
    "git-reset": _reset,
    "git-checkout": _checkout,
    "git-merge": _merge,
    "git-commits": _commits,
    "git-stash": _stash,
    "git-clean": _clean,
    "git-apply": _apply,
}
