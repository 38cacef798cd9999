"""Work: what each tool does: it asks a service and hands over its answer.

Each function takes the scene and the tool's arguments, blocks as long as it must, and may run in any thread.

Protocol: protocol/mcp.md, "Tools".
"""

from __future__ import annotations

from latchboard.errors import CoordinationError, UsageError
from latchboard.locks import Hold, handoff
from latchboard.surface.mcp import catalogue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from latchboard.clock import HasFileno
    from latchboard.compose import Latchboard
    from latchboard.rules.lock import Request
    from latchboard.surface.mcp.project import Project

    Facts = dict[str, Any]

_LISTED_COUNT = 100
"""Most entries of each kind in a status: what is more fills a model's memory and tells it nothing."""


class Scene:
    """What a tool works with.

    Attributes:
        board: The project's services.
        project: Where it is.
        agent: Who asks.
        cancel: Readable when the caller gives up.
        tell: Takes a sentence about what is being waited for.
    """

    __slots__ = ("agent", "board", "cancel", "project", "tell")

    def __init__(
        self, board: Latchboard, project: Project, agent: str, cancel: HasFileno, tell: Callable[[str], None]
    ) -> None:
        self.board = board
        self.project = project
        self.agent = agent
        self.cancel = cancel
        self.tell = tell

    def request(
        self, paths: Iterable[str], *, shared: bool = False, ttl_s: float | None = None, reason: str = ""
    ) -> Request:
        """A request of this agent, bound to it: what it is given outlives this server."""
        asked = self.project.paths(paths)
        return self.board.locks.request(self.agent, asked, shared=shared, bound="agent", ttl_s=ttl_s, reason=reason)


class Claim:
    """A job that was claimed, to be given back when nobody will see that."""

    __slots__ = ("_board", "_job", "_token")

    def __init__(self, board: Latchboard, job: str, token: int) -> None:
        self._board = board
        self._job = job
        self._token = token

    def undo(self) -> None:
        """Give it back; the attempt does not count."""
        try:
            self._board.queue.release(self._job, self._token)
        except CoordinationError:  # it has ended already, or the store cannot be reached: then its lease ends it
            return


class Outcome:
    """What a tool gives.

    Attributes:
        facts: The answer, without its `format`.
        hold: What was taken by it, to be taken back when nobody will see the answer.
        handed_on: Messages in it, to be taken when it has left.
    """

    __slots__ = ("facts", "handed_on", "hold")

    def __init__(self, facts: Facts, *, hold: Hold | Claim | None = None, handed_on: Iterable[str] = ()) -> None:
        self.facts = facts
        self.hold = hold
        self.handed_on = frozenset(handed_on)


def acquire(scene: Scene, *, paths: list[str], **how: Any) -> Outcome:
    """Take them at once, or say who has them."""
    request = scene.request(paths, **how)
    return _held(scene.board.locks.acquire(request), request)


def wait(scene: Scene, *, paths: list[str], wait_s_max: float = catalogue.WAIT_S, **how: Any) -> Outcome:
    """Take them, standing in line."""
    request = scene.request(paths, **how)
    _tell(scene, request)
    return _held(scene.board.locks.acquire(request, wait_s_max=wait_s_max, cancel=scene.cancel), request)


def release(scene: Scene, *, paths: list[str] | None = None, all: bool = False) -> Outcome:
    """Give back, and say what was not there to be given."""
    if all == bool(paths):
        raise UsageError("release takes paths, or all: true; one of them")
    locks = scene.board.locks
    asked = scene.project.paths(paths) if paths else None
    released = locks.release_names(scene.agent, asked)
    names = released if asked is None else locks.names(asked)
    # A link that was not named stays as long as another path of its file needs it.
    missing = [n for n in names if n not in released and (not n.startswith("hardlink:") or n in (asked or ()))]
    return Outcome({"agent": scene.agent, "released": released, "not_held": missing})


def renew(scene: Scene, *, paths: list[str] | None = None, ttl_s: float | None = None) -> Outcome:
    """Renew, then look whether what was named is still held."""
    locks = scene.board.locks
    asked = scene.project.paths(paths or ())
    names = locks.names(asked) if asked else []
    locks.renew_agent(scene.agent, ttl_s=ttl_s)
    scene.board.queue.renew_all(scene.agent)
    held = [one for one in locks.check(asked) if one["agent"] == scene.agent] if asked else []
    lost = [name for name in names if not any(one["asked"] == name for one in held)]
    lasts_s = locks.settings.lease_ttl_s if ttl_s is None else ttl_s
    return Outcome({"agent": scene.agent, "ttl_s": lasts_s, "held": held, "lost": lost})


def check(scene: Scene, *, paths: list[str], shared: bool = False) -> Outcome:
    """Who is in the way."""
    locks = scene.board.locks
    asked = scene.project.paths(paths)
    held = locks.check(asked, agent=scene.agent, shared=shared)
    return Outcome({"free": not held, "names": locks.names(asked), "held": held})


def status(scene: Scene) -> Outcome:
    """The board, as much of it as a model can use; the newest where there is more."""
    board = scene.board.board.read()
    facts: Facts = {"agent": scene.agent, "root": scene.board.root, "unread": scene.board.mailbox.unread(scene.agent)}
    facts |= {name: board[name] for name in ("revision", "last_updated")}
    left = 0
    for name in ("active_locks", "ended_locks", "waiters", "conflicts", "damaged"):
        facts[name] = board[name][-_LISTED_COUNT:]
        left += len(board[name]) - len(facts[name])
    agents = sorted(board["agents"].items(), key=lambda one: one[1]["heartbeat_at"] or "")[-_LISTED_COUNT:]
    facts["agents"] = dict(sorted(agents))
    return Outcome({**facts, "left_count": left + len(board["agents"]) - len(agents)})


def handoff_request(scene: Scene, *, paths: list[str], wait_s_max: float = 0.0, **how: Any) -> Outcome:
    """Ask, and wait for the answer if told to."""
    locks, request = scene.board.locks, scene.request(paths, **how)
    if wait_s_max:
        _tell(scene, request)
        outcome: Any = handoff.ask(locks, request, wait_s_max=wait_s_max, cancel=scene.cancel)
    else:
        outcome = handoff.ask_and_go(locks, request)
    if isinstance(outcome, Hold):
        held = _held(outcome, request)
        return Outcome({"granted": True, "request": request.request, **held.facts}, hold=outcome)
    facts = {"agent": scene.agent, "granted": False, "request": request.request, "asked": outcome.facts()}
    return Outcome(facts)


def handoff_answer(scene: Scene, *, request: str, grant: bool, reason: str = "") -> Outcome:
    """Hand over, or say why not."""
    if grant:
        moved = handoff.grant(scene.board.locks, request, by=scene.agent)
        return Outcome({"agent": scene.agent, "request": request, "moved": moved})
    handoff.decline(scene.board.locks, request, by=scene.agent, reason=reason)
    return Outcome({"agent": scene.agent, "request": request, "reason": reason})


def send(
    scene: Scene, *, body: str, to: str | None = None, all: bool = False, ack: bool = False, **options: Any
) -> Outcome:
    """Send, and say under which id."""
    if all == (to is not None):
        raise UsageError("send takes to, or all: true; one of them")
    mailbox, demand = scene.board.mailbox, "required" if ack else "none"
    if to is None:
        return Outcome({"message": mailbox.broadcast(scene.agent, body, ack=demand, **options)})
    return Outcome({"message": mailbox.send(scene.agent, to, body, ack=demand, **options)})


def inbox(scene: Scene, *, limit: int = catalogue.INBOX_COUNT, peek: bool = False) -> Outcome:
    """What waits. It is taken when the answer has left: what never arrives is not lost."""
    found = scene.board.mailbox.peek(scene.agent, limit=int(limit))
    facts = found.to_json()
    facts.pop("format")
    return Outcome({"agent": scene.agent, **facts}, handed_on=() if peek else [one["id"] for one in found])


def ack(scene: Scene, *, id: str) -> Outcome:
    """Acknowledge."""
    return Outcome({"agent": scene.agent, "id": id, "acked": scene.board.mailbox.ack(scene.agent, id)})


def claim_job(scene: Scene, *, role: str, job: str | None = None, ttl_s: float | None = None) -> Outcome:
    """Take a job, or say why there is none."""
    found = scene.board.queue.claim(role, scene.agent, job=job, ttl_s=ttl_s)
    lease = found["lease"]
    facts = {"agent": scene.agent, "job": found["job"], "lease": lease}
    return Outcome(facts, hold=Claim(scene.board, lease["task_id"], lease["token"]))


def complete_job(scene: Scene, *, job: str, token: int, result: str | None = None, error: str | None = None) -> Outcome:
    """Say that it is done, or that it failed."""
    if result is not None and error is not None:
        raise UsageError("complete_job takes result, or error where it failed; one of them")
    queue = scene.board.queue
    if error is not None:
        after: Any = queue.fail(job, int(token), error=error)
    else:
        after = queue.complete(job, int(token), result=result)
    already = after.pop("already", False)
    return Outcome({"agent": scene.agent, "job": after, "already": already})


def _held(hold: Hold, request: Request) -> Outcome:
    facts = {
        "agent": hold.agent,
        "mode": request.wants[0]["mode"],
        "locks": [{"name": name, "token": token} for name, token in hold.tokens.items()],
        "token": hold.token,
        "ttl_s": request.ttl_s,
        "waited_s": round(hold.waited_s, 3),
    }
    return Outcome(facts, hold=hold)


def _tell(scene: Scene, request: Request) -> None:
    """Who is in the way before the wait begins; nobody, and nothing is told."""
    names = [want["name"] for want in request.wants if not want["name"].startswith("hardlink:")]
    shared = request.wants[0]["mode"] == "shared"
    held = scene.board.locks.check(names, agent=scene.agent, shared=shared)
    if held:
        more = f" and {len(held) - 1} more" if len(held) > 1 else ""
        scene.tell(f"{held[0]['agent']} holds {held[0]['name']}{more}")
