"""A job: what makes one, and what each event makes of it; pure.

Law 1. Each function gives the whole record after its event, and leaves the one it was given as it is.
Law 2. An attempt is counted when it is claimed; giving the job back uncounts it, failing and expiring do not.
Law 3. With its attempts used up a job is `dead`, with every error it met; it is never thrown away.

Protocol: protocol/workqueue.md, "Events".
"""

from __future__ import annotations

from latchboard.clock import iso, parse_iso
from latchboard.codec import encode
from latchboard.errors import UsageError, WrongStatus
from latchboard.rules import workqueue as rules
from latchboard.rules import workqueue_size as sizes
from latchboard.rules.agent import check_agent, is_agent
from latchboard.rules.digest import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from latchboard.rules.workqueue import Attempt, Job, Lease

TITLE_CHARS_MAX = 500
PRIORITY_MAX = 1_000_000
PRIORITY_DEFAULT = 50
LIST_COUNT_MAX = 1000
DATA_BYTES_MAX = 64 * 1024
DATA_NESTED_MAX = 200
"""Levels; who reads a record stands deeper on his stack than who wrote it, and must not be the first who cannot."""
ATTEMPTS_MAX_DEFAULT = 3
FIELDS = (
    "id",
    "title",
    "role",
    "priority",
    "dependencies",
    "parent",
    "files",
    "then",
    "attempts_max",
    "payload",
    "ready_at",
)
"""What a submitter may say."""


def compose(draft: dict[str, Any], *, job_id: str, number: int, by: str, at: str) -> Job:
    """A new job, in the waiting status of its role.

    Args:
        draft: What the submitter says (`FIELDS`); what is left out has a default, `title` and `role` have none.
        job_id: Its id.
        number: How many jobs were submitted before it, and one.
        by: Who submits it.
        at: Now.

    Raises:
        UsageError: The draft cannot be a job.
    """
    unknown = [name for name in draft if name not in FIELDS]
    if unknown:
        raise UsageError(f"a job has no field {unknown[0]!r:.80}", hint=f"known fields: {', '.join(FIELDS)}")
    role = rules.check_role(draft.get("role"))
    dependencies = _ids(draft, "dependencies", job_id)
    job: Job = {
        "id": rules.check_id(job_id, hint="leave it out and the queue gives one"),
        "number": number,
        "title": _title(draft.get("title")),
        "role": role,
        "status": rules.ready_status(role),
        "priority": check_count("priority", draft.get("priority", PRIORITY_DEFAULT), 0, PRIORITY_MAX),
        "dependencies": dependencies,
        "waits_for": [],
        "dependents": [],
        "parent": None if draft.get("parent") is None else rules.check_id(draft["parent"]),
        "files": sizes.check_names(_list(draft, "files")),
        "then": [rules.check_role(one) for one in _list(draft, "then")],
        "attempts_max": check_count("attempts_max", draft.get("attempts_max", ATTEMPTS_MAX_DEFAULT), 1, 1000),
        "attempts_count": 0,
        "attempts": [],
        "token": None,
        "result": None,
        "payload": check_data("payload", draft.get("payload")),
        "created_at": at,
        "created_by": check_agent(by),
        "changed_at": at,
        "ready_at": _time(draft.get("ready_at")),
    }
    return job


def _title(title: object) -> str:
    if not isinstance(title, str) or not title.strip() or len(title) > TITLE_CHARS_MAX or not _is_unicode(title):
        raise UsageError(f"a title is 1 to {TITLE_CHARS_MAX} characters of Unicode, not {title!r:.80}")
    return title


def _is_unicode(text: str) -> bool:
    """Whether it can be written: the bytes of a command line that are no text come as half a character each."""
    return text.encode("utf-8", "ignore").decode() == text


def _list(draft: dict[str, Any], field: str) -> list[str]:
    values = draft.get(field, [])
    if not isinstance(values, list | tuple) or not all(isinstance(one, str) and one for one in values):
        raise UsageError(f"{field} is a list of words, not {values!r:.80}")
    if len(values) > LIST_COUNT_MAX:
        raise UsageError(f"{len(values)} {field} of one job; at most {LIST_COUNT_MAX}")
    return list(values)


def _ids(draft: dict[str, Any], field: str, job_id: str) -> list[str]:
    ids = list(dict.fromkeys(rules.check_id(one) for one in _list(draft, field)))
    if job_id in ids:
        raise UsageError(f"{job_id} cannot depend on itself", cycle=[job_id, job_id])
    return ids


def _time(text: object) -> str | None:
    if text is None:
        return None
    try:
        return iso(parse_iso(text))  # type: ignore[arg-type]  # it refuses what is no text
    except ValueError as exc:
        raise UsageError(f"ready_at: {exc}", hint="such as 2026-11-21T06:00:00Z") from exc


def check_count(name: str, value: object, least: int, most: int) -> int:
    """A whole number from `least` to `most`. Raises UsageError."""
    if type(value) is not int or not least <= value <= most:
        raise UsageError(f"{name} is a whole number from {least} to {most}, not {value!r:.80}")
    return value


def _is_flat(value: Any) -> bool:
    level = [value]
    for _ in range(DATA_NESTED_MAX + 1):
        level = [one for some in level if isinstance(some, dict | list | tuple) for one in _within(some)]
        if not level:
            return True
    return False


def _within(some: Any) -> Iterable[Any]:
    return some.values() if isinstance(some, dict) else some


def check_data(name: str, value: Any) -> Any:
    """Any JSON of at most 64 KiB, and 200 levels. Raises UsageError."""
    try:
        size = len(encode({"": value}).encode("utf-8"))
    except (ValueError, TypeError, RecursionError) as exc:
        raise UsageError(f"the {name} is no JSON: {exc}") from exc
    if size > DATA_BYTES_MAX:
        raise UsageError(
            f"the {name} has {size} bytes; at most {DATA_BYTES_MAX}", hint="put it into a file and name it"
        )
    if not _is_flat(value):
        raise UsageError(f"the {name} is nested more than {DATA_NESTED_MAX} levels deep")
    return value


# -- events --------------------------------------------------------------------------------------------------------


def step(job: Job, event: str, *, at: str, to: str | None = None) -> Job:
    """The job after an event that the table has; `to` where several statuses are possible.

    Raises:
        WrongStatus: The table does not have it in this status.
    """
    if not rules.may(job["status"], event, to):
        can = rules.NEXT[job["status"]].get(event, ())
        why = f"become {to}, but {', '.join(can)}" if can else f"be {_DONE.get(event, event)}"
        raise wrong_status(job, event, f"{job['id']} is {job['status']}: it cannot {why}")
    target = to if to is not None else rules.NEXT[job["status"]][event][0]
    return {**job, "status": target, "changed_at": at}


_DONE = {
    "claim": "claimed",
    "renew": "renewed",
    "complete": "completed",
    "fail": "failed",
    "expire": "expired",
    "release": "released",
    "block": "blocked",
    "cancel": "cancelled",
    "accept": "accepted",
    "unblock": "unblocked",
    "requeue": "brought back",
}
"""What each event of the table has done to a job."""


def wrong_status(job: Job, event: str, why: str, **fields: Any) -> WrongStatus:
    """The error for an event that a status does not have."""
    return WrongStatus(
        why,
        hint=f"`latchboard queue show {job['id']}` tells where it is",
        job=job["id"],
        status=job["status"],
        event=event,
        **fields,
    )


def claimed(job: Job, token: int, at: str) -> Job:
    """A job in a line was claimed."""
    after = step(job, "claim", to=rules.WORK_STATUS.get(job["status"]), at=at)
    return {**after, "token": token, "attempts_count": job["attempts_count"] + 1}


def completed(job: Job, lease: Lease, *, at: str, result: Any, to: str | None) -> Job:
    """Its work was done: it goes to whoever is next, or is done.

    Without `to`: the first role of `then`, and done where there is none. What goes to the refiner comes back to
    the role that sent it.
    """
    role, then, asked = job["role"], job["then"], digest("complete", to, result)
    if to is None and then:
        role, then = then[0], then[1:]
        to = rules.ready_status(role)
    elif to == "needs_adapt" and role != "refiner":
        role, then = "refiner", [role, *then]  # what is sent back comes to be looked at again
    elif to in rules.WORK_STATUS:
        role = rules.role_in(to, role)
        then = then[then.index(role) + 1 :] if role in then else then
    become = to or "done"
    after = step(ended(job, lease, "completed", at=at, said=asked, became=become), "complete", to=become, at=at)
    return {**after, "role": role, "then": then, "attempts_count": 0, "result": result}


def failed(
    job: Job, lease: Lease, event: str, *, at: str, error: str, ready_at: str | None, is_final: bool = False
) -> Job:
    """An attempt failed, or its lease expired: back into line at `ready_at`, or dead where none is left."""
    is_dead = is_final or job["attempts_count"] >= job["attempts_max"]
    to = "dead" if is_dead else rules.ready_status(job["role"])
    if event == "fail":
        before = ended(job, lease, "failed", at=at, error=error, said=digest("fail", error, is_final), became=to)
    else:
        before = ended(job, lease, "expired", at=at, error=error)
    after = step(before, event, to=to, at=at)
    return after if is_dead else {**after, "ready_at": ready_at, "is_paused": True}


def released(job: Job, lease: Lease, *, at: str) -> Job:
    """Given back undone: as if it had not been claimed."""
    become = rules.ready_status(job["role"])
    after = step(ended(job, lease, "released", at=at, said=digest("release"), became=become), "release", at=at)
    return {**after, "attempts_count": job["attempts_count"] - 1}


def set_aside(job: Job, lease: Lease | None, event: str, *, at: str, reason: str) -> Job:
    """Blocked or cancelled, also while somebody works on it: that claim has ended."""
    after = step(job, event, at=at)
    if lease is not None:
        after = ended(after, lease, after["status"], at=at, error=reason)
    return {**rested(after), "reason": reason[: sizes.ERROR_CHARS_MAX], "aside_from": job["status"]}


def returned(job: Job, event: str, *, at: str) -> Job:
    """Back into line: accepted, unblocked, or with all of its attempts anew."""
    role = "builder" if event == "accept" and job["role"] == "planner" else job["role"]
    then = job["then"][1:] if job["then"][:1] == [role] and event == "accept" else job["then"]
    was_planned = event == "unblock" and job.get("aside_from") == "planning_complete"
    after = step(job, event, to="planning_complete" if was_planned else rules.ready_status(role), at=at)
    after.pop("reason", None)
    after.pop("aside_from", None)
    return {**rested(after), "role": role, "then": then, "attempts_count": 0}


def rested(job: Job) -> Job:
    """The job with nothing to wait for but others: its time has come, or does not matter any more."""
    after: Job = {**job, "ready_at": None}
    after.pop("is_paused", None)
    return after


def digest(*words: Any) -> str:
    """What whoever ends a claim says, as a digest: who says it once more did not get the answer."""
    return str(sha256(encode({"": list(words)}).encode("utf-8", "surrogatepass")).hexdigest()[:16])


def repeated(job: Job, token: int, words: str) -> Job | None:
    """The answer to who says once more what ended its claim: the job as it is, and `already`; None: it is not so."""
    found = any(attempt["token"] == token and attempt.get("said") == words for attempt in job["attempts"])
    return {**job, "already": True} if found else None


def ended(job: Job, lease: Lease, outcome: str, *, at: str, error: str = "", said: str = "", became: str = "") -> Job:
    """The job without its claim, which is among its attempts now."""
    attempt: Attempt = {
        "token": lease["token"],
        "owner": lease["owner"],
        "role": lease["role"],
        "started_at": lease["started_at"],
        "ended_at": at,
        "outcome": outcome,
    }
    if error:
        attempt["error"] = sizes.end_of(error, sizes.ERROR_CHARS_MAX)
    if said:
        attempt["said"], attempt["became"] = said, became
    return {**job, "token": None, "attempts": sizes.kept([*job["attempts"], attempt])}


def backoff_s(attempts_count: int, *, first_s: float, max_s: float, jitter: float) -> float:
    """How long a job waits before it is tried again, seconds: twice as long each time, less up to half of it.

    Args:
        attempts_count: Attempts so far, 1 or more.
        first_s: After the first one.
        max_s: At most.
        jitter: From 0 to 1, so that what failed together is not tried together.
    """
    doublings = min(attempts_count - 1, 60)
    longest: float = min(max_s, first_s * 2**doublings)
    return longest * (1 - jitter / 2)


def without(job: Job, dependency: str) -> Job:
    """The job after something that it waited for was done."""
    return {**job, "waits_for": [one for one in job["waits_for"] if one != dependency]}


# -- records -------------------------------------------------------------------------------------------------------

_TEXTS = ("title", "role", "status", "created_at", "created_by", "changed_at")
_NUMBERS = ("number", "priority", "attempts_max", "attempts_count")
_LISTS = ("dependencies", "waits_for", "dependents", "files", "then")
_MAY_BE_NULL = ("parent", "token", "result", "payload", "ready_at")


def check_job(value: dict[str, Any], job_id: str) -> str:
    """What is wrong with a stored job; empty: nothing. Its other fields are kept as they are."""
    if value.get("id") != job_id:
        return "it has another id inside"
    wrong = [name for name in _TEXTS if not isinstance(value.get(name), str)]
    wrong += [name for name in _NUMBERS if type(value.get(name)) is not int or value[name] < 0]
    wrong += [name for name in _LISTS if not _is_words(value.get(name))]
    wrong += [name for name in _MAY_BE_NULL if name not in value]
    if wrong:
        return f"{wrong[0]} is missing or wrong"
    if value["status"] not in rules.NEXT or not rules.is_role(value["role"]):
        return "its status or its role is none"
    if not all(rules.is_role(role) for role in value["then"]):
        return "then names what is no role"
    if not is_agent(value["created_by"]) or not _are_attempts(value.get("attempts")):
        return "created_by or attempts is wrong"
    if not _is_time(value.get("ready_at")) or not isinstance(value.get("parent"), str | None):
        return "ready_at is no time, or parent no text"
    if not isinstance(value.get("extra", {}), dict) or type(value.get("is_paused", False)) is not bool:
        return "extra is no object, or is_paused neither true nor false"
    has_token = type(value.get("token")) is int
    return "" if has_token == (value["status"] in rules.WORK_STATUS.values()) else "its token is not that of its status"


_ATTEMPT_TEXTS = ("owner", "role", "started_at", "ended_at", "error")  # of another writer's, some may be missing


def _are_attempts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and _is_attempt(one) for one in value)


def _is_attempt(one: dict[str, Any]) -> bool:
    has_texts = all(type(one.get(name, "")) is str for name in _ATTEMPT_TEXTS)
    return has_texts and type(one.get("token")) is int and type(one.get("outcome")) is str


def _is_time(value: object) -> bool:
    """Whether a time of a job can be waited for; null: there is none."""
    try:
        return value is None or parse_iso(value) is not None  # type: ignore[arg-type]  # it refuses what is no text
    except ValueError:
        return False


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
