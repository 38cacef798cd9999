"""Client: the programs that agents run in, how one sees that they are used, and what each wants in its files.

Data, and nothing else: a client that is added here is detected, set up, probed and taken out again.

Protocol: protocol/installation.md, "Clients".
"""

from __future__ import annotations

_S = 30
"""Longest time of one hook call, seconds: a commit waits 5 s for its guard at the most, the rest is a slow machine."""
_END_S = 5
"""The same for the end of a session, for which a client waits 1.5 s unless it is told otherwise."""


class Hook:
    """One event that a client tells us.

    Attributes:
        event: The client's name for it.
        matcher: For which tools; "" for all.
        timeout_s: When the client gives up.
        blocks: No call happens where the hook itself fails, if the setting `hooks_failure` says closed.
        says: What the hook is there for, in one word: `edit`, `shell`, or "" for those that never deny.
    """

    __slots__ = ("blocks", "event", "matcher", "says", "timeout_s")

    def __init__(
        self, event: str, matcher: str = "", *, timeout_s: int = _S, blocks: bool = False, says: str = ""
    ) -> None:
        self.event = event
        self.matcher = matcher
        self.timeout_s = timeout_s
        self.blocks = blocks
        self.says = says


class Client:
    """One program.

    Attributes:
        name: As `latchboard-hook` knows it.
        title: As people call it.
        signs: What lies in a project that uses it.
        home_signs: What lies in the home folder of a person who uses it.
        programs: What it is called on PATH.
        hooks_file: Where its hooks are configured, in a project; "" where it has none.
        local_file: The same for this machine alone; "" where it has none.
        is_flat: Its hooks stand in the event itself, and not in groups.
        timeout_unit: How many of its units a second has.
        version: What its `version` must be; 0 where it has none.
        hooks: What it tells us.
        mcp_file: Where MCP servers are configured; "" where it knows none.
        mcp_arguments: What the MCP server must be told besides, in words that the client fills in.
        instructions: The file that it reads besides AGENTS.md.
        next_step: What is left to a person.
    """

    __slots__ = (
        "home_signs",
        "hooks",
        "hooks_file",
        "instructions",
        "is_flat",
        "local_file",
        "mcp_arguments",
        "mcp_file",
        "name",
        "next_step",
        "programs",
        "signs",
        "timeout_unit",
        "title",
        "version",
    )

    def __init__(  # noqa: PLR0913 - a declaration, all by keyword
        self,
        name: str,
        title: str,
        *,
        signs: tuple[str, ...],
        home_signs: tuple[str, ...],
        programs: tuple[str, ...],
        hooks_file: str = "",
        local_file: str = "",
        is_flat: bool = False,
        timeout_unit: int = 1,
        version: int = 0,
        hooks: tuple[Hook, ...] = (),
        mcp_file: str = "",
        mcp_arguments: tuple[str, ...] = (),
        instructions: str = "",
        next_step: str = "",
    ) -> None:
        self.name = name
        self.title = title
        self.signs = signs
        self.home_signs = home_signs
        self.programs = programs
        self.hooks_file = hooks_file
        self.local_file = local_file
        self.is_flat = is_flat
        self.timeout_unit = timeout_unit
        self.version = version
        self.hooks = hooks
        self.mcp_file = mcp_file
        self.mcp_arguments = mcp_arguments
        self.instructions = instructions
        self.next_step = next_step


CLIENTS = (
    Client(
        "claude",
        "Claude Code",
        signs=(".claude", "CLAUDE.md"),
        home_signs=(".claude", ".claude.json"),
        programs=("claude",),
        hooks_file=".claude/settings.json",
        local_file=".claude/settings.local.json",
        hooks=(
            Hook("SessionStart"),
            Hook("UserPromptSubmit"),
            Hook("PreToolUse", "Edit|Write|MultiEdit|NotebookEdit", blocks=True, says="edit"),
            Hook("PreToolUse", "Bash|PowerShell", says="shell"),
            Hook("PostToolUse"),
            Hook("PostToolUseFailure"),
            Hook("Stop"),
            Hook("SubagentStop"),
            Hook("SessionEnd", timeout_s=_END_S),
        ),
        mcp_file=".mcp.json",
        instructions="CLAUDE.md",
        next_step="it reads its hooks when it starts: start it anew",
    ),
    Client(
        "codex",
        "Codex CLI",
        signs=(".codex",),
        home_signs=(".codex",),
        programs=("codex",),
        hooks_file=".codex/hooks.json",
        hooks=(
            Hook("SessionStart"),
            Hook("UserPromptSubmit"),
            Hook("PreToolUse", "^(apply_patch|Edit|Write)$", says="edit"),
            Hook("PreToolUse", "^Bash$", says="shell"),
            Hook("PostToolUse"),
            Hook("Stop"),
            Hook("SubagentStart"),
            Hook("SubagentStop"),
        ),
        mcp_file=".codex/config.toml",
        next_step="it runs no hook before you trust it: start codex here and type /hooks",
    ),
    Client(
        "gemini",
        "Gemini CLI",
        signs=(".gemini", "GEMINI.md"),
        home_signs=(".gemini",),
        programs=("gemini",),
        hooks_file=".gemini/settings.json",
        timeout_unit=1000,
        hooks=(
            Hook("SessionStart"),
            Hook("BeforeAgent"),
            Hook("BeforeTool", "write_file|replace|edit", says="edit"),
            Hook("BeforeTool", "run_shell_command", says="shell"),
            Hook("AfterTool"),
            Hook("AfterAgent"),
            Hook("SessionEnd", timeout_s=_END_S),
        ),
        mcp_file=".gemini/settings.json",
        instructions="GEMINI.md",
        next_step="it runs no hook of a folder that you have not trusted: start it anew, and trust this one",
    ),
    Client(
        "cursor",
        "Cursor",
        signs=(".cursor", ".cursorrules"),
        home_signs=(".cursor",),
        programs=("cursor", "cursor-agent"),
        hooks_file=".cursor/hooks.json",
        is_flat=True,
        version=1,
        hooks=(
            Hook("sessionStart"),
            Hook("beforeSubmitPrompt"),
            Hook("preToolUse", says="edit"),
            Hook("beforeShellExecution", says="shell"),
            Hook("postToolUse"),
            Hook("postToolUseFailure"),
            Hook("afterShellExecution"),
            Hook("afterFileEdit"),
            Hook("subagentStop"),
            Hook("stop"),
            Hook("sessionEnd", timeout_s=_END_S),
        ),
        mcp_file=".cursor/mcp.json",
        mcp_arguments=("--root", "${workspaceFolder}"),  # it starts servers in a folder of its own choice
        next_step="open the project anew; its MCP server is switched on in the settings",
    ),
    Client(
        "aider",
        "aider",
        signs=(".aider.conf.yml", ".aider.chat.history.md", ".aider.input.history"),
        home_signs=(".aider.conf.yml", ".aider"),
        programs=("aider",),
        next_step="it has no hook before an edit: git's hooks hold it, and .aider.conf.yml has it run them",
    ),
)
"""Every client, in the order in which they are told."""


def client(name: str) -> Client:
    """The client of this name.

    Raises:
        KeyError: There is none.
    """
    for one in CLIENTS:
        if one.name == name:
            return one
    raise KeyError(name)
