"""Locks, the service: what agents call. Rules meet the store, the clock and the host here.

One transaction decides and commits; nothing is remembered between calls but when a lease was last renewed. A request
that must wait is
a record in the store, and whoever lets go grants to it in the same commit (waiting.py).

Protocol: protocol/lock.md.
"""

from __future__ import annotations

from latchboard.errors import LeaseExpired, LockHeld, StaleToken, TakenOver, UsageError
from latchboard.locks import notices
from latchboard.locks.deadlock import holder_tag
from latchboard.locks.engaged import engage
from latchboard.locks.hold import Hold, Refusal
from latchboard.locks.table import Table
from latchboard.rules import lease as leases
from latchboard.rules import lock as rules
from latchboard.rules import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    from latchboard.clock import Clock, HasFileno
    from latchboard.errors import HoldLost
    from latchboard.host.port import Host
    from latchboard.host.tree import WorkTree
    from latchboard.rules.lock import Bound, Holding, Mode, Request, Want
    from latchboard.settings import Settings
    from latchboard.store.port import Store, View

    T = TypeVar("T")


class Locks:
    """Acquire, wait, renew, release, check, guarded writes and breaking. Threads may share one."""

    def __init__(self, store: Store, clock: Clock, host: Host, tree: WorkTree, settings: Settings) -> None:
        self.store = store
        self.clock = clock
        self.host = host
        self.tree = tree
        self.settings = settings
        self._renewed_mono_s: dict[tuple[str, float], float] = {}
        self._count = 0
        self._tagged: tuple[Any, str] | None = None

    # -- asking ----------------------------------------------------------------------------------------------

    def request(
        self,
        agent: str,
        paths: Iterable[str],
        *,
        shared: bool = False,
        bound: Bound = "process",
        ttl_s: float | None = None,
        reason: str = "",
    ) -> Request:
        """A request for all of `paths`, checked and canonical.

        Raises:
            UsageError: No path, too many, a bad path, ttl or agent id.
        """
        check_agent(agent)
        mode: Mode = "shared" if shared else "exclusive"
        names = self.names(paths)
        ttl_s = self.settings.lease_ttl_s if ttl_s is None else ttl_s
        if not leases.is_ttl(ttl_s):
            raise UsageError(f"a lease time is a number of seconds above zero, not {ttl_s!r}")
        if bound not in ("process", "agent"):
            raise UsageError(f"a hold is bound to `process` or `agent`, not {bound!r}")
        process = self.host.me()
        self._count += 1
        process_tag = self._process_tag(process)
        serial = f"{self._count}-{id(self):x}"
        if bound == "process":
            asker, number = rules.Asker(agent, bound, process, f"{agent}#{process_tag}"), f"{process_tag}.{serial}"
        else:
            tag = holder_tag(agent, bound, process)
            asker, number = rules.Asker(agent, bound, process, agent), f"{tag}.{process_tag}-{serial}"
        wants: list[Want] = [{"name": name, "mode": mode} for name in names]
        return rules.Request(number, asker, wants, ttl_s=float(ttl_s), reason=reason)

    def _process_tag(self, process: Any) -> str:
        """The tag of this process, computed once."""
        if self._tagged is None or self._tagged[0] != process:
            self._tagged = (process, holder_tag("", "process", process))
        return self._tagged[1]

    def names(self, paths: Iterable[str]) -> list[str]:
        """The canonical names of `paths`, each once."""
        names: dict[str, None] = {}
        for path in paths:
            if path.startswith("glob:"):
                names[self._glob(path[len("glob:") :])] = None
                continue
            for name in self.tree.names(path):
                names[name] = None
                if name[0] == "/" and name[-1] == "/" and f"{self.tree.root}/".startswith(name):
                    names["./"] = None  # a folder above the root holds everything in it
        if not names:
            raise UsageError("no path was given", hint="name at least one file, folder or glob")
        if len(names) > self.settings.names_count_max:
            raise UsageError(
                f"{len(names)} paths in one request; at most {self.settings.names_count_max}",
                hint="lock the folder or a glob instead",
            )
        return list(names)

    def _glob(self, text: str) -> str:
        """The canonical name of a glob, also of one that was written with the root in front."""
        root = f"{self.tree.root}/"
        return pattern.normalise_glob(self.tree.spell(text[len(root) - 1 :] if text.startswith(root) else text))

    def try_acquire(self, request: Request) -> Hold | Refusal:
        """Take everything at once or nothing; never waits."""
        return self.attempt(request, trace=True)

    def acquire(self, request: Request, *, wait_s_max: float | None = 0, cancel: HasFileno | None = None) -> Hold:
        """Take everything or nothing, waiting in line.

        Args:
            request: From `request()`.
            wait_s_max: Longest wait, seconds; 0 asks once, None has no end.
            cancel: Readable when the caller gives up; then `Cancelled` is raised and nothing stays behind.

        Raises:
            LockHeld: It is not free and there was no time to wait. WaitEnded: nor did it become free in time.
                Retryable.
            Deadlock: Waiting would close a cycle; names it.
            StoreError: Nothing was taken.
        """
        if wait_s_max is not None and not 0 <= wait_s_max < 1e9:
            raise UsageError(f"a waiting time is a number of seconds from 0, not {wait_s_max!r}")
        outcome = self.attempt(request, trace=wait_s_max == 0)
        if isinstance(outcome, Hold):
            return outcome
        if wait_s_max == 0:
            raise self.held(outcome)
        from latchboard.locks.waiting import wait_in_line

        return wait_in_line(self, request, wait_s_max, cancel)

    def attempt(self, request: Request, *, trace: bool) -> Hold | Refusal:
        """One transaction: grant, or say who is in the way (and log that, if `trace`)."""

        def decide(table: Table) -> Hold | Refusal:
            holders, waiters = table.blockers(request)
            if not holders and not waiters:
                return self.granted(table, request)
            refusal = Refusal(request, [(h, table.remaining_s(h)) for h in holders], waiters)
            if trace:
                table.view.put("log/conflict", notices.conflict(request, refusal.facts(), table.now))
            return refusal

        try:
            outcome = self.transact(request.agent, decide)
        except BaseException as exc:
            self.undo(request, exc)
            raise
        if isinstance(outcome, Hold):
            engage(request.agent)
        return outcome

    def granted(self, table: Table, request: Request) -> Hold:
        """Write the grant, renew what is due, tell whom something was taken from."""
        tokens = table.grant(request)
        self._renew_if_due(table, request)
        notices.tell_taken_over(table, request)
        return Hold(self, request, tokens, 0.0)

    def undo(self, request: Request, exc: BaseException) -> None:
        """After an exception on the way to a grant: nothing of the request may stay behind (failures 3.17)."""
        from latchboard.errors import StoreError, UsageError

        if isinstance(exc, StoreError | UsageError):
            return  # nothing was committed, and the store would only refuse again

        def withdraw(table: Table) -> None:
            waiter = table.waiter(request.request)
            if waiter is not None:
                table.dequeue(waiter)
            for want in request.wants:
                record = table.record(want["name"])
                for held in record["holders"] if record else []:
                    if held["request"] == request.request:
                        table.remove(want["name"], held)
            table.advance([want["name"] for want in request.wants])

        self.transact(request.agent, withdraw)

    def held(self, refusal: Refusal) -> LockHeld:
        """The error for a refusal."""
        return LockHeld(
            refusal.sentence(),
            hint="work elsewhere, wait (--wait-s-max), or ask for it (`latchboard handoff request`)",
            names=refusal.names,
            holders=refusal.facts(),
        )

    # -- holding ---------------------------------------------------------------------------------------------

    def release(self, request: Request, tokens: dict[str, int]) -> bool:
        """Give names back and grant them to whoever waits, in one commit. False: not all of it was held any more."""
        me = self.host.me()

        def decide(table: Table) -> bool:
            lost = 0
            for name, token in tokens.items():
                held = self._find(table, name, request, token, me)
                if held is None or table.why_over(held):
                    lost += 1
                elif held["depth"] > 1:
                    held["depth"] -= 1
                    record = table.record(name)
                    assert record is not None
                    table.put(record)
                else:
                    table.remove(name, held)
            if lost < len(tokens):
                table.advance(tokens)
            return lost == 0

        return self.transact(request.agent, decide)

    def release_names(self, agent: str, paths: Iterable[str] | None = None, *, token: int | None = None) -> list[str]:
        """Give back names by agent id, whole (not counted); None: everything it holds here. Returns what was released.

        A hold of the same id in another living process is not touched, unless its token is shown.
        """
        names = None if paths is None else self.names(paths)
        me = self.host.me()

        def decide(table: Table) -> list[str]:
            wanted = names if names is not None else [key[6:] for key, _ in table.view.scan("locks/")]
            released = []
            for name in wanted:
                record = table.record(name)
                for held in list(record["holders"]) if record else []:
                    mine = rules.is_mine(held, agent, "agent", me, table.judge)
                    shown = token is not None and held["agent"] == agent and rules.shows_token(held, token)
                    if (mine or shown) and not table.why_over(held):
                        table.remove(name, held)
                        released.append(name)
            table.advance(released)
            return released

        return self.transact(agent, decide)

    def renew(self, request: Request, tokens: dict[str, int]) -> None:
        """Start the lease anew. Raises HoldLost when one of the names is not held any more; nothing is changed then."""
        me = self.host.me()

        def decide(table: Table) -> None:
            for name, token in tokens.items():
                held = self._find(table, name, request, token, me)
                if held is None or table.why_over(held):
                    raise self.lost(table, name, token, held)
            self._write_renewal(table, request)

        self.transact(request.agent, decide)

    def renew_agent(self, agent: str, *, ttl_s: float | None = None) -> None:
        """Start the lease of an agent's agent-bound holds anew; an expired hold does not come back."""
        asker = rules.Asker(agent, "agent", self.host.me(), agent)
        request = rules.Request("", asker, [], ttl_s=ttl_s or self.settings.lease_ttl_s)
        self.transact(agent, lambda table: self._write_renewal(table, request))

    def is_live(self, request: Request, tokens: dict[str, int]) -> bool:
        """Whether all of it is still held; changes nothing."""
        me = self.host.me()
        table = self.look(*[f"locks/{name}" for name in tokens], f"leases/{request.lease}")
        found = [self._find(table, name, request, token, me) for name, token in tokens.items()]
        return all(held is not None and not table.why_over(held) for held in found)

    def check(self, paths: Iterable[str], *, agent: str | None = None, shared: bool = False) -> list[dict[str, Any]]:
        """Who would be in the way of locking `paths`; empty: free. Changes nothing (see looking.py)."""
        from latchboard.locks.looking import check

        return check(self, paths, agent=agent, shared=shared)

    # -- shared by the modules of this package ---------------------------------------------------------------

    def transact(self, who: str, fn: Callable[[Table], T], *, effect: Callable[[], None] | None = None) -> T:
        """Run `fn` on the locks in one transaction."""

        def run(view: View) -> T:
            return fn(Table(view, self.clock.now(), self.host.verdict, me))

        me = self.host.me()

        return self.store.transact(run, who=who, effect=effect).value

    def look(self, *wanted: str) -> Table:
        """The locks as they are, for reading only."""
        from latchboard.locks.looking import Looked

        looked: Any = Looked(self.store, self.store.read(*wanted))
        return Table(looked, self.clock.now(), self.host.verdict, self.host.me())

    def lost(self, table: Table, name: str, token: int, held: Holding | None) -> HoldLost:
        """Which kind of loss it is, and by whom."""
        if held is not None:
            over_s = -table.remaining_s(held)
            return LeaseExpired(
                f"the lease of {held['agent']} on {name} ran out {max(0.0, over_s):.0f} s ago",
                hint="read the file again, then acquire it anew; renew more often than the lease time",
                name=name,
                expired_for_s=over_s,
            )
        record = table.record(name)
        by = [h["agent"] for h in record["holders"]] if record else []
        newest = max([h["token"] for h in record["holders"]], default=None) if record else None
        if by:
            return TakenOver(
                f"{name} belongs to {', '.join(by)} now (token {newest}, you showed {token})",
                hint="stop writing; read the file again and acquire it anew",
                name=name,
                by=by,
                shown=token,
                newest=newest,
            )
        return StaleToken(
            f"nobody holds {name} with token {token}",
            hint="it was released or cleaned up: acquire it anew",
            name=name,
            shown=token,
            newest=newest,
        )

    def _find(self, table: Table, name: str, request: Request, token: int, me: Any) -> Holding | None:
        """The requester's hold of a name, if this process may speak for it."""
        record = table.record(name)
        for held in record["holders"] if record else []:
            if rules.shows_token(held, token) and rules.is_mine(held, request.agent, request.bound, me, table.judge):
                return held
        return None

    def _renew_if_due(self, table: Table, request: Request) -> None:
        """Use renews: at most one write per `renew_s_min` (or a quarter of a shorter ttl)."""
        known = (request.lease, request.ttl_s)
        last = self._renewed_mono_s.get(known)
        every_s = min(self.settings.renew_s_min, request.ttl_s / 4)
        if last is not None and table.now.mono_s - last < every_s:
            return
        self._renewed_mono_s[known] = table.now.mono_s
        if last is None and request.bound == "process":
            return  # this process has no older hold that would need it
        lease = table.lease(request.lease)
        has_chain = lease is not None and any(c["ttl_s"] == request.ttl_s for c in lease["chains"])
        if lease is None or not has_chain or leases.age_s(lease["renewed"], table.now) >= every_s:
            self._write_renewal(table, request)

    def _write_renewal(self, table: Table, request: Request) -> None:
        lease: Any = leases.renewed(
            table.lease(request.lease),
            table.now,
            request.ttl_s,
            agent=request.agent,
            bound=request.bound,
            process=request.process,
        )
        table.view.put(f"leases/{request.lease}", lease)


def check_agent(agent: object) -> str:
    """The agent id, if it can be one: 1 to 200 printable characters, no blanks at its ends.

    Raises:
        UsageError: It cannot.
    """
    if not isinstance(agent, str) or not agent or len(agent) > 200 or agent != agent.strip() or not agent.isprintable():
        raise UsageError(
            f"an agent id is 1 to 200 printable characters without blanks around them, not {agent!r:.80}",
            hint="set AGENT_ID or give --agent",
        )
    return agent
