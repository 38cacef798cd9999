"""Catalogue: every tool as its clients see it: name, description, strict input, output.

All of them together are read by a model at the start of every session, so that each word is paid for each time: a test
holds them to 7 KiB (decision 0024). Inputs know no field that is not here. Outputs are those of
`latchboard ... --json`, as far as a model needs to know them; an error has a `code` instead (schema/error.json).

Protocol: protocol/mcp.md, "Tools".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Schema = dict[str, Any]

INSTRUCTIONS = (
    "Latchboard keeps several agents from overwriting each other. Before you edit a file, acquire it; when it is held, "
    "work elsewhere, wait, or ask with handoff_request; release what you are done with. Read your inbox when an answer "
    "says that mail is unread. "
    "Paths are relative to the project's root (status says it), or absolute; src/ is a folder with everything in it, "
    "glob:src/**/*.py a pattern. If you were told an agent id (by a hook, or by whoever started you as a subagent), "
    "give it as `agent` each time; otherwise leave `agent` out."
)

_TEXT: Schema = {"type": "string"}
_YES: Schema = {"type": "boolean"}
_SECONDS: Schema = {"type": "number"}
_AGENT: Schema = {"type": "string", "description": "Id, if told one"}
_PATHS: Schema = {"type": "array", "items": _TEXT}
_REASON: Schema = {"type": "string", "description": "What for"}

WAIT_S = 50.0
"""How long `wait` waits when it is not told: less than the minute after which many clients give a call up."""

INBOX_COUNT = 20
"""How many messages `inbox` gives when it is not told."""

_TYPES = {
    "string": "agent request reason root",
    "integer": "token left_count unread",
    "boolean": "free granted moved acked already",
    "object": "agents message job lease",
    "array": "locks released not_held held lost names messages active_locks waiters",
}
_OUTPUT: dict[str, Schema] = {name: {"type": kind} for kind, names in _TYPES.items() for name in names.split()}


class Tool:
    """One tool.

    Attributes:
        name: As clients call it, and of the function in work.py.
        description: For a model.
        input: JSON Schema; `additionalProperties` is false.
        output: JSON Schema.
        like: Which answers of protocol/schema/ it gives.
        reads: It changes nothing.
        tells_mail: Its answer is, or says, what mail there is; every other answer says it where there is some.
        waits: It may wait long: it reports progress.
    """

    __slots__ = ("description", "input", "like", "name", "output", "reads", "tells_mail", "waits")

    def __init__(  # noqa: PLR0913 - a declaration, all by keyword
        self,
        name: str,
        description: str,
        *,
        takes: dict[str, Schema],
        needs: tuple[str, ...] = (),
        gives: str,
        also: str = "",
        like: str,
        reads: bool = False,
        waits: bool = False,
    ) -> None:
        """Declare it.

        Args:
            name: See the class.
            description: See the class.
            takes: Its arguments; `agent` is added.
            needs: Which of them must be there.
            gives: Fields that every answer has.
            also: Fields that some answers have.
            like: See the class.
            reads: See the class.
            waits: See the class.
        """
        self.name = name
        self.description = description
        self.input: Schema = {
            "type": "object",
            "properties": {**takes, "agent": _AGENT},
            **({"required": list(needs)} if needs else {}),
            "additionalProperties": False,
        }
        fields = gives.split()
        self.output: Schema = {
            "type": "object",
            "properties": {field: _OUTPUT[field] for field in [*fields, *also.split()]},
            "anyOf": [{"required": fields}, {"required": ["code"]}],
        }
        self.like = like
        self.reads = reads
        self.tells_mail = name in ("inbox", "status")
        self.waits = waits

    def to_json(self) -> dict[str, Any]:
        """The tool as `tools/list` tells it."""
        hints = {"annotations": {"readOnlyHint": True}} if self.reads else {}
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": self.input,
            "outputSchema": self.output,
            **hints,
        }


_ASKED = {"paths": _PATHS, "reason": _REASON, "shared": _YES}

TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "acquire",
            "Lock files, all or none, before editing them. If one is held: an error that says by whom and until when.",
            takes={**_ASKED, "ttl_s": _SECONDS},
            needs=("paths",),
            gives="locks token",
            like="acquire",
        ),
        Tool(
            "wait",
            f"As acquire, but stand in line until they are free. Default {WAIT_S:.0f} s.",
            takes={**_ASKED, "ttl_s": _SECONDS, "wait_s_max": _SECONDS},
            needs=("paths",),
            gives="locks token",
            like="acquire",
            waits=True,
        ),
        Tool(
            "release",
            "Give back paths, or all. not_held: was not yours any more; somebody may have changed it.",
            takes={"paths": _PATHS, "all": _YES},
            gives="released not_held",
            like="release",
        ),
        Tool(
            "renew",
            "Extend the lease of all you hold, jobs too; lost: of paths, those to read again before editing.",
            takes={"paths": _PATHS, "ttl_s": _SECONDS},
            gives="held lost",
            like="renew",
        ),
        Tool(
            "check",
            "Who is in the way of locking these.",
            takes={"paths": _PATHS, "shared": _YES},
            needs=("paths",),
            gives="free names held",
            like="check",
            reads=True,
        ),
        Tool(
            "status",
            "Your id, the project's root, who holds what and does what, and how much mail you have.",
            takes={},
            gives="agent root agents active_locks waiters unread",
            like="status",
            reads=True,
        ),
        Tool(
            "handoff_request",
            "Ask the holders to hand over. The answer comes by mail, unless you wait here.",
            takes={**_ASKED, "wait_s_max": _SECONDS},
            needs=("paths",),
            gives="granted request",
            also="locks token",
            like="handoff-request",
            waits=True,
        ),
        Tool(
            "handoff_answer",
            "Answer a request that came by mail: hand over what it asks for, or say why not.",
            takes={"request": _TEXT, "grant": _YES, "reason": _TEXT},
            needs=("request", "grant"),
            gives="request",
            like="handoff-grant handoff-decline",
        ),
        Tool(
            "send",
            "Mail an agent, or all of them.",
            takes={
                "to": {"type": "string", "description": "Agent id"},
                "all": _YES,
                "body": _TEXT,
                "subject": _TEXT,
                "urgency": {"enum": ["low", "normal", "high", "urgent"]},
                "ack": {"type": "boolean", "description": "Repeat it until acknowledged"},
                "reply_to": {"type": "string", "description": "Message id"},
                "thread": _TEXT,
            },
            needs=("body",),
            gives="message",
            like="send",
        ),
        Tool(
            "inbox",
            f"Take your mail, {INBOX_COUNT} at a time. Each comes once; those that demand an ack, until they get it.",
            takes={"limit": {"type": "integer"}, "peek": _YES},
            gives="messages left_count",
            like="inbox",
        ),
        Tool(
            "ack",
            "Acknowledge a message.",
            takes={"id": _TEXT},
            needs=("id",),
            gives="acked",
            like="inbox-ack",
        ),
        Tool(
            "claim_job",
            "Take the next job of a role (planner, builder, tester, ...) and the locks of its files.",
            takes={"role": _TEXT, "job": _TEXT, "ttl_s": _SECONDS},
            needs=("role",),
            gives="job lease",
            like="queue-claim",
        ),
        Tool(
            "complete_job",
            "Say what came of a job you claimed, by its lease's token; with error: it failed, to be tried again.",
            takes={"job": _TEXT, "token": {"type": "integer"}, "result": _TEXT, "error": _TEXT},
            needs=("job", "token"),
            gives="job already",
            like="queue-complete queue-fail",
        ),
    )
}
"""By name, in the order in which they are listed."""
