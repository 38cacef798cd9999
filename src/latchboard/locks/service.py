"""Locks, the service: what agents call. Rules meet the store, the clock and the host here.

One transaction decides and commits; nothing is remembered between calls but when a lease was last renewed, and which
requests could not be taken back because the store refused. A request that must wait is a record in the store, and
whoever lets go grants to it in the same commit (waiting.py).

Protocol: protocol/lock.md.
"""

from __future__ import annotations

from itertools import count

from latchboard.errors import CommitTooLarge, CoordinationError, LockHeld, MalformedRecord, StoreBusy, UsageError
from latchboard.locks import notices
from latchboard.locks.hold import Hold, Refusal, holder_tag
from latchboard.locks.renewing import Renewals, refuse_absent, renew, renew_hold
from latchboard.locks.table import Table
from latchboard.rules import holding as holdings
from latchboard.rules import lease as leases
from latchboard.rules import lock as rules
from latchboard.rules import pattern
from latchboard.rules.agent import check_agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from os import PathLike
    from typing import Any, TypeVar

    from latchboard.clock import Clock, HasFileno
    from latchboard.host.port import Host
    from latchboard.host.tree import WorkTree
    from latchboard.rules.lock import Asker, Bound, Holding, Mode, Request, Want
    from latchboard.settings import Settings
    from latchboard.store.port import Store, View

    T = TypeVar("T")
    Keep = Callable[[bytes], tuple[str, bool]]  # digest, and whether the bytes are kept
    Effect = Callable[[], None] | None
    Besides = Callable[[Table, dict[str, int]], None]

_BESIDES_COUNT = 12
"""Keys that a grant may need beside its locks: waiter, lease, index, news of those it was taken from."""
_serials = count(1)  # of requests in this process, in all threads and services: an id is never used twice


class Locks:
    """Acquire, wait, renew, release, check, guarded writes and breaking. Threads may share one."""

    def __init__(self, store: Store, clock: Clock, host: Host, tree: WorkTree, settings: Settings) -> None:
        self.store = store
        self.clock = clock
        self.host = host
        self.tree = tree
        self.settings = settings
        self.renewals = Renewals(settings)
        self.keep: Keep | None = None  # keeps the bytes of images, where there are any
        self.present: Callable[[], str] | None = None  # the id of this process's presence, where the store keeps one
        self.host_name = ""  # of this machine, for people, where the store spans several
        self._abandoned: dict[str, Request] = {}
        self._tagged: tuple[Any, str] | None = None

    # -- asking ----------------------------------------------------------------------------------------------

    def request(
        self,
        agent: str,
        paths: Iterable[str | PathLike[str]],
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
        if not isinstance(reason, str):
            raise UsageError(f"a reason is text, not {reason!r:.80}")
        mode: Mode = "shared" if shared else "exclusive"
        names = self._named(paths)
        if len(names) > (most := self.store.properties.transaction_keys_max - _BESIDES_COUNT):
            raise CommitTooLarge(
                f"{len(names)} paths in one request; this store takes at most {most}",
                hint="lock the folder or a glob instead",
                keys_max=self.store.properties.transaction_keys_max,
            )
        ttl_s = self.settings.lease_ttl_s if ttl_s is None else ttl_s
        leases.check_ttl(ttl_s)
        if bound not in ("process", "agent"):
            raise UsageError(f"a hold is bound to `process` or `agent`, not {bound!r:.80}")
        process = self.here() if bound == "process" else self._named_me()
        lease = f"{agent}#{self._process_tag(process)}" if bound == "process" else agent
        asker = rules.Asker(agent, bound, process, lease)
        wants: list[Want] = [{"name": name, "mode": mode} for name in names]
        if len(names) > 1:
            for want in wants:
                if link := names[want["name"]]:
                    want["link"] = link
        return rules.Request(self._new_id(asker), asker, wants, ttl_s=float(ttl_s), reason=reason)

    def here(self) -> Any:
        """This process, as those on other machines can judge it, too."""
        me = self._named_me()
        return me if self.present is None else {**me, "presence": self.present()}

    def _named_me(self) -> Any:
        me = self.host.me()
        return {**me, "host_name": self.host_name} if self.host_name else me

    def _new_id(self, asker: Asker) -> str:
        """An id for a request of this asker."""
        process_tag, serial = self._process_tag(asker.process), next(_serials)
        if asker.bound == "process":
            return f"{process_tag}.{serial}"
        return f"{holder_tag(asker.agent, asker.bound, asker.process)}.{process_tag}-{serial}"

    def _process_tag(self, process: Any) -> str:
        """The tag of this process, computed once."""
        if self._tagged is None or self._tagged[0] != process:
            self._tagged = (process, holder_tag("", "process", process))
        return self._tagged[1]

    def names(self, paths: Iterable[str | PathLike[str]]) -> list[str]:
        """The canonical names of `paths`, each once; those of hard links stand behind their paths."""
        return list(self._named(paths))

    def _named(self, paths: Iterable[str | PathLike[str]]) -> dict[str, str]:
        """The canonical names of `paths`, each with the link that is locked beside it, if any."""
        names: dict[str, str] = {}
        if isinstance(paths, str):
            paths = [paths]
        for path in paths:
            if isinstance(path, str) and path.startswith("glob:"):
                names[self._glob(path[len("glob:") :])] = ""
                continue
            name, *link = self.tree.names(path)
            names[name] = link[0] if link else ""
            if link:
                names.setdefault(link[0], "")
            if name[0] == "/" and name[-1] == "/" and f"{self.tree.root}/".startswith(name):
                names["./"] = ""  # a folder above the root holds everything in it
        if not names:
            raise UsageError("no path was given", hint="name at least one file, folder or glob")
        if len(names) > self.settings.names_count_max:
            raise UsageError(
                f"{len(names)} paths in one request; at most {self.settings.names_count_max}",
                hint="lock the folder or a glob instead",
            )
        return names

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
        rules.check_wait(wait_s_max)
        outcome = self.attempt(request, trace=wait_s_max == 0)
        if isinstance(outcome, Hold):
            return outcome
        if wait_s_max == 0:
            raise self.held(outcome)
        from latchboard.locks.waiting import wait_in_line

        return wait_in_line(self, request, wait_s_max, cancel)

    def attempt(
        self, request: Request, *, trace: bool, table: type[Table] = Table, besides: Besides | None = None
    ) -> Hold | Refusal:
        """One transaction: grant, or say who is in the way (and log that, if `trace`).

        `table`: how the locks are looked at. `besides`: what is written with the grant, which its tokens are given to.
        """

        def decide(table: Table) -> Hold | Refusal:
            holders, waiters = table.blockers(request)
            if not holders and not waiters:
                hold = self.granted(table, request)
                if besides is not None:
                    besides(table, hold.tokens)
                return hold
            refusal = table.refusal(request, holders, waiters)
            table.settle(refusal.names)
            if trace:
                table.view.put("log/conflict", notices.conflict(request, refusal.facts(), table.now))
            return refusal

        try:
            return self.transact(request.agent, decide, table=table)
        except (UsageError, MalformedRecord, StoreBusy):
            raise  # nothing was committed
        except BaseException:
            self.undo(request)
            raise

    def granted(self, table: Table, request: Request) -> Hold:
        """Grant, for the requester itself."""
        return Hold(self, request, self.grant(table, request), 0.0)

    def grant(self, table: Table, request: Request) -> dict[str, int]:
        """Write the grant, and renew what is due: use renews. Returns name to token."""
        refuse_absent(table, request)
        tokens = table.grant(request)
        self.renewals.use(table, request)
        for held in table.entered:
            self.renewals.use_hold(table, held)
        table.advance([*table.cleared])
        return tokens

    def undo(self, request: Request) -> None:
        """After an exception on the way to a grant: nothing of the request may stay behind (failures 3.17).

        If the store refuses this as well, it is done with the next transaction of this service; to ask again is then to
        make another request, with an id of its own.
        """
        asker = rules.Asker(request.agent, request.bound, request.process, request.lease)
        given_up = rules.Request(request.request, asker, request.wants, ttl_s=request.ttl_s, reason=request.reason)
        self._abandoned[given_up.request] = given_up
        try:
            self.transact(request.agent, lambda table: None)
        except CoordinationError:
            return
        finally:
            if given_up.request in self._abandoned:
                request.request = self._new_id(asker)

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
        """Give names back and grant them to whoever waits, in one commit.

        Returns:
            False: not all of it was held any more. What was, is given back.

        Raises:
            MalformedRecord: A record cannot be read; the other names are given back.
        """
        from latchboard.locks.linked import give_back

        def decide(table: Table) -> tuple[bool, MalformedRecord | None]:
            damage = None
            found: dict[str, Holding] = {}
            for name, token in tokens.items():
                try:
                    held = self._find(table, name, request, token, table.me)
                except MalformedRecord as exc:
                    damage = exc
                    continue
                if held is not None and not table.why_over(held):
                    found[name] = held
            freed: list[str] = []
            for name, held in found.items():
                after = holdings.left(held, request.request, request.bound, table.now)
                freed += give_back(table, name, held, after)
            table.advance(freed)
            return len(found) == len(tokens), damage

        is_whole, damage = self.transact(request.agent, decide)
        if damage is not None:
            raise damage
        return is_whole

    def release_names(self, agent: str, paths: Iterable[str] | None = None, *, token: int | None = None) -> list[str]:
        """Give back names by agent id, whole (not counted); None: everything it holds here. Returns what was released.

        With None, the locks of its claims of the work queue stay: what ends the claim gives them back. A hold of the
        same id in another living process is not touched, unless its token is shown. More than the store takes in one
        commit are given back in several.
        """
        from latchboard.locks.leaving import release_names

        return release_names(self, check_agent(agent), None if paths is None else self.names(paths), token)

    def renew(self, request: Request, tokens: dict[str, int]) -> None:
        """Start the lease anew. Raises HoldLost when one of the names is not held any more; nothing is changed then."""
        from latchboard.locks.leaving import lost

        me = self.host.me()

        def decide(table: Table) -> None:
            leased: dict[str, Holding] = {}
            for name, token in tokens.items():
                held = self._find(table, name, request, token, me)
                if held is None or table.why_over(held):
                    raise lost(table, name, token, held)
                if held["lease"] not in leased or held["ttl_s"] > leased[held["lease"]]["ttl_s"]:
                    leased[held["lease"]] = held
            for held in leased.values():
                renew_hold(table, held)

        self.transact(request.agent, decide)

    def renew_agent(self, agent: str, *, ttl_s: float | None = None) -> None:
        """Start the lease of an agent's agent-bound holds anew; an expired hold does not come back."""
        check_agent(agent)
        ttl_s = self.settings.lease_ttl_s if ttl_s is None else ttl_s
        leases.check_ttl(ttl_s)
        me = self.host.me()
        self.transact(agent, lambda table: renew(table, agent, ttl_s, agent, "agent", me))

    def is_live(self, request: Request, tokens: dict[str, int]) -> bool:
        """Whether all of it is still held; changes nothing."""
        me = self.host.me()
        table = self.look(*[f"locks/{name}" for name in tokens], f"leases/{request.lease}")
        found = [self._find(table, name, request, token, me) for name, token in tokens.items()]
        return all(held is not None and not table.why_over(held) for held in found)

    def check(
        self, paths: Iterable[str], *, agent: str | None = None, shared: bool = False, token: int | None = None
    ) -> list[dict[str, Any]]:
        """Who would be in the way of locking `paths`; empty: free. Changes nothing (see looking.py)."""
        from latchboard.locks.looking import check

        return check(self, paths, agent=agent, shared=shared, token=token)

    # -- shared by the modules of this package ---------------------------------------------------------------

    def transact(self, who: str, fn: Callable[[Table], T], *, effect: Effect = None, table: type[Table] = Table) -> T:
        """Run `fn` on the locks in one transaction."""
        me = self.host.me()
        abandoned: Sequence[Request] = ()
        seen: Any = None

        def run(view: View) -> T:
            nonlocal abandoned, seen
            seen = table(view, view.now, self.host.verdict, me)
            abandoned = [*self._abandoned.values()] if self._abandoned else ()  # what is done with may be asked anew
            for request in abandoned:
                from latchboard.locks.leaving import withdraw

                withdraw(seen, request)
            return fn(seen)

        value = self.store.transact(run, who=who, effect=effect).value
        self.renewals.note(seen)
        for request in abandoned:
            self._abandoned.pop(request.request, None)
        self.go_on(who, seen)
        return value

    def go_on(self, who: str, table: Table) -> None:
        """Grant what a transaction that is committed had no room for."""
        if table.postponed:
            from latchboard.locks.leaving import go_on

            go_on(self, who, table.postponed)

    def look(self, *wanted: str) -> Table:
        """The locks as they are, for reading only."""
        from latchboard.locks.looking import Looked

        looked: Any = Looked(self.store, self.store.read(*wanted))
        return Table(looked, self.clock.now(), self.host.verdict, self.host.me())

    def _find(self, table: Table, name: str, request: Request, token: int, me: Any) -> Holding | None:
        """The requester's hold of a name, if this process may speak for it."""
        record = table.record(name)
        for held in record["holders"] if record else []:
            if holdings.shows_token(held, token) and rules.is_mine(held, request.agent, request.bound, me, table.judge):
                return held if holdings.is_in(held, request.request, request.bound) else None
        return None
