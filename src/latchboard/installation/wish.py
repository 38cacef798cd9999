"""Wish: one thing that a file of the project should say, how it gets in and how it gets out again.

Several may be about one file: Gemini's hooks and its MCP server stand in the same.
"""

from __future__ import annotations

from shlex import quote

from latchboard.rules import installation as rules
from latchboard.rules import marked
from latchboard.rules.client import CLIENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from latchboard.installation.change import Choice
    from latchboard.rules.client import Client

    Unmerge = Callable[[str, str | None], str]

IGNORE_FILE = ".gitignore"
_AIDER_FILE, _AIDER_KEY = ".aider.conf.yml", "git-commit-verify"
_TOML_PATH = ("mcp_servers", rules.SERVER)


class Wish:
    """One thing in one file.

    Attributes:
        name: The file.
        what: For people: `hooks of Claude Code`.
        merge: Text to text with it; ValueError where it cannot be. None: it should not be there any more.
        unmerge: Text, and the text from before (None: unknown, "": no file) to the text without it.
        is_nothing: Whether a text that was made for wishes alone has nothing left in it.
    """

    __slots__ = ("is_nothing", "merge", "name", "unmerge", "what")

    def __init__(
        self,
        name: str,
        what: str,
        merge: Callable[[str], str] | None,
        unmerge: Unmerge,
        *,
        is_nothing: Callable[[str], bool] = lambda text: not text.strip(),
    ) -> None:
        self.name = name
        self.what = what
        self.merge = merge
        self.unmerge = unmerge
        self.is_nothing = is_nothing


def wishes(choice: Choice, clients: list[Client], commands: Commands) -> Iterator[Wish]:
    """Everything that these clients should have, in the order in which it is written."""
    for client in clients:
        yield from _hooks(client, commands)
        if choice.mcp and commands.server:
            yield from _server(client, commands.server)
    if choice.instructions and clients:
        for name in (rules.AGENTS, *(client.instructions for client in clients if client.instructions)):
            yield instructions(name)


class Commands:
    """How this installation's programs are called.

    Attributes:
        hook: Of the hooks, without the client's name.
        server: Of the MCP server; empty where it cannot run.
        is_bare: The bare name is enough, and so the same for everybody.
        is_closed: A hook that fails keeps an edit from happening.
    """

    __slots__ = ("hook", "is_bare", "is_closed", "server")

    def __init__(self, hook: list[str], server: list[str], *, is_bare: bool, is_closed: bool) -> None:
        self.hook = hook
        self.server = server
        self.is_bare = is_bare
        self.is_closed = is_closed

    def line(self, client: str) -> str:
        """The command line of one client's hooks."""
        return " ".join(quote(word) for word in (*self.hook, client))


def everything() -> Iterator[Wish]:
    """Whatever an installation may have put anywhere: what is taken out again."""
    for client in CLIENTS:
        for name in (client.hooks_file, client.local_file):
            if name:
                yield _hooks_in(name, client, None)
        yield from _server(client, [])
        if client.name == "aider":
            yield _verify()
    for name in (rules.AGENTS, *(client.instructions for client in CLIENTS if client.instructions)):
        yield instructions(name)
    yield ignored([])


def instructions(name: str) -> Wish:
    """The block for agents in a file that they read."""
    return Wish(name, "instructions for agents", _merge_instructions, marked.unmerged)


def ignored(lines: list[str]) -> Wish:
    """Lines of .gitignore; only what is known to have been missing before is taken out again."""

    def merge(text: str) -> str:
        missing = [line for line in lines if line != rules.IGNORED or not rules.leaves_out_the_board(text)]
        return marked.merged_lines(text, missing)

    def unmerge(text: str, before: str | None) -> str:
        return text if before is None else marked.unmerged_lines(text, before, _IGNORED)

    return Wish(IGNORE_FILE, "what git leaves out", merge, unmerge)


_IGNORED = [rules.IGNORED, *(f"/{client.local_file}" for client in CLIENTS if client.local_file)]


def _merge_instructions(text: str) -> str:
    if any(line.strip() in ("@AGENTS.md", "@./AGENTS.md") for line in text.splitlines()):
        return marked.unmerged(text)  # it reads the other file, too
    return marked.merged(text, rules.INSTRUCTIONS, marked.MARKDOWN)


def _hooks(client: Client, commands: Commands) -> Iterator[Wish]:
    """In the file that all share, or, where the command is one of this machine, in its own if the client has one."""
    if client.name == "aider":
        yield _verify()
    if not client.hooks_file:
        return
    shared, local = client.hooks_file, client.local_file
    yield _hooks_in(shared if commands.is_bare or not local else local, client, commands)
    if local and commands.is_bare:  # else each event would be told twice
        yield _hooks_in(local, client, None)


def _hooks_in(name: str, client: Client, commands: Commands | None) -> Wish:
    def unmerge(text: str, before: str | None) -> str:
        return rules.unmerged_hooks(text, client, before)

    merge = None
    if commands is not None:
        line, is_closed = commands.line(client.name), commands.is_closed

        def merge(text: str) -> str:
            return rules.merged_hooks(text, client, line, is_closed=is_closed)

    return Wish(name, f"hooks of {client.title}", merge, unmerge, is_nothing=rules.is_nothing)


def _server(client: Client, command: list[str]) -> Iterator[Wish]:
    what = f"MCP server for {client.title}"
    if client.mcp_file.endswith(".toml"):
        values = {"command": command[0], "args": command[1:]} if command else {}
        yield Wish(
            client.mcp_file,
            what,
            lambda text: marked.merged_toml(text, _TOML_PATH, values),
            lambda text, before: marked.unmerged_toml(text, _TOML_PATH, before),
        )
    elif client.mcp_file:
        yield Wish(
            client.mcp_file,
            what,
            lambda text: rules.merged_server(text, command, client.mcp_arguments),
            rules.unmerged_server,
            is_nothing=rules.is_nothing,
        )


def _verify() -> Wish:
    return Wish(
        _AIDER_FILE,
        "git hooks for aider",
        lambda text: marked.merged_yaml(text, _AIDER_KEY, "true"),
        marked.unmerged,
    )


def has_ours(text: str, client: Client) -> bool:
    """Whether a text of a client's configuration has hooks of ours; False where it cannot be read."""
    try:
        return bool(rules.hooks_of(text, client))
    except ValueError:
        return False


__all__ = ["Commands", "Wish", "everything", "has_ours", "ignored", "instructions", "wishes"]
