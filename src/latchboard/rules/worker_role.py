"""Worker's role: what `[roles.NAME]` of the configuration says, checked; and the templates for coding agents; pure.

Law. A role is what its table says, whole, or it is refused: no key is ignored, and no command is made up.

Protocol: protocol/worker.md, "Configuration".
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.rules import worker, workqueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

TIMEOUT_S = 3600.0
GRACE_S = 10.0
GRACE_S_MAX = 600.0
STOP_MARGIN_S = 10.0
"""What a drain may take besides the grace of its command: commits that wait for the store's guard."""
OUTPUT_BYTES = 16 * 1024
OUTPUT_BYTES_MAX = 32 * 1024
WORDS_COUNT_MAX = 1000
PROMPT_CHARS_MAX = 16 * 1024
WORKERS_MAX = 64
STOP_S_MAX = GRACE_S_MAX + STOP_MARGIN_S
_SECONDS_MAX = 30 * 86400.0

_RULES = (
    "Your job stands on standard input as JSON: its title, payload, files, and the errors of earlier attempts. Edit no "
    "other files than those that the job names, if it names any: their locks are held for you. Do the work in this "
    "folder, now; nobody can answer questions. If it cannot be done, say why and do not pretend that it was."
)
_PROMPTS = {
    "planner": "You are the planner. Read the code, decide how the job is to be done, and write the plan down.",
    "builder": "You are a builder. Make the change that the job asks for, with its tests.",
    "tester": "You are the tester. Test what the job describes, and tell what fails and why.",
    "refiner": "You are the refiner. Something about this job failed: find out what, and mend it.",
    "integrator": "You are the integrator. Bring the finished work of this job together, and check the whole.",
}
TEMPLATES: dict[str, tuple[str, ...]] = {
    "claude": ("claude", "-p", "{prompt}", "--permission-mode", "acceptEdits"),
    "codex": ("codex", "exec", "--sandbox", "workspace-write", "{prompt}"),
    "gemini": ("gemini", "--approval-mode", "auto_edit", "-p", "{prompt}"),
}
"""Coding agents that work without a person: the prompt is an argument, the job is on standard input."""
_KEYS = (
    "command",
    "template",
    "prompt",
    "folder",
    "env",
    "timeout_s",
    "grace_s",
    "lease_ttl_s",
    "output_bytes",
    "exit_codes",
    "workers",
)


class Role:
    """What one role's workers run, and how.

    Attributes:
        name: The role.
        command: Program and arguments; empty: it has none, and no worker starts.
        folder: Where it runs, relative to the root.
        env: Added to the environment.
        timeout_s: How long it may run, seconds.
        grace_s: Between TERM and KILL, seconds.
        lease_ttl_s: Of claims, seconds; None: the setting.
        output_bytes: How much of the end of its output is kept.
        exit_codes: Exit status to what is reported.
        workers: How many a supervisor keeps.
    """

    __slots__ = (
        "command",
        "env",
        "exit_codes",
        "folder",
        "grace_s",
        "lease_ttl_s",
        "name",
        "output_bytes",
        "timeout_s",
        "workers",
    )

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        """Raises UsageError: a key is unknown, or its value cannot be right."""
        self.name = workqueue.check_role(name)
        try:
            self._read(table)
        except UsageError as exc:
            raise UsageError(f"[roles.{name}]: {exc.message}", hint=exc.hint, **exc.fields) from exc

    def _read(self, table: Mapping[str, Any]) -> None:
        unknown = [key for key in table if key not in _KEYS]
        if unknown:
            raise UsageError(f"there is no key {unknown[0]!r:.80}", hint=f"known keys: {', '.join(_KEYS)}")
        self.command = _command(self.name, table)
        self.folder = _folder(table.get("folder", "."))
        self.env = _env(table.get("env", {}))
        self.timeout_s = _number("timeout_s", table.get("timeout_s", TIMEOUT_S), 0.01, _SECONDS_MAX)
        self.grace_s = _number("grace_s", table.get("grace_s", GRACE_S), 0, GRACE_S_MAX)
        ttl_s = table.get("lease_ttl_s")
        self.lease_ttl_s = None if ttl_s is None else _number("lease_ttl_s", ttl_s, 0.1, _SECONDS_MAX)
        self.output_bytes = _whole("output_bytes", table.get("output_bytes", OUTPUT_BYTES), OUTPUT_BYTES_MAX)
        self.exit_codes = _exit_codes(table.get("exit_codes", {}))
        self.workers = _whole("workers", table.get("workers", 1), WORKERS_MAX)

    @property
    def stop_s(self) -> float:
        """The longest time that a worker takes from the signal to its end, seconds."""
        return self.grace_s + STOP_MARGIN_S


def stop_s_of(role: str, tables: Mapping[str, Mapping[str, Any]]) -> float:
    """How long a worker of this role, which may run already, takes to drain, seconds.

    The longest there is where the configuration does not say: it goes by what that said when it was started.

    Args:
        role: Its name.
        tables: Every `[roles.NAME]`, by name.
    """
    try:
        return Role(role, tables[role]).stop_s
    except (KeyError, UsageError):  # told by those who start something
        return STOP_S_MAX


def read(role: str, tables: Mapping[str, Mapping[str, Any]]) -> Role:
    """The role of this name, which has a command.

    Args:
        role: Its name.
        tables: Every `[roles.NAME]`, by name.

    Raises:
        UsageError: It is not there, has no command, or is wrong.
    """
    found = Role(role, tables.get(role, {}))
    if not found.command:
        raise UsageError(
            f"no command for the role {role}: a worker runs one for each job, and never pretends to",
            hint=f'put it into latchboard.toml: [roles.{role}] and command = ["program", "argument"]; '
            "`latchboard worker --templates` shows some",
            role=role,
        )
    return found


def template(name: str, prompt: str) -> list[str]:
    """The command line of a coding agent with this prompt. Raises UsageError: there is no such template."""
    words = TEMPLATES.get(name)
    if words is None:
        raise UsageError(f"there is no template {name!r:.80}", hint=f"there are {', '.join(TEMPLATES)}")
    return [prompt if word == "{prompt}" else word for word in words]


def prompt_of(role: str) -> str:
    """What a model is told that works for this role."""
    return f"{_PROMPTS.get(role, f'Your role is {role}.')} {_RULES}"


def _command(role: str, table: Mapping[str, Any]) -> list[str]:
    if "template" in table:
        if "command" in table:
            raise UsageError("it has a command and a template", hint="leave one of them out")
        prompt = _text("prompt", table.get("prompt", prompt_of(role)))
        if not prompt.strip() or len(prompt) > PROMPT_CHARS_MAX:
            raise UsageError(f"prompt is 1 to {PROMPT_CHARS_MAX} characters, not {len(prompt)}")
        return template(_text("template", table["template"]), prompt)
    if "prompt" in table:
        raise UsageError("prompt is for a template", hint="put it into the command")
    words = table.get("command", [])
    is_list = isinstance(words, list) and len(words) <= WORDS_COUNT_MAX and all(_is_text(word) for word in words)
    if not is_list or ("command" in table and not (words and words[0])):
        raise UsageError(
            f"command is a list of 1 to {WORDS_COUNT_MAX} words, not {words!r:.80}",
            hint='no shell reads it: command = ["sh", "-c", "..."] where one is needed',
        )
    return list(words)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _text(key: str, value: object) -> str:
    if not _is_text(value) or not value:
        raise UsageError(f"{key} is a text, not {value!r:.80}")
    return str(value)


def _folder(value: object) -> str:
    text = _text("folder", value)
    if text.startswith("/") or ".." in text.split("/"):
        raise UsageError(f"folder is one below the project's root, and relative to it, not {text!r:.80}")
    return text


def _number(key: str, value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise UsageError(f"{key} is a number from {least:g} to {most:g}, not {value!r:.80}")
    return float(value)


def _whole(key: str, value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise UsageError(f"{key} is a whole number from 0 to {most}, not {value!r:.80}")
    return value


def _env(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(_is_text(one) for one in value.values()):
        raise UsageError(f"env is a table of names and texts, not {value!r:.80}")
    wrong = [name for name in value if not name or "=" in name or not _is_text(name)]
    if wrong:
        raise UsageError(f"env: {wrong[0]!r:.80} can be no variable's name")
    return dict(value)


def _exit_codes(value: object) -> dict[int, str]:
    if not isinstance(value, dict):
        raise UsageError(f"exit_codes is a table, not {value!r:.80}", hint='exit_codes = { 1 = "needs_adapt" }')
    found = {}
    for key, said in value.items():
        if not (isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) <= 3 and int(key) <= 255):
            raise UsageError(f"exit_codes: {key!r:.80} is no exit status from 0 to 255")
        if int(key) in found:
            raise UsageError(f"exit_codes: {int(key)} is there twice, as {key!r} and in other digits")
        if said not in worker.SAYABLE:
            known = ", ".join(worker.SAYABLE)
            raise UsageError(f"exit_codes: {key} cannot mean {said!r:.80}", hint=f"it can mean {known}")
        found[int(key)] = str(said)
    return found
