"""serve: run the project's daemon in the foreground: the board, its page, pushed changes, and the cleanup tick.

Protocol: protocol/cli.md, "serve"; protocol/daemon.md, "Command line".
"""

from __future__ import annotations

import os
import sys

from latchboard.errors import UsageError
from latchboard.rules.daemon import VERB
from latchboard.surface.cli import answer, kind
from latchboard.surface.cli.answer import Answer
from latchboard.surface.cli.grammar import Verb, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.surface.cli.call import Call

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PROGRAMS = ("latchboard", "__main__.py")
_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def run(
    call: Call, *, host: str, port: int | None, allowed_hosts: str, idle_s_max: float | None, ready_fd: int | None
) -> Answer:
    """Serve until a signal, a request or its own rule ends it."""
    names = checked_names(host, allowed_hosts)
    occupy_standard_descriptors()
    become(call, VERB)
    from latchboard.compose import Latchboard

    board = Latchboard(call.board.root)  # unlike that of a command it lives long, and publishes what it commits
    try:
        from latchboard.surface.web import running
    except ImportError as exc:
        raise UsageError("the daemon needs the extra `board`", hint="pip install 'latchboard[board]'") from exc
    log_to_stderr("latchboard.daemon", is_foreground=ready_fd is None)
    if ready_fd is not None:
        os.chdir("/")  # it keeps no folder from being removed or unmounted
    options = running.Options(
        host="127.0.0.1" if host == "localhost" else host,
        port=port,
        allowed_hosts=names,
        idle_s_max=idle_s_max,
        ready_fd=ready_fd,
        on_ready=lambda url: _tell(call, url) if ready_fd is None else None,
    )
    return Answer(None, status=running.run(board, options))


def checked_names(host: str, allowed_hosts: str) -> tuple[str, ...]:
    """The names by which a daemon may be reached besides this machine's.

    Raises:
        UsageError: It is to be reached from other machines, and no name is given.
    """
    names = tuple(filter(None, allowed_hosts.split(",")))
    if host not in LOOPBACK and not names:
        raise UsageError(
            f"--host {host}: other machines could reach it, by names that nobody has allowed",
            hint="use 127.0.0.1, or say with --allowed-hosts by which names it may be reached",
        )
    return names


def occupy_standard_descriptors() -> None:
    """Whoever closed one of the three: what writes to it by its number must not meet a lock or a pipe of ours."""
    while (fd := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(fd, True)
    os.close(fd)


def become(call: Call, verb: str) -> None:
    """Replace this program by the one with a daemon's command line, unless it has that already.

    Raises:
        UsageError: This program is not one that can be replaced so.
    """
    from latchboard.daemon import spawning
    from latchboard.rules.daemon import root_in

    root = call.board.root
    if root_in(sys.orig_argv, verb=verb) == root:
        return
    if os.path.basename(sys.argv[0]) not in _PROGRAMS:
        raise UsageError(
            "a daemon is known by its command line, and this program has another one",
            hint=f"start it with `latchboard {verb}`",
        )
    words = spawning.command(root, _options(call.words), verb=verb)
    call.close()
    if sys.stdout is not None:
        sys.stdout.flush()
    os.execv(words[0], words)


def _options(words: list[str]) -> list[str]:
    """What was typed, but for --root, which stands in its own place."""
    left, rest = [], iter(words)
    for word in rest:
        if word == "--root":
            next(rest, None)
        elif not word.startswith("--root="):
            left.append(word)
    return left


def log_to_stderr(name: str, *, is_foreground: bool) -> None:
    """Have what this logger says written to standard error; in the foreground only what is out of order."""
    import logging
    from time import gmtime

    formatter = logging.Formatter(_LOG_FORMAT)  # its times are like those of workers, which write to the same file
    formatter.converter = gmtime
    formatter.default_time_format, formatter.default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger(name).setLevel(logging.WARNING if is_foreground else logging.INFO)


def _tell(call: Call, url: str) -> None:
    if call.as_json:
        answer.say_json({"format": answer.FORMAT, "root": call.board.root, "pid": os.getpid(), "url": url})
        return
    answer.warn(f"latchboard: {url} serves {answer.printable(call.board.root)} (process {os.getpid()})")
    answer.warn(f"  to look at it: {call.command('daemon open', as_agent=False)}")


def _port(word: str) -> int:
    value = kind.count(word)
    if value > 65535:
        raise ValueError(f"{word!r} is no port from 1 to 65535")
    return value


VERBS = (
    Verb(
        "serve",
        run,
        summary="Run the project's daemon in the foreground: the board's page, pushed changes, cleanup.",
        text="One per project; a second one is refused (status 10). It takes the first free port from 9400 to 9449 "
        "(settings daemon_port_first, daemon_port_end), and ends well with SIGTERM, SIGINT or SIGHUP: status 0. "
        "Whoever wants it to run in the background says `latchboard daemon start`.\n\nNeeds latchboard[board].",
        parameters=(
            option("--host", "ADDRESS", "Where it listens. Default: this machine alone.", default="127.0.0.1"),
            option("--port", "NUMBER", "This port, or none.", kind=_port),
            option("--allowed-hosts", "NAMES", "Names by which it may be reached, with commas.", default=""),
            option("--idle-s-max", "SECONDS", "End when nobody used it for so long.", kind=kind.seconds_above_0),
            option("--ready-fd", "NUMBER", "For programs: the pipe to say in that it is ready.", kind=kind.number),
        ),
        examples=("latchboard serve", "latchboard serve --port 9400", "latchboard serve --idle-s-max 3600"),
    ),
)
