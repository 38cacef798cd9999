"""Denial: the text that keeps a model from a call and tells it what it can do instead.

What is held, by whom, since when, until when, what for; then exactly three things to do, each with its command, ready
to be pasted. Whatever other agents wrote (ids, reasons, names) is shown so that it cannot end a line or a quotation.

Protocol: protocol/editing.md, "Denials".
"""

from __future__ import annotations

from latchboard.clock import iso, parse_iso
from latchboard.rules import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.clock import Now

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_")
_HOLDERS_COUNT_MAX = 5
_NAMES_COUNT_MAX = 20
_CHARS_MAX = 200


class Asked:
    """What an agent was about to do, and where its commands will run.

    Attributes:
        agent: Who.
        names: Canonical names of what it was about to write.
        root: The project's folder.
        cwd: The folder the agent's commands run in.
        call: `edit` or `command`.
    """

    __slots__ = ("agent", "call", "cwd", "names", "root")

    def __init__(self, agent: str, names: list[str], *, root: str, cwd: str, call: str) -> None:
        self.agent = agent
        self.names = names
        self.root = root
        self.cwd = cwd
        self.call = call


def held(asked: Asked, facts: list[dict[str, Any]], now: Now) -> str:
    """The text for a call that others are in the way of.

    Args:
        asked: The call.
        facts: Holds and places in line, as a refusal and a check tell them; one at least.
        now: For ages.
    """
    lines = [f"latchboard stopped this {asked.call}: it would write what another agent holds. Nothing was written."]
    lines += [f"- {_sentence(fact, asked, now)}" for fact in facts[:_HOLDERS_COUNT_MAX]]
    if len(facts) > _HOLDERS_COUNT_MAX:
        lines.append(f"- and {len(facts) - _HOLDERS_COUNT_MAX} more (`{_command(asked, 'status')}`)")
    paths = _in_the_way(asked, facts)
    agent = ["--agent", asked.agent]
    wait = _command(asked, "acquire", *paths, "--wait-s-max", "60", *agent)
    ask = _command(asked, "handoff request", *paths, "--no-wait", *agent, "--reason", "WHY YOU NEED IT")
    return "\n".join(
        [
            *lines,
            "Do not write it by another tool or by the shell. Do one of these three:",
            f"1. Work elsewhere, and come back to it later. Who holds what: `{_command(asked, 'status')}`",
            f"2. Wait in line, then do it again: `{wait}`",
            f"3. Ask the holder to hand it over; the answer comes by itself: `{ask}`",
        ]
    )


def unreadable(asked: Asked, message: str, hint: str) -> str:
    """The text for a call of which nobody can say whether it writes what is held."""
    what = ", ".join(shown(name) for name in asked.names[:_NAMES_COUNT_MAX]) or "what it writes"
    lines = [
        f"latchboard stopped this {asked.call}: it can neither lock {what} for you nor tell whether another agent "
        "holds it, and what cannot be told counts as held. Nothing was written.",
        f"- {shown(message, 1000)}",
    ]
    if hint:
        lines.append(f"- {shown(hint, 1000)}")
    lines.append(
        "Work elsewhere, try again later, or tell the person you work for; it is their setting hooks_failure that says "
        '"closed" (the default) here.'
    )
    return "\n".join(lines)


def _sentence(fact: dict[str, Any], asked: Asked, now: Now) -> str:
    """Who has it, since when, until when, what for."""
    who, since = shown(str(fact["agent"])), _ago(str(fact["since"]), now)
    if fact.get("waits") and fact["agent"] == asked.agent:
        return f"You wait in line for it since {since}; when your turn comes you get it, and a message."
    if fact.get("waits"):
        return f"{who} waits in line for it since {since} and comes first."
    host = f" on {shown(str(fact['host_name']))}" if fact.get("host_name") else ""
    if fact["agent"] == asked.agent:
        who = f"Another process of yours ({who}, process {fact['pid']}{host})"
    elif host:
        who = f"{who} ({host[1:]})"
    how = "shares" if fact["mode"] == "shared" else "holds"
    why = f' What for: "{shown(str(fact["reason"]))}".' if fact["reason"] else ""
    return f"{who} {how} {shown(str(fact['name']))} since {since}, {_until(fact['remaining_s'], now)}.{why}"


def _in_the_way(asked: Asked, facts: list[dict[str, Any]]) -> list[str]:
    """What of the names asked for is not free, as the agent types it."""
    held_names = [str(fact["name"]) for fact in facts if "name" in fact]
    meets = [name for name in asked.names if any(pattern.overlap(one, name) for one in held_names)]
    if not held_names or not meets or any("name" not in fact for fact in facts):
        meets = asked.names
    return [_typed(name, asked) for name in meets[:_NAMES_COUNT_MAX]]


def _typed(name: str, asked: Asked) -> str:
    """A canonical name as it must be typed where the agent's commands run."""
    if name.startswith(("glob:", "hardlink:", "/")):
        return name
    if asked.cwd == asked.root:
        return f"./{name}" if name[0] == "-" else name  # no option
    return f"{asked.root.rstrip('/')}/{name.removeprefix('./')}"


def _command(asked: Asked, verb: str, *words: str) -> str:
    root = [] if asked.cwd == asked.root else ["--root", asked.root]
    return " ".join(["latchboard", verb, *map(quoted, [*words, *root])])


def _ago(at: str, now: Now) -> str:
    try:
        return f"{at[:19]}Z ({_span(now.wall_s - parse_iso(at))} ago)"
    except ValueError:
        return shown(at, 40)


def _until(remaining_s: object, now: Now) -> str:
    left_s = float(remaining_s) if isinstance(remaining_s, int | float) else 0.0
    try:
        at = f"{iso(now.wall_s + left_s)[:19]}Z (in {_span(left_s)})"
    except ValueError:
        at = f"{left_s:.0f} s from now"
    return f"until {at} unless it is renewed"


def _span(seconds: float) -> str:
    whole = max(0, int(seconds + 0.5))
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def shown(text: str, chars_max: int = _CHARS_MAX) -> str:
    """Text of others as one line that ends no quotation, at most so long."""
    if len(text) > chars_max:
        text = text[:chars_max] + "..."
    if text.isprintable() and not set(text) & {'"', "`"}:
        return text
    return "".join(one if one.isprintable() and one not in '"`' else _escaped(one) for one in text)


def _escaped(one: str) -> str:
    return "'" if one in '"`' else " " if one in "\n\r\t" else f"\\u{ord(one):04x}"


def quoted(word: str) -> str:
    """One word for a POSIX shell."""
    if word and _PLAIN.issuperset(word):
        return word
    if not word.isprintable():
        inner = "".join(_in_dollar_quotes(one) for one in word)
        return f"$'{inner}'"
    return "'" + word.replace("'", "'\"'\"'") + "'"


def _in_dollar_quotes(one: str) -> str:
    if one in "\\'":
        return f"\\{one}"
    if one.isprintable():
        return one
    return f"\\x{ord(one):02x}" if one.isascii() else f"\\U{ord(one):08x}"
