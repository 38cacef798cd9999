"""Checker: whether a history can be explained by a sequential model of locks, guarded files and mail.

The model knows nothing of the library: it replays the journal, commit by commit, and compares what every process was
told. Each function returns what cannot be explained, as sentences.

1. Locks: no two conflicting holders in any state; tokens of a name only grow, and each is its commit's revision; a hold
   is taken from somebody only after it expired or its process was killed; who asks later is granted later.
2. The watch: every change of every commit, once and in order.
3. Grants and releases: what a process was told is what was committed.
4. Files: each write that succeeded is in the file, once, after the one it had read; none that was refused is; each was
   committed while its token was that of the exclusive holder.
5. Mail: what was accepted reaches its recipient and nobody else, and comes no more once it is acknowledged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.histories.history import History, Op
from tests.histories.worker import covers, overlap

SLACK_S = 0.002
"""Clocks are read a moment before or after what they stand for."""


def check(history: History) -> list[str]:
    """Everything that is wrong with a history."""
    return [
        *check_locks(history),
        *check_watch(history),
        *check_answers(history),
        *check_files(history),
        *check_mail(history),
    ]


# -- locks -------------------------------------------------------------------------------------------------------------


class Locks:
    """The state of the locks after each commit."""

    def __init__(self, killed: dict[tuple[int, int], float]) -> None:
        self._killed = killed
        self.holders: dict[str, list[dict[str, Any]]] = {}
        self.waiters: dict[str, dict[str, Any]] = {}
        self._renewed_s: dict[str, list[float]] = {}
        self._newest: dict[str, int] = {}

    def apply(self, commit: dict[str, Any]) -> Iterator[str]:
        """Go one commit on; what is wrong with it."""
        holders, waiters = dict(self.holders), dict(self.waiters)
        for key, value in [*commit["puts"].items(), *((key, None) for key in commit["deletes"])]:
            kind, _, rest = key.partition("/")
            if kind == "locks":
                holders[rest] = value["holders"] if value else []
            elif kind == "waiters" and value:
                waiters[rest] = value
            elif kind == "waiters":
                waiters.pop(rest, None)
            elif kind == "leases" and value:
                self._renewed_s.setdefault(rest, []).append(value["renewed"]["mono_s"])
        changed = [key[6:] for key in [*commit["puts"], *commit["deletes"]] if key.startswith("locks/")]
        for name in changed:
            yield from self._taken_away(name, holders, commit)
            for holding in holders[name]:
                if holding["token"] not in [held["token"] for held in self.holders.get(name, [])]:
                    yield from self._new(name, holding, waiters, commit)
            yield from self._conflicts(name, holders, commit)
        self.holders, self.waiters = holders, waiters

    def _new(
        self, name: str, holding: dict[str, Any], after: dict[str, dict[str, Any]], commit: dict[str, Any]
    ) -> Iterator[str]:
        token, newest = holding["token"], self._newest.get(name, 0)
        if token != commit["revision"]:
            yield f"revision {commit['revision']} grants {name} with token {token}"
        if token < newest or (
            token == newest and holding["mode"] == "exclusive"
        ):  # one commit may grant several shares
            yield f"token {token} of {name} is not above {newest}"
        self._newest[name] = max(newest, token)
        yield from self._overtaken(name, holding, after, commit)

    def _overtaken(
        self, name: str, holding: dict[str, Any], after: dict[str, dict[str, Any]], commit: dict[str, Any]
    ) -> Iterator[str]:
        """Who stood in line earlier, and still does after this grant, although nothing excuses it."""
        own = self.waiters.get(holding["request"])
        seq = own["seq"] if own else commit["revision"]
        for request, waiter in self.waiters.items():
            if request == holding["request"] or waiter["seq"] >= seq or request not in after:
                continue
            if not _wants(waiter, {"name": name, "mode": holding["mode"]}):
                continue
            if not self._is_inside(waiter, holding) and not self._is_excused(waiter, holding, commit):
                yield (
                    f"{holding['agent']} got {name} at {commit['revision']} before {waiter['agent']}, who asked first: "
                    f"{waiter['wants']}, {holding['request']} behind {request}; there were {self.holders.get(name)}"
                )

    def _is_inside(self, waiter: dict[str, Any], holding: dict[str, Any]) -> bool:
        """Whether the new holder had a live hold where the waiter stands: it does not stand in that line."""
        return any(
            held["agent"] == holding["agent"] and self.ends_s(held) > holding["acquired"]["mono_s"] - SLACK_S
            for want in waiter["wants"]
            for held in self.holders.get(want["name"], [])
        )

    def _is_excused(self, waiter: dict[str, Any], holding: dict[str, Any], commit: dict[str, Any]) -> bool:
        """Whether a waiter was gone or out of time, or needs what the new holder has: to wait would be a deadlock."""
        now_s = holding["acquired"]["mono_s"]
        if waiter["attended"] and self._is_dead(waiter["process"], commit["before_s"]):
            return True
        if waiter["wait_s_max"] is not None and waiter["since"]["mono_s"] + waiter["wait_s_max"] <= now_s + SLACK_S:
            return True
        if (waiter["handoff"] or {}).get("state") == "declined":
            return True
        return self._waits_for(waiter, holding["agent"])

    def _waits_for(self, waiter: dict[str, Any], agent: str) -> bool:
        """Whether `agent` has what a waiter needs, or what somebody needs whom the waiter is behind."""
        seen, rest = set(), [waiter]
        while rest:
            one = rest.pop()
            if one["request"] in seen:
                continue
            seen.add(one["request"])
            for want in one["wants"]:
                if any(
                    held["agent"] == agent and overlap(want["name"], name) and _excludes(want["mode"], held["mode"])
                    for name, holders in self.holders.items()
                    for held in holders
                ):
                    return True
                rest += [w for w in self.waiters.values() if w["seq"] < one["seq"] and _wants(w, want)]
        return False

    def _taken_away(self, name: str, after: dict[str, list[dict[str, Any]]], commit: dict[str, Any]) -> Iterator[str]:
        """Holds that went by somebody else's hand before they were over."""
        kept = [token for held in after[name] for token in (held["token"], held.get("first_token"))]
        for held in self.holders.get(name, []):
            if held["token"] in kept or commit["who"] == held["agent"]:
                continue
            is_dead = held["bound"] == "process" and self._is_dead(held["process"], commit["before_s"])
            early_s = self.ends_s(held) - commit["now_s"]
            if not is_dead and early_s > SLACK_S:
                yield f"{commit['who']} took {name} from {held['agent']} at {commit['revision']}, {early_s:.3f} s early"

    def ends_s(self, held: dict[str, Any]) -> float:
        """When a hold ends: its ttl after it was taken, or after the last renewal that came in time."""
        end_s: float = held["acquired"]["mono_s"] + held["ttl_s"]
        for renewed_s in self._renewed_s.get(held["lease"], []):
            if renewed_s <= end_s:
                end_s = max(end_s, renewed_s + held["ttl_s"])
        return end_s

    def _conflicts(self, name: str, holders: dict[str, list[dict[str, Any]]], commit: dict[str, Any]) -> Iterator[str]:
        """Pairs that must not hold at the same time."""
        for other, held in holders.items():
            if overlap(name, other):
                for one in holders[name]:
                    for two in held:
                        if _excludes(one["mode"], two["mode"]) and not self._is_same(one, two, commit["before_s"]):
                            yield f"after {commit['revision']} {one['agent']} has {name} and {two['agent']} has {other}"

    def _is_same(self, one: dict[str, Any], two: dict[str, Any], now_s: float) -> bool:
        """Whether two holds are one holder's: the agent's in one process, or one that it left behind agent-bound."""
        if one["agent"] != two["agent"]:
            return False
        left = [held for held in (one, two) if held["bound"] == "agent" and self._is_dead(held["process"], now_s)]
        return bool(left) or _is_one(one["process"], two["process"])

    def _is_dead(self, process: dict[str, Any], now_s: float) -> bool:
        killed_s = self._killed.get((process["pid"], process["start"]))
        return killed_s is not None and killed_s <= now_s + SLACK_S


def _is_one(one: dict[str, Any], two: dict[str, Any]) -> bool:
    """Whether two identities are of one process under one presence.

    What is agent-bound says none; what was held under an earlier presence is over, and must not stand beside the new.
    """
    return {**two, **one} == {**one, **two}


def _excludes(a: str, b: str) -> bool:
    return "exclusive" in (a, b)


def _wants(waiter: dict[str, Any], want: dict[str, Any]) -> bool:
    """Whether a waiter wants something that excludes `want`."""
    return any(overlap(w["name"], want["name"]) and _excludes(w["mode"], want["mode"]) for w in waiter["wants"])


def check_locks(history: History) -> list[str]:
    """Replay the journal."""
    locks, problems = Locks(history.killed), []
    revision = 0
    for commit in history.commits:
        if commit["revision"] <= revision:
            problems.append(f"revision {commit['revision']} follows {revision}")
        revision = commit["revision"]
        problems += locks.apply(commit)
    return problems


def check_watch(history: History) -> list[str]:
    """A watch gives every change of every commit once, in order: no grant and no message passes it by."""
    if history.watched is None:
        return []
    committed = [(c["revision"], key, True) for c in history.commits for key in c["puts"]]
    committed += [(c["revision"], key, False) for c in history.commits for key in c["deletes"]]
    seen = Counter(history.watched)
    problems = [f"the watch missed {change}" for change in committed if not seen[change]]
    problems += [f"the watch gave {change} {count} times" for change, count in seen.items() if count > 1]
    problems += [f"the watch gave {change}, which nobody committed" for change in seen.keys() - set(committed)]
    revisions = [revision for revision, _, _ in history.watched]
    return problems + ([] if revisions == sorted(revisions) else ["the watch went back"])


# -- what processes were told ------------------------------------------------------------------------------------------


def check_answers(history: History) -> list[str]:
    """Grants are committed as they were told, releases took away what they were told."""
    granted: set[tuple[str, str, int]] = set()
    gone: dict[tuple[str, int], int] = {}
    present: dict[str, set[int]] = {}
    for commit in history.commits:
        for key, value in [*commit["puts"].items(), *((key, None) for key in commit["deletes"])]:
            if key.startswith("locks/"):
                holders = value["holders"] if value else []
                tokens = {held["token"] for held in holders} | {held.get("first_token", 0) for held in holders}
                granted.update((key[6:], held["agent"], held["token"]) for held in holders)
                gone.update({(key[6:], token): commit["revision"] for token in present.get(key[6:], set()) - tokens})
                present[key[6:]] = tokens
    problems = []
    entries: Counter[tuple[str, int]] = Counter()
    for op in history.of("acquire"):
        for name, token in op.result.get("tokens", {}).items():
            entries[name, token] += 1
            if (name, op.agent, token) not in granted:
                problems.append(f"{op.id} was told that it has {name} with token {token}: no commit says so")
    for op in history.of("release"):
        for name, token in op.arguments["tokens"].items():
            is_last = entries[name, token] <= 1  # entered twice, it ends with the last
            if op.is_ok and op.result["was_held"] and (name, token) not in gone and is_last:
                problems.append(f"{op.id} was told that it released {name}, token {token}: no commit says so")
    return problems


# -- files -------------------------------------------------------------------------------------------------------------


def check_files(history: History) -> list[str]:
    """Every file is a chain of writes; each is in it that succeeded, and none that was refused."""
    writes = {op.id: op for op in history.of("write")}
    problems = []
    in_chain: Counter[str] = Counter()
    for file, content in history.files.items():
        at = content["op"]
        while at:
            in_chain[at] += 1
            if at not in writes or in_chain[at] > 1:
                problems.append(f"{file} was written by {at}, " + ("twice" if at in writes else "which nobody called"))
                break
            at = writes[at].arguments["previous"]
    for op in writes.values():
        if op.is_ok and not in_chain[op.id]:
            problems.append(f"the write {op.id} of {op.arguments['file']} succeeded and is lost")
        if not op.is_ok and not op.is_unknown and in_chain[op.id]:
            problems.append(f"the write {op.id} was refused ({op.result['code']}) and is in {op.arguments['file']}")
    return problems + _check_tokens(history)


def _check_tokens(history: History) -> list[str]:
    """Each write was committed while its token was that of an exclusive holder."""
    locks, problems = Locks(history.killed), []
    committed: Counter[tuple[str, int]] = Counter()
    for commit in history.commits:
        written = commit["puts"].get("log/write")
        if written is not None:
            committed[written["name"], written["token"]] += 1
            holders = [
                held
                for name, holders in locks.holders.items()
                if covers(name, written["name"])
                for held in holders
                if written["token"] in (held["token"], held.get("first_token"))
            ]
            if not any(held["mode"] == "exclusive" for held in holders):
                problems.append(
                    f"revision {commit['revision']}: {written['name']} written by a former holder: {written}"
                )
            elif all(locks.ends_s(held) < commit["after_s"] - SLACK_S for held in holders):
                problems.append(f"revision {commit['revision']}: {written['name']} written after the lease ran out")
        for _ in locks.apply(commit):
            pass
    told = Counter((op.arguments["file"], t) for op in history.of("write") if op.is_ok for t in _tokens(op))
    for (file, token), count in told.items():
        if committed[file, token] < count:
            problems.append(
                f"{count} writes of {file} with token {token} succeeded, {committed[file, token]} are recorded"
            )
    return problems


def _tokens(op: Op) -> list[int]:
    """The token of a write; of two that cover the file, either may be shown."""
    tokens = list(op.arguments["tokens"].values())
    return tokens if len(tokens) == 1 else []


# -- mail --------------------------------------------------------------------------------------------------------------


def check_mail(history: History) -> list[str]:
    """Accepted messages reach their recipient; acknowledged ones come no more."""
    sends = {op.id: op for op in history.of("send")}
    problems = []
    delivered: set[str] = set()
    acked_s: dict[tuple[str, str], float] = {}
    firsts: Counter[tuple[str, str]] = Counter()
    for op in history.of("ack"):
        if op.is_ok:
            key = (op.agent, op.arguments["message"])
            acked_s[key] = min(op.returned_s or 0.0, acked_s.get(key, float("inf")))
            firsts[key] += op.result["was_first"]
    problems += [
        f"{agent} acknowledged {message} twice for the first time" for (agent, message), n in firsts.items() if n > 1
    ]
    for op in history.of("receive"):
        last: dict[str, int] = {}
        for message, sender, body in op.result.get("got", []):
            delivered.add(body)
            sent = sends.get(body)
            if sent is None or sent.arguments["to"] != op.agent or sent.agent != sender:
                problems.append(f"{op.id} of {op.agent} got {body!r} from {sender}, which was not sent to it")
            if op.called_s > acked_s.get((op.agent, message), float("inf")):
                problems.append(f"{op.agent} got {message} again after it had acknowledged it")
            incarnation, _, number = body.rpartition(".")
            if int(number) <= last.get(incarnation, 0) and not _is_redelivered(history, op, message):
                problems.append(f"{op.id} got {body} after a later message of the same sender")
            last[incarnation] = int(number)
    problems += [
        f"the message {op.id} was accepted and is lost" for op in sends.values() if op.is_ok and op.id not in delivered
    ]
    return problems


def _is_redelivered(history: History, op: Op, message: str) -> bool:
    """Whether the same agent got it before: what comes again comes behind what is new."""
    return any(
        earlier.agent == op.agent and any(got[0] == message for got in earlier.result.get("got", []))
        for earlier in history.of("receive")
        if earlier.called_s < op.called_s
    )
