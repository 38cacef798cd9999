"""Grammar: what the command line of a verb looks like, declared once as data and read by two readers.

`read` below understands a plain, faultless command line and nothing else: it is what a hook pays for on every edit.
Whatever it does not understand (help, abbreviations of any kind, a mistake) it leaves to click (clicked.py), which
explains, completes and complains. Where both understand a command line they read the same: tests/surface/cli holds them
to it.
"""

from __future__ import annotations

from latchboard.surface.cli.kind import text as any_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from latchboard.surface.cli.answer import Answer

    Kind = Callable[[str], Any]


class Parameter:
    """One argument, option or flag.

    Attributes:
        name: The keyword that the verb's function gets it by.
        spelling: `--wait-s-max`; "" for an argument.
        kind: Turns its text into a value, or raises ValueError (kind.py).
        count: Of an argument: "one", "some" (at least one) or "any".
        is_flag: An option without a value.
        is_many: An option that may be given again; its value is a tuple of all of them.
        default: When it is not given.
        choices: The only values; empty: any.
        metavar: How help shows its value.
        help: One sentence.
    """

    __slots__ = ("choices", "count", "default", "help", "is_flag", "is_many", "kind", "metavar", "name", "spelling")

    def __init__(self, name: str, spelling: str, metavar: str, help: str) -> None:
        self.name = name
        self.spelling = spelling
        self.metavar = metavar
        self.help = help
        self.kind: Kind = any_text
        self.count = "one"
        self.is_flag = False
        self.is_many = False
        self.default: Any = None
        self.choices: tuple[str, ...] = ()


def argument(name: str, metavar: str, *, count: str = "one", choices: tuple[str, ...] = ()) -> Parameter:
    """A word by its place; the verb's text says what it means."""
    made = Parameter(name, "", metavar, "")
    made.count, made.choices = count, choices
    return made


def option(
    spelling: str,
    metavar: str,
    help: str,
    *,
    kind: Kind = any_text,
    default: Any = None,
    choices: tuple[str, ...] = (),
) -> Parameter:
    """`--spelling VALUE`; the last one counts when it is given twice."""
    made = Parameter(_keyword(spelling), spelling, metavar, help)
    made.kind, made.default, made.choices = kind, default, choices
    return made


def options(spelling: str, metavar: str, help: str, *, choices: tuple[str, ...] = ()) -> Parameter:
    """`--spelling VALUE`, which may be given more than once: each of them counts."""
    made = option(spelling, metavar, help, default=(), choices=choices)
    made.is_many = True
    return made


def flag(spelling: str, help: str, *, name: str = "") -> Parameter:
    """`--spelling`, false unless it is given."""
    made = Parameter(name or _keyword(spelling), spelling, "", help)
    made.is_flag, made.default = True, False
    return made


def _keyword(spelling: str) -> str:
    return spelling[2:].replace("-", "_")


COMMON = (
    option(
        "--root", "FOLDER", "The project. Default: the nearest folder upwards with data/.agent_locks or .git in it."
    ),
    option("--agent", "ID", "Who asks. Default: the environment variable AGENT_ID."),
    flag("--json", "Answer with one JSON object on standard output.", name="as_json"),
)
"""What every verb takes."""


class Verb:
    """One verb: its grammar, its words for people, and the function that does it.

    Attributes:
        name: As it is typed; two words in a group (`handoff grant`).
        run: `run(call, **parameters)` returns an `Answer`.
        summary: One line for the list of verbs.
        text: Paragraphs for its help.
        parameters: Its own, then the common ones.
        examples: Whole command lines.
        changes: It may commit something: the published board is brought up to date afterwards.
        waits: It may wait long: signals end it where nothing is half-done.
        has_command: It takes `-- COMMAND [ARGUMENTS]` at its end, as the parameter `command`.
    """

    __slots__ = ("changes", "examples", "has_command", "name", "parameters", "run", "summary", "text", "waits")

    def __init__(  # noqa: PLR0913 - a declaration, all by keyword
        self,
        name: str,
        run: Callable[..., Answer],
        *,
        summary: str,
        text: str = "",
        parameters: Sequence[Parameter] = (),
        examples: Sequence[str],
        changes: bool = False,
        waits: bool = False,
        has_command: bool = False,
    ) -> None:
        self.name = name
        self.run = run
        self.summary = summary
        self.text = text
        self.parameters = (*parameters, *COMMON)
        self.examples = tuple(examples)
        self.changes = changes
        self.waits = waits
        self.has_command = has_command


def read(verb: Verb, words: Sequence[str]) -> dict[str, Any] | None:
    """The values of every parameter, or None when the command line is anything but plain and faultless."""
    options = {p.spelling: p for p in verb.parameters if p.spelling}
    values: dict[str, Any] = {p.name: p.default for p in verb.parameters if p.spelling}
    placed: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            placed.extend(rest)
        elif word[:1] != "-" or word == "-":
            placed.append(word)
        else:
            spelling, has_value, text = word.partition("=")
            known = options.get(spelling)
            if known is None or (known.is_flag and has_value):
                return None
            if known.is_flag:
                values[known.name] = True
                continue
            value = text if has_value else next(rest, None)
            if value is None or not _take(known, value, values):
                return None
    return values if _place(verb, placed, values) else None


def _take(parameter: Parameter, text: str, values: dict[str, Any]) -> bool:
    try:
        value = parameter.kind(text)
    except ValueError:
        return False
    if parameter.choices and value not in parameter.choices:
        return False
    values[parameter.name] = (*values[parameter.name], value) if parameter.is_many else value
    return True


def _place(verb: Verb, words: list[str], values: dict[str, Any]) -> bool:
    """Give words to arguments in their order; only the last argument may take more than one."""
    left = words
    for parameter in verb.parameters:
        if parameter.spelling:
            continue
        if parameter.count == "one":
            if not left or not _take(parameter, left[0], values):
                return False
            left = left[1:]
        else:
            if parameter.count == "some" and not left:
                return False
            values[parameter.name], left = tuple(left), []
    return not left
