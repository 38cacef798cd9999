"""watch: every change as it is committed, in order and without gaps.

Protocol: protocol/cli.md, "watch".
"""

from __future__ import annotations

import os

from latchboard.errors import Compacted, StoreUnavailable, UsageError
from latchboard.surface.cli import answer, kind, telling
from latchboard.surface.cli.answer import Answer
from latchboard.surface.cli.grammar import Verb, flag, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from latchboard.surface.cli.call import Call
    from latchboard.watch import Feed

    Event = dict[str, Any]

_ENVIRONMENT_BYTES_MAX = 100_000
_PAUSE_S = 0.5
"""Between two tries while a store elsewhere does not answer; each takes more than a second."""


def run(  # noqa: PLR0913 - the options of the verb
    call: Call,
    *,
    after: int | None,
    prefix: str,
    path: str | None,
    exec: str | None,
    once: bool,
    count: int | None,
    timeout_s: float | None,
) -> Answer:
    """Give out events until there were enough, or for ever."""
    give = _giver(call, exec)
    is_wanted = _filter(call, path)
    left = 1 if once else count
    if left is None:
        left = -1
    feed: Feed[Event] | None = None
    try:
        with call.board.stream.events(prefix, after=after, timeout_s=timeout_s) as feed:
            for event in _lasting(call, feed, timeout_s):
                if not is_wanted(event):
                    continue
                give(event)
                call.check_signals()
                left -= 1
                if left == 0:
                    break
    except Compacted as exc:
        raise _not_there(call, exc) from exc
    except StoreUnavailable as exc:
        if feed is None:
            raise
        raise _broken_off(call, exc, feed.revision) from exc
    return Answer(None)


def _lasting(call: Call, feed: Feed[Event], timeout_s: float | None) -> Iterator[Event]:
    """The feed, also over a time in which a store elsewhere does not answer: it goes on where it was.

    Raises:
        StoreUnavailable: It does not answer, and nothing came for `timeout_s`; or waiting mends nothing.
    """
    clock, store = call.board.clock, call.board.store
    since_s = clock.now().mono_s
    while True:
        try:
            for event in feed:
                yield event
                since_s = clock.now().mono_s
            return
        except StoreUnavailable as exc:
            if not store.properties.spans_hosts:
                raise
            _outlast(call, exc, feed.revision, 1e9 if timeout_s is None else since_s + timeout_s)


def _outlast(call: Call, exc: StoreUnavailable, revision: int, until_s: float) -> None:
    """Return when the store answers again; both is told."""
    clock, is_told = call.board.clock, False
    while True:
        call.check_signals()
        if not exc.retryable or clock.now().mono_s >= until_s:
            raise exc
        if not is_told:
            is_told = True
            answer.warn(f"latchboard: {answer.printable(exc.message)}; watch goes on behind {revision} when it does")
        clock.wait((), _PAUSE_S)
        try:
            call.board.store.read("wide")
        except StoreUnavailable as again:
            exc = again
        else:
            answer.warn(f"latchboard: the store answers again; watch goes on behind {revision}")
            return


def _broken_off(call: Call, exc: StoreUnavailable, revision: int) -> StoreUnavailable:
    """The same, with where to go on: nothing that was committed meanwhile is lost."""
    again = call.command("watch", "--after", str(revision), as_agent=False)
    hint = "; ".join(filter(None, (exc.hint, f"`{again}` goes on, and leaves nothing out")))
    return type(exc)(exc.message, hint=hint, **exc.fields, after=revision)


def _not_there(call: Call, exc: Compacted) -> Compacted:
    """The same, with what to do on a command line; a revision that is still to come is told from one that went."""
    after, newest = exc.fields.get("after"), call.board.store.read("wide").revision
    message = exc.message
    if isinstance(after, int) and after > newest:
        message = f"revision {after} is ahead of the newest, {newest}: it is of another store, or mistyped"
    status = call.command("status", "--json", as_agent=False)
    return Compacted(message, hint=f"take `revision` from `{status}`, and watch --after that", **exc.fields)


def _filter(call: Call, path: str | None) -> Callable[[Event], bool]:
    """Whether an event concerns a path."""
    if path is None:
        return lambda event: True
    from latchboard.rules import pattern

    wanted = call.board.locks.names(call.paths([path]))

    def concerns(event: Event) -> bool:
        names = event.get("names") or ([event["name"]] if "name" in event else event.get("files", []))
        return any(name == one or pattern.overlap(name, one) for name in names for one in wanted)

    return concerns


def _giver(call: Call, command: str | None) -> Callable[[Event], None]:
    """What is done with an event."""
    if command is not None:
        words = _split(command)
        return lambda event: _execute(words, event)
    if call.as_json:
        return lambda event: answer.say_json({"format": answer.FORMAT, **event})
    return lambda event: answer.say(telling.line(event, call.now))


def _split(command: str) -> list[str]:
    import shlex

    try:
        words = shlex.split(command)
    except ValueError as exc:
        raise UsageError(f"--exec {command!r} cannot be split into words: {exc}", hint="close the quote") from exc
    if not words or any("\0" in word for word in words):
        raise UsageError(f"--exec {command!r} names no program", hint="for example --exec 'notify-send latchboard'")
    return words


def _execute(words: Sequence[str], event: Event) -> None:
    """Run the command on one event, to its end; its failure is told, and the next event comes all the same."""
    import subprocess

    from latchboard.codec import encode
    from latchboard.surface.cli.child import starting

    text = encode({"format": answer.FORMAT, **event})
    environment = {
        **os.environ,
        "LATCHBOARD_EVENT": event["event"],
        "LATCHBOARD_REVISION": str(event["revision"]),
    }
    if len(text) <= _ENVIRONMENT_BYTES_MAX and "\0" not in text:  # more than that no system takes
        environment["LATCHBOARD_EVENT_JSON"] = text
    with starting(words):
        done = subprocess.run(list(words), input=f"{text}\n".encode(), env=environment, check=False)
    if done.returncode:
        status = f"died of signal {-done.returncode}" if done.returncode < 0 else f"exited with {done.returncode}"
        answer.warn(f"latchboard: {answer.printable(words[0])} {status} on revision {event['revision']}")


VERBS = (
    Verb(
        "watch",
        run,
        summary="Show every change as it happens, in order and without gaps.",
        text="With --json, one object per line. Without --after, from now on. Each event says its revision: --after "
        "that revision goes on behind it, also in a later call. Exit status 12: what comes after it is not kept any "
        "more. While a store on other machines does not answer it waits, says so on standard error, and leaves nothing "
        "out when it goes on; where nothing came for --timeout-s by then, it ends with 13.\n\n--exec runs COMMAND for "
        "each event, one at a time, without a shell: the event is a line of JSON on its standard input "
        "and in LATCHBOARD_EVENT_JSON, its name in LATCHBOARD_EVENT.",
        parameters=(
            option("--after", "REVISION", "Go on behind this revision; 0: as far back as is kept.", kind=kind.number),
            option("--prefix", "NAME", "Only events whose name begins so: lock., message.sent ...", default=""),
            option("--path", "PATH", "Only what concerns this file, folder or pattern."),
            option("--exec", "COMMAND", "Run this for each event instead of printing it."),
            flag("--once", "End after one event."),
            option("--count", "NUMBER", "End after so many events.", kind=kind.count),
            option(
                "--timeout-s", "SECONDS", "End when nothing came for so long; 0: show what is there.", kind=kind.seconds
            ),
        ),
        examples=(
            "latchboard watch",
            "latchboard watch --json --after 0 --timeout-s 0",
            "latchboard watch --prefix lock.broken --exec 'notify-send latchboard'",
        ),
        waits=True,
    ),
)
