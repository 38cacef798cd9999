"""Entry: one hook process: `latchboard-hook CLIENT`, one event on standard input, one answer.

A client runs it in front of every call of an agent, so that everything here is measured: what is loaded (nothing that
the event does not need), what is looked at (the store's files), and the end, which does not wait for an interpreter to
take itself apart.

Exit statuses are the client's language: 0 with an answer, or without one; 1 for what went wrong behind a call, or with
the event itself. 2 means a denial to most clients, and is given only where a client's module says so.

Protocol: protocol/editing.md, "The hook".
"""

from __future__ import annotations

import os
import sys
from _signal import ITIMER_REAL, SIGALRM, setitimer, signal  # type: ignore[import-not-found]  # `signal` loads enum

from latchboard.codec import decode
from latchboard.errors import CoordinationError, UsageError
from latchboard.surface.hooks.event import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from latchboard.settings import Settings
    from latchboard.surface.hooks.event import Client, Event
    from latchboard.surface.hooks.project import Place

CLIENTS = ("claude", "codex", "gemini", "cursor", "aider")
INPUT_BYTES_MAX = 64 * 1024 * 1024
"""Longest event: a call that writes a file has all of its text in it."""
INPUT_WAIT_S_MAX = 10.0
"""Longest wait for a client that has sent its event and does not close its end."""
SESSION_END_WAIT_S_MAX = 0.7
"""Claude Code gives the hooks of a session's end 1.5 s, all of them together."""
_CHUNK_BYTES = 1024 * 1024
_USAGE = f"usage: latchboard-hook {'|'.join(CLIENTS)}, with one event of that client on standard input"


def handle_and_exit() -> NoReturn:
    """Handle one event and end the process."""
    status = 1
    try:
        _keep_streams()
        status = run(sys.argv[1:])
    except BrokenPipeError:
        pass  # nobody reads the answer any more
    except KeyboardInterrupt:
        status = 130
    except Exception as exc:  # noqa: BLE001 - whatever it is, it must not become a traceback that a client misreads
        _complain(f"{type(exc).__name__}: {exc}")
    finally:
        os._exit(status)


def run(arguments: Sequence[str]) -> int:
    """Handle one event; the exit status."""
    if not arguments or arguments[0] not in CLIENTS:
        is_asked = arguments[:1] == ["--help"]
        os.write(1 if is_asked else 2, f"{_USAGE}\n".encode())
        return 0 if is_asked else 1
    try:
        client, payload = _received(arguments[0], arguments[1:])
        event = client.read(payload, os.environ)
    except (UsageError, ValueError) as exc:
        _complain(f"this is no event of {arguments[0]}: {exc.message if isinstance(exc, UsageError) else exc}")
        return 1
    return Hook(client, event).run()


class Hook:
    """One event on its way.

    Attributes:
        status: What the process ends with.
    """

    __slots__ = ("_client", "_event", "_has_spoken", "_place", "_settings", "status")

    def __init__(self, client: Client, event: Event) -> None:
        self._client = client
        self._event = event
        self._has_spoken = False
        self._place: Place | None = None
        self._settings: Settings | None = None
        self.status = 0

    def run(self) -> int:
        """Handle it; what goes wrong is said as `failing` decides."""
        try:
            self._handle()
        except BrokenPipeError:
            raise
        except Exception as exc:  # noqa: BLE001 - what is done about it depends on what it is
            from latchboard.surface.hooks import failing

            message = _worded(exc) if isinstance(exc, CoordinationError) else f"{type(exc).__name__}: {exc}"
            outcome = None if self._has_spoken else failing.outcome(self._event, self._place, self._settings, exc)
            if outcome is None and not self._has_spoken and self._event.kind in failing.BEFORE:
                # Not status 1: a client may have been told to block a call whose hook fails (`onFailure`).
                outcome = Outcome(note=f"latchboard: this call was not looked at: {message}")
            if outcome is not None:
                self._say(outcome)
            else:
                if not self._has_spoken:
                    self._say(Outcome())
                _complain(message)
                self.status = 1
        return self.status

    def _handle(self) -> None:
        from latchboard.surface.hooks import project
        from latchboard.surface.hooks.handling import handle

        event = self._event
        place = self._place = project.find(event) if event.kind != "other" else None
        if place is None:
            self._say(Outcome())  # nothing, to most clients
            return
        board = place.open(wait_s_max=SESSION_END_WAIT_S_MAX if event.kind == "session-end" else None)
        self._settings = board.settings
        handle(event, place, board, _token(), self._say)

    def _say(self, outcome: Outcome) -> None:
        out, err, self.status = self._client.write(self._event, outcome)
        self._has_spoken = True
        _write(1, out)
        _write(2, err)


def _client(name: str) -> Client:
    client: Client = getattr(__import__("latchboard.surface.hooks", fromlist=[name]), name)
    return client


def _received(name: str, rest: Sequence[str]) -> tuple[Client, dict[str, object]]:
    """Who tells an event, and what it wrote: to standard input, unless it says all by its arguments.

    Cursor runs the hooks that are set up for Claude Code as well: then it is Cursor all the same, with its own ids.
    """
    client = _client(name)
    by_arguments = getattr(client, "payload", None)
    if by_arguments is not None:
        return client, by_arguments(rest, os.getcwd())
    payload = _payload()
    if name == "claude" and "cursor_version" in payload:
        client = _client("cursor")
    return client, payload


def _payload() -> dict[str, object]:
    """One JSON object from standard input. Raises UsageError or ValueError."""
    data = _read()
    if len(data) > INPUT_BYTES_MAX:
        raise UsageError(f"it is longer than {INPUT_BYTES_MAX} bytes")
    if not data.strip():
        raise UsageError("standard input is empty")
    return decode(data)


def _read() -> bytes:
    """Standard input, to its end, or to where it is too long, or as far as it came in time."""
    parts, size = [], 0
    signal(SIGALRM, _stop_waiting)
    setitimer(ITIMER_REAL, INPUT_WAIT_S_MAX)
    try:
        while size <= INPUT_BYTES_MAX and (data := os.read(0, _CHUNK_BYTES)):
            parts.append(data)
            size += len(data)
    except TimeoutError:
        return b"".join(parts)  # if that is no whole event, it is refused as any other
    finally:
        setitimer(ITIMER_REAL, 0)
    return b"".join(parts)


def _stop_waiting(number: int, frame: object) -> None:
    raise TimeoutError("standard input was not closed")


def _keep_streams() -> None:
    """Descriptors 0 to 2 are taken, though they can be neither read nor written where the client gave none.

    Else the store's files would get them, and what is said here would be written there.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while os.open(os.devnull, os.O_RDONLY) < 2:
            continue


def _token() -> int | None:
    """The token of a hold that the agent was started under (`latchboard run`)."""
    text = os.environ.get("LATCHBOARD_TOKEN", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _write(fd: int, text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    while data:
        data = data[os.write(fd, data) :]


def _worded(exc: CoordinationError) -> str:
    """What went wrong, and what to do next."""
    return f"{exc.message} ({exc.hint})" if exc.hint else exc.message


def _complain(message: str) -> None:
    """One line for the person, on standard error."""
    line = "".join(one if one.isprintable() else " " for one in f"latchboard-hook: {message}")[:2000]
    try:
        _write(2, f"{line}\n")
    except OSError:
        return  # nobody reads that either
