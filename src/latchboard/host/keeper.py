"""Keeper: starts a command in a process group that it leads, and sees to it that the group ends: a program of its own.

    python -I -S keeper.py GRACE_S WORD STATUS OUTPUT COMMAND [ARGUMENT...]

WORD, STATUS and OUTPUT are descriptors. From WORD comes `e` (end: TERM, and KILL after the grace) or `k` (KILL at
once); its end, when whoever started the keeper is gone, means `e`. On STATUS it writes one line: `exit N`, `signal N`,
or `none ERRNO` for a command that did not start. OUTPUT is the reading end of what the command writes: when nobody else
reads it any more the keeper does, so that a command can clean up, and neither dies of a message nor waits for ever.
Whatever else it inherited stays open until it ends, so that a kernel lock on it is free when the group is gone; the
command inherits nothing of this but standard input, output and error.

Law 1. It signals its own group alone, as a member of it: the number cannot have become another's.
Law 2. It ends when nobody else of the group is left, or with the group.

It imports nothing of ours, and little else: it is started for each job.

Protocol: protocol/worker.md, "Running".
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

_LOOK_S = 0.02
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_DEFAULT = (signal.SIGPIPE, signal.SIGXFSZ)
"""What Python ignores, and programs expect to die of."""


def main(words: list[str]) -> int:
    """Keep a command until its group is gone."""
    grace_s, command = float(words[0]), words[4:]
    word, status, output = (int(one) for one in words[1:4])
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            try:
                os.set_inheritable(int(name), False)
            except OSError:  # that of the listing itself
                continue
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (*_ENDING, signal.SIGCHLD):
        signal.signal(number, lambda _number, _frame: None)  # ignored they would be ignored by the command, too
    try:
        child = os.posix_spawnp(command[0], command, os.environ, setsigmask=(), setsigdef=_DEFAULT)
    except OSError as exc:
        _tell(status, b"none %d\n" % (exc.errno or 0))
        return 0
    _keep(child, grace_s, word, status, (reader, output))
    return 0


def _keep(child: int, grace_s: float, word: int, status: int, readable: tuple[int, int]) -> None:
    reader, output = readable
    poll = select.poll()
    poll.register(word, select.POLLIN)
    poll.register(reader, select.POLLIN)
    told: bytes = b""
    deadline_s: float | None = None
    while True:
        if not told:
            told = _ended(child)
            if told and deadline_s is None:
                if not _others():
                    break
                deadline_s = _end(grace_s)  # what a command leaves behind would work on without a claim
        if told and not _others():
            break
        if deadline_s is not None and time.monotonic() >= deadline_s:
            _tell(status, told)
            os.killpg(0, signal.SIGKILL)
        left_s = None if deadline_s is None else min(_LOOK_S, max(0.0, deadline_s - time.monotonic()))
        for fd, _ in poll.poll(None if left_s is None else left_s * 1000):
            data = os.read(fd, 64 * 1024)
            if fd != word:
                continue
            if not data:
                poll.unregister(word)
                poll.register(output, select.POLLIN)
            if b"k" in data:
                deadline_s = 0.0
            elif deadline_s is None:
                deadline_s = _end(grace_s)
    _tell(status, told)


def _tell(status: int, told: bytes) -> None:
    """Say how the command ended; that nobody is left who listens must not keep the rest of the group alive."""
    try:
        os.write(status, told)
    except BrokenPipeError:
        return


def _ended(child: int) -> bytes:
    """The line about a command that has ended; empty: it has not."""
    pid, code = os.waitpid(child, os.WNOHANG)
    if not pid:
        return b""
    return b"signal %d\n" % os.WTERMSIG(code) if os.WIFSIGNALED(code) else b"exit %d\n" % os.WEXITSTATUS(code)


def _end(grace_s: float) -> float:
    """Tell the group to end; until when it may take, monotonic seconds."""
    os.killpg(0, signal.SIGTERM)
    os.killpg(0, signal.SIGCONT)  # one that is stopped could not hear it
    return time.monotonic() + grace_s


def _others() -> bool:
    """Whether anybody but this process is left of its group."""
    return others(os.getpid())


def others(leader: int) -> bool:
    """Whether anybody but its leader is left of a group."""
    try:
        names = [name for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return _others_by_ps(leader)
    for name in names:
        try:
            with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                state, _, found = file.read(512).rpartition(b")")[2].split()[:3]
        except (OSError, ValueError):  # it has just ended
            continue
        if int(found) == leader != int(name) and state not in (b"Z", b"X"):
            return True
    return False


def _others_by_ps(leader: int) -> bool:
    """The same where there is no /proc; this call's own process leaves the group first."""
    reader, writer = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writer, 1)]
    ps = os.posix_spawn("/bin/ps", ["ps", "-axo", "pid=,pgid=,stat="], os.environ, file_actions=actions, setpgroup=0)
    os.close(writer)
    with open(reader, "rb") as file:
        lines = [line.split() for line in file.read().splitlines()]
    os.waitpid(ps, 0)
    return any(int(line[1]) == leader != int(line[0]) and line[2][:1] != b"Z" for line in lines if len(line) > 2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
