"""Installation: what stands in a client's files when its agents are held to the board; text in, text out.

Law 1. Ours is what runs our command. Nothing else is moved, changed or removed, whatever it looks like.
Law 2. To put in twice is to put in once. To put in and to take out is to do nothing, if what was there before is known.
Law 3. What cannot be read for sure is refused, and not changed.

Protocol: protocol/installation.md.
"""

from __future__ import annotations

from latchboard.rules import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from latchboard.rules.client import Client, Hook

    Place = tuple[str | int, ...]

PROGRAM = "latchboard-hook"
MODULE = "latchboard.surface.hooks"
SERVER = "latchboard"
_SERVER_MODULE = "latchboard"


def is_our_command(command: object, client: str) -> bool:
    """Whether a command line runs our hook for this client, wherever it is installed."""
    words = _words(command)
    if not words or words[-1] != client:
        return False
    if len(words) == 2:
        return words[0].rpartition("/")[2] == PROGRAM
    return words[1:-1] == ["-m", MODULE]


def is_our_server(server: object) -> bool:
    """Whether an MCP server's entry runs ours, whatever it tells it besides."""
    return _own_arguments(server) is not None


def _own_arguments(server: object) -> list[Any] | None:
    """What an entry of ours tells the server besides `mcp`; None where it is not ours."""
    command, arguments = json_text.at(server, ["command"]), json_text.at(server, ["args"])
    if not isinstance(command, str) or not isinstance(arguments, list):
        return None
    needed = ["mcp"] if command.rpartition("/")[2] == SERVER else ["-m", _SERVER_MODULE, "mcp"]
    return arguments[len(needed) :] if arguments[: len(needed)] == needed else None


def handler(client: Client, hook: Hook, command: str, *, is_closed: bool) -> dict[str, Any]:
    """One hook as the client wants it; `is_closed`: a hook that fails keeps the call from happening."""
    made: dict[str, Any] = {"command": command, "timeout": hook.timeout_s * client.timeout_unit}
    if client.is_flat:
        return {**made, "matcher": hook.matcher} if hook.matcher else made
    made = {"type": "command", **made}
    if client.name == "gemini":
        made["name"] = SERVER
    if hook.blocks and is_closed:
        made["onFailure"] = "block"
    return made


# -- hooks in a client's JSON -----------------------------------------------------------------------------------------


def merged_hooks(text: str, client: Client, command: str, *, is_closed: bool) -> str:
    """The text with every hook of ours, each in its event, behind those that are there.

    Raises:
        ValueError: It cannot be changed: it is no JSON object, or hooks stand where none can.
    """
    _check(json_text.parsed(text))
    if client.version and "version" not in json_text.parsed(text):
        text = json_text.put(text, ["version"], client.version)
    wanted: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for hook in client.hooks:
        made = handler(client, hook, command, is_closed=is_closed)
        wanted.setdefault(hook.event, []).append((hook.matcher, made))
    for event in [name for name in json_text.at(json_text.parsed(text), ["hooks"]) or {} if name not in wanted]:
        text = _without(text, client, event, None)
    for event, entries in wanted.items():
        text = _merged_event(text, client, event, entries)
    return text


def unmerged_hooks(text: str, client: Client, before: str | None = None) -> str:
    """The text without our hooks, and without what they alone needed.

    Args:
        text: As it is.
        client: Whose.
        before: What it was before ours came; "" for no file, None where that is not known.

    Raises:
        ValueError: As `merged_hooks`.
    """
    said = json_text.parsed(text)
    _check(said)
    had = None if before is None else json_text.parsed(before)
    for event in json_text.at(said, ["hooks"]) or {}:
        text = _without(text, client, event, had)
    text = _without_empty(text, ["hooks"], had) if said != json_text.parsed(text) or had == {} else text
    if client.version and _adds_nothing(json_text.parsed(text), had):
        text = json_text.delete(text, ["version"])
    return text


def is_nothing(text: str) -> bool:
    """Whether a file that was made for ours has nothing left in it."""
    return json_text.parsed(text) in ({}, {"version": 1})


def hooks_of(text: str, client: Client) -> list[tuple[str, str, dict[str, Any]]]:
    """(event, matcher, hook) of each of ours in a text.

    Raises:
        ValueError: As `merged_hooks`.
    """
    return [(event, matcher, one) for event, matcher, one, _ in placed_hooks_of(text, client)]


def placed_hooks_of(text: str, client: Client) -> list[tuple[str, str, dict[str, Any], tuple[int, int]]]:
    """As `hooks_of`, with the position of the group and the position in it (0 where there are no groups)."""
    said = json_text.parsed(text)
    _check(said)
    found = []
    for event in json_text.at(said, ["hooks"]) or {}:
        for place, matcher, one in _ours(said, client, event):
            numbers = [step for step in place if isinstance(step, int)]
            found.append((event, matcher, one, (numbers[0], numbers[-1] if len(numbers) > 1 else 0)))
    return found


def _merged_event(text: str, client: Client, event: str, wanted: list[tuple[str, dict[str, Any]]]) -> str:
    """Bring our hooks of one event to what is wanted: those that are there in their places, the others behind."""
    missing = list(wanted)
    outdated: list[Place] = []
    for place, matcher, one in _ours(json_text.parsed(text), client, event):
        fitting = next((want for want in missing if want[0] == matcher), None)
        if fitting is None:
            outdated.append(place)
            continue
        missing.remove(fitting)
        if one != fitting[1]:
            text = json_text.put(text, place, fitting[1])
    for place in reversed(outdated):
        text = _cut(text, client, place)
    for matcher, made in missing:
        entry = made if client.is_flat else {**({"matcher": matcher} if matcher else {}), "hooks": [made]}
        if json_text.at(json_text.parsed(text), ["hooks", event]) is None:
            text = json_text.put(text, ["hooks", event], [entry])
        else:
            text = json_text.append(text, ["hooks", event], entry)
    return text


def _ours(said: dict[str, Any], client: Client, event: str) -> Iterator[tuple[Place, str, dict[str, Any]]]:
    """(place, matcher, hook) of each of ours in one event, in their order."""
    groups = json_text.at(said, ["hooks", event])
    for i, group in enumerate(groups if isinstance(groups, list) else []):
        matcher = str(json_text.at(group, ["matcher"]) or "")  # of another type: no client takes it for ours
        if client.is_flat:
            if is_our_command(json_text.at(group, ["command"]), client.name):
                yield ("hooks", event, i), matcher, group
            continue
        inner = json_text.at(group, ["hooks"])
        for j, one in enumerate(inner if isinstance(inner, list) else []):
            if is_our_command(json_text.at(one, ["command"]), client.name):
                yield ("hooks", event, i, "hooks", j), matcher, one


def _without(text: str, client: Client, event: str, had: dict[str, Any] | None) -> str:
    """The text without our hooks of one event, and without the event if it is there for them alone."""
    places = [place for place, _, _ in _ours(json_text.parsed(text), client, event)]
    for place in reversed(places):
        text = _cut(text, client, place)
    return _without_empty(text, ["hooks", event], had) if places else text


def _cut(text: str, client: Client, place: Place) -> str:
    text = json_text.delete(text, place)
    group = place[:3]
    if not client.is_flat and json_text.at(json_text.parsed(text), [*group, "hooks"]) == []:
        text = json_text.delete(text, group)
    return text


def _without_empty(text: str, path: Sequence[str], had: dict[str, Any] | None) -> str:
    """The text without the object or array at `path`, if it is empty and was not there before."""
    if json_text.at(json_text.parsed(text), path) in ({}, []) and json_text.at(had, path) is None:
        text = json_text.delete(text, path)
    return text


def _adds_nothing(said: dict[str, Any], had: dict[str, Any] | None) -> bool:
    """Whether `version` is there because of us alone."""
    if "version" not in said or had is None:
        return False
    return "version" not in had and (bool(had) or set(said) == {"version"})


def _check(said: dict[str, Any]) -> None:
    """Raise ValueError where hooks stand in another form than every client has them."""
    hooks = said.get("hooks", {})
    if not isinstance(hooks, dict):
        raise ValueError('its "hooks" is no object')
    for event, entries in hooks.items():
        if not isinstance(entries, list) and event not in ("enabled", "disabled"):
            raise ValueError(f'its "hooks" has {event!r:.80}, which is no array')


# -- an MCP server in a client's JSON ---------------------------------------------------------------------------------


def merged_server(text: str, command: Sequence[str], besides: Sequence[str] = ()) -> str:
    """The text with our MCP server; what else its entry says stays, and what else it tells the server.

    Args:
        text: As it is.
        command: How the server is started.
        besides: What it is told besides, where nobody wrote something else there.

    Raises:
        ValueError: It is no JSON object, or another server has our name.
    """
    said = json_text.parsed(text)
    servers = said.get("mcpServers", {})
    if not isinstance(servers, dict):
        raise ValueError('its "mcpServers" is no object')
    there = servers.get(SERVER)
    own = _own_arguments(there)
    entry = {"command": command[0], "args": [*command[1:], *(own or besides)]}
    if there is None:
        return json_text.put(text, ["mcpServers", SERVER], entry)
    if own is None:
        raise ValueError(f"it has another MCP server by the name of {SERVER}")
    for key, value in entry.items():
        if there[key] != value:
            text = json_text.put(text, ["mcpServers", SERVER, key], value)
    return text


def unmerged_server(text: str, before: str | None = None) -> str:
    """The text without our MCP server; `before` as for `unmerged_hooks`.

    Raises:
        ValueError: It is no JSON object.
    """
    if not is_our_server(json_text.at(json_text.parsed(text), ["mcpServers", SERVER])):
        return text
    text = json_text.delete(text, ["mcpServers", SERVER])
    return _without_empty(text, ["mcpServers"], None if before is None else json_text.parsed(before))


# -- instructions -----------------------------------------------------------------------------------------------------

AGENTS = "AGENTS.md"


def reads_agents_file(settings: str) -> bool:
    """Whether a client's settings name AGENTS.md as a file that it reads; False where they cannot be read.

    Gemini's `context.fileName`, which was `contextFileName` once.
    """
    try:
        said = json_text.parsed(settings)
    except ValueError:
        return False
    named = [json_text.at(said, ["context", "fileName"]), said.get("contextFileName")]
    return any(AGENTS in one if isinstance(one, list) else one == AGENTS for one in named)


INSTRUCTIONS = """\
## Several agents work here

Latchboard keeps them apart: to edit a file takes its lock for you, and the end of your turn gives it back. While
another agent holds a file, an edit of it is denied; the denial says who, since when, until when, what for, and what you
can do. Never work around one by other means (a script, `sed`, `git checkout`): the other agent's work would be lost.
Add `--agent ID` where `AGENT_ID` is not set.

- `latchboard status`: who works on what
- `latchboard acquire PATH --wait-s-max 60 --reason "what for"`: wait in line for a file, or take several at once
- `latchboard release PATH`: give it back before your turn ends
- `latchboard handoff request PATH --reason "why"`: ask its holder for it
- `latchboard send AGENT "text"`: tell another agent; what others send you arrives by itself, else `latchboard inbox`
"""

IGNORED = "/data/.agent_locks/"


def leaves_out_the_board(text: str) -> bool:
    """Whether a .gitignore keeps the board out: by the last of its lines that speaks of it, as git reads them.

    What only a pattern of another form leaves out counts as taken in: one line too many does no harm.
    """
    lines = [line.removesuffix("\r").rstrip(" ") for line in text.split("\n")]
    said = [not line.startswith("!") for line in lines if _names_the_board(line.removeprefix("!"))]
    return bool(said and said[-1])


def _names_the_board(pattern: str) -> bool:
    """Whether a pattern of .gitignore stands for the board's folder, one that it is in, or all that is in one."""
    inside = next((end for end in ("/**", "/*", "/") if pattern.endswith(end)), "")
    name = pattern.removesuffix(inside)
    if name.startswith("**/"):  # at any depth
        return name[3:] in ("data", ".agent_locks", "data/.agent_locks")
    if inside in ("", "/") and name == ".agent_locks":  # without a slash in it: at any depth
        return True
    return name.removeprefix("/") in ("data", "data/.agent_locks")


def _words(command: object) -> list[str]:
    """The words of a command line as a shell splits it; none where it is no plain one."""
    if not isinstance(command, str) or (PROGRAM not in command and MODULE not in command):
        return []
    import shlex  # loads re; nothing but an installation needs it

    try:
        return shlex.split(command)
    except ValueError:
        return []
