"""Git: what `git` says when it is asked something that changes nothing; one process per question.

Protocol: protocol/git.md, "What is looked at".
"""

from __future__ import annotations

import os

from latchboard.errors import CoordinationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class GitFailed(CoordinationError):
    """Git did not answer. Fields: status."""

    code = "git-failed"


def ask(*words: str, environment: Mapping[str, str] | None = None) -> bytes:
    """What `git WORDS` prints. Its standard error is ours; no module but os is needed for it.

    Raises:
        GitFailed: It ended with another status than 0, or there is no git.
    """
    reader, writer = os.pipe()
    try:
        files = [(os.POSIX_SPAWN_DUP2, writer, 1)]
        try:
            process = os.posix_spawnp("git", ["git", *words], environment or os.environ, file_actions=files)
        except OSError as exc:
            raise GitFailed(f"git cannot be run: {exc.strerror}") from exc
        finally:
            os.close(writer)
        found = []
        while piece := os.read(reader, 1 << 16):
            found.append(piece)
    finally:
        os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status:
        raise GitFailed(f"`git {' '.join(words[:3])} ...` ended with status {status}", status=status)
    return b"".join(found)
