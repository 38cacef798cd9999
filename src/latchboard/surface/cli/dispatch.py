"""Dispatch: from a command line to an exit status; nothing gets past it but the end of the process."""

from __future__ import annotations

import os

from latchboard.errors import CoordinationError, StoreError
from latchboard.surface.cli import answer, catalogue, grammar
from latchboard.surface.cli.call import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Clock
    from latchboard.compose import Latchboard
    from latchboard.surface.cli.answer import Answer
    from latchboard.surface.cli.call import Compose
    from latchboard.surface.cli.grammar import Verb

TRACEBACK_VARIABLE = "LATCHBOARD_TRACEBACK"


def run(words: list[str], *, compose: Compose | None = None) -> int:
    """Do what a command line says.

    Args:
        words: Without the program's name.
        compose: Makes the services for a root; for tests.

    Returns:
        The exit status, one of those in protocol/cli.md.
    """
    as_json = "--json" in (words[: words.index("--")] if "--" in words else words)
    calls: list[Call] = []
    try:
        try:
            return _run(words, compose, calls)
        except CoordinationError as exc:
            if isinstance(exc, StoreError) and calls:
                calls[0].commits = False  # nothing was committed; the board file would meet the same trouble
            return _tell(exc, calls, as_json)
        except KeyboardInterrupt as exc:
            from latchboard.surface.cli.failure import Interrupted

            return _tell(Interrupted(getattr(exc, "number", 2)), calls, as_json)
        except (answer.Closed, answer.NotWritten):
            raise
        except Exception as exc:  # noqa: BLE001 - the last place: a traceback tells a user nothing
            return _tell(_internal(exc), calls, as_json)
    except answer.Closed:
        answer.forget_stdout()
        return 1
    except answer.NotWritten as exc:
        answer.forget_stdout()
        answer.warn(f"latchboard: the answer could not be written: {exc}")
        return 1
    finally:
        _close(calls)


def _compose(root: str, clock: Clock | None = None) -> Latchboard:
    from latchboard.compose import Latchboard

    return Latchboard(root, clock=clock, publishes=False)  # a process that ends soon publishes once, at its end


def _run(words: list[str], compose: Compose | None, calls: list[Call]) -> int:
    """The faultless course of things; `calls` gets the call, for whoever has to clean up."""
    found = _read(words)
    if isinstance(found, int):
        return found
    verb, own_words, values = found
    call = Call(verb, own_words, values)
    calls.append(call)
    given = _do(call, values, compose)
    if given.facts is None:
        return given.status
    if call.as_json:
        (answer.warn_json if verb.has_command else answer.say_json)({"format": answer.FORMAT, **given.facts})
    else:
        for line in given.lines:
            answer.say(line)
    return given.status


def _read(words: list[str]) -> tuple[Verb, list[str], dict[str, Any]] | int:
    """The verb, what was typed after it, and its values; or a status, when click has said all there is to say."""
    name, own_words = catalogue.split(words)
    command: tuple[str, ...] = ()
    verb = catalogue.load(name) if name else None
    if verb is not None and verb.has_command and "--" in own_words:
        cut = own_words.index("--")
        command = tuple(own_words[cut + 1 :])
        words, plain = words[: len(words) - len(command) - 1], own_words[:cut]
    else:
        plain = own_words
    values = None if verb is None or "_LATCHBOARD_COMPLETE" in os.environ else grammar.read(verb, plain)
    if values is None or verb is None:
        from latchboard.surface.cli import clicked

        found = clicked.parse(words)
        if isinstance(found, int):
            return found
        verb, values = found
    if verb.has_command:
        values["command"] = command
    return verb, own_words, values


def _do(call: Call, values: dict[str, Any], compose: Compose | None) -> Answer:
    """Call the verb; one that waits is ended by signals in good order."""
    is_attended = answer.is_watched() and not call.as_json and not call.verb.has_command
    if not call.verb.waits:
        call.compose = compose or _compose
        if is_attended:
            call.compose = _attended(call.compose, call.verb)
        return call.verb.run(call, **values)
    from latchboard.surface.cli.interruption import Interruption

    with Interruption() as interruption:
        call.compose = compose or (lambda root: _compose(root, interruption.clock))
        if is_attended:
            call.compose = _attended(call.compose, call.verb)
        call.check_signals = interruption.check
        return call.verb.run(call, **values)


def _attended(compose: Compose, verb: Verb) -> Compose:
    """As `compose`, with a line for the person who waits for a store that is elsewhere and does not answer."""

    def made(root: str) -> Latchboard:
        board = compose(root)
        if board.files is None or verb.name.startswith("store "):
            from latchboard.compose import engines
            from latchboard.surface.cli.waiting import Waiting

            engines.attend(board, Waiting())
        return board

    return made


def _tell(exc: CoordinationError, calls: list[Call], as_json: bool) -> int:
    from latchboard.surface.cli.failure import tell

    return tell(exc, calls[0] if calls else None, as_json=as_json)


def _internal(exc: Exception) -> CoordinationError:
    from latchboard.surface.cli.failure import Internal

    if os.environ.get(TRACEBACK_VARIABLE):
        import traceback

        answer.warn(traceback.format_exc())
    return Internal(
        f"a mistake in latchboard itself: {type(exc).__name__}: {exc}",
        hint=f"please report it, with what {TRACEBACK_VARIABLE}=1 makes it print",
        type=type(exc).__name__,
    )


def _close(calls: list[Call]) -> None:
    """Bring the published board up to date and free descriptors."""
    for call in calls:
        try:
            if call.commits:
                call.publish()
        except Exception as exc:  # noqa: BLE001 - what was asked for is done; the board file can be made again
            answer.warn(f"latchboard: status_board.json could not be written: {_internal(exc).message}")
        finally:
            call.close()
