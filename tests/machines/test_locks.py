"""Locks against a model: many agents in several processes that come, wait, crash and are recycled; clocks that jump.

After each step: at most one exclusive holder of a path, over folders and globs too; tokens only grow; who lost a hold
is refused everything; what lives is never taken; the line is first in, first out, and nobody who could go on is left
standing by whoever let go; nobody waits for itself; readers write nothing; records say nothing else than that.
"""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

from hypothesis import event, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from latchboard.errors import Deadlock, HandoffDeclined, HoldLost, Refused, UsageError
from latchboard.locks import Hold, handoff
from latchboard.locks.breaking import break_lock
from latchboard.locks.guarded import _publish
from latchboard.rules import lease as leases
from latchboard.rules import lock as rules
from tests.conftest import MEMORY, examples
from tests.machines.lock_model import NAMES, Asked, Held, Model, Waiting, overlap
from tests.services.locks.scene import InLine, Process, Scene

AGENTS = ["a", "b", "c"]
agents = st.sampled_from(AGENTS)
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True)
shared = st.booleans()
bounds = st.sampled_from(["process", "process", "agent"])
ttls = st.sampled_from([10.0, 25.0, 60.0])
index = st.integers(0, 7)


class Handle:
    """A real hold, and what the model knows of its request."""

    def __init__(self, hold: Hold, asked: Asked) -> None:
        self.hold, self.asked = hold, asked


class Fake:
    """New content of a file that is published nowhere."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_published = False

    def publish(self) -> None:
        self.is_published = True


class LockMachine(RuleBasedStateMachine):
    is_memory = True

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="latchboard-machine-", dir=MEMORY)
        # Every use renews: so the model need not know when a renewal is due.
        self.scene = self.make_scene(renew_s_min=1e-6)
        self.model = Model()
        self.processes: list[Process] = [self.scene.process(), self.scene.process()]
        self.handles: list[Handle] = []
        self.waits: dict[str, tuple[InLine, Waiting]] = {}
        self.boots_count = 1
        self.has_jumped = False
        self.is_quiet = True  # nothing has ended by itself since everybody looked

    def make_scene(self, **settings: Any) -> Scene:
        return Scene(self.folder, is_memory=self.is_memory, **settings)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.scene.store.close()
            for process in self.processes:
                process.locks.store.close()
            shutil.rmtree(self.folder)

    # -- helpers -------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> Any:
        return self.scene.clock.now()

    def process(self, number: int) -> Process:
        return self.processes[number % len(self.processes)]

    def asked(self, request: Any, process: Process) -> Asked:
        mode = request.wants[0]["mode"]
        wanted = [want["name"] for want in request.wants]
        return Asked(request.request, request.agent, process, request.bound, wanted, mode, request.ttl_s)

    def is_busy(self, agent: str, process: Process) -> bool:
        """Whether this agent's thread in this process stands in line: it cannot do anything else."""
        return any(w.attended and w.asked.agent == agent and w.asked.process is process for _, w in self.waits.values())

    def got(self, hold: Hold, asked: Asked) -> None:
        """A request was granted by its own commit: in the model too, and its use renews."""
        self.model.grant(asked, hold.token, self.now)
        self.model.renew(asked.lease, self.now)
        for held in list(self.model.holds):
            if held.name in asked.names and self.model.is_mine(held, asked):
                self.model.renew(held.lease, self.now)
        self.handles.append(Handle(hold, asked))

    def follow(self, freed: list[str] | None = None) -> None:
        """What the commits so far made of those in line; with `freed`, nobody next for these names may be left."""
        there = {key[len("waiters/") :] for key, _ in self.scene.scan("waiters/")}
        for request, (line, waiting) in sorted(self.waits.items(), key=lambda w: self.model.line.index(w[1][1])):
            if request in there:
                continue
            hold = self.hold_of(line, waiting)
            if self.model.stands(waiting, self.now):
                assert hold is not None, f"{waiting} lost its place"
                assert self.model.is_next(waiting, self.now), f"{waiting} was granted out of turn"
                event("granted by somebody else's commit")
                self.model.grant(waiting.asked, hold.token, self.now)
                if waiting.asked.bound == "agent":
                    self.model.renew(waiting.asked.lease, self.now)
                if waiting.attended:
                    self.handles.append(Handle(hold, waiting.asked))
            self.forget(request)
        for name in freed or []:
            self.nobody_left_standing(name)

    def hold_of(self, line: InLine, waiting: Waiting) -> Hold | None:
        """The hold that somebody's commit gave to a waiter, told by the records."""
        tokens: dict[str, int] = {}
        for name in waiting.asked.names:
            for held in (self.scene.record(name) or {"holders": []})["holders"]:
                ids = [held["request"], held.get("claim"), *held.get("entries", [])]
                is_its_own = held["agent"] == waiting.asked.agent and waiting.asked.request in ids
                is_enough = held["mode"] == "exclusive" or waiting.asked.mode == "shared"
                was_there = waiting.asked.bound == held["bound"] == "agent" and held["agent"] == waiting.asked.agent
                if is_its_own or (was_there and is_enough):
                    tokens[name] = held["token"]
        return Hold(line.locks, line.request, tokens, 0.0) if len(tokens) == len(waiting.asked.names) else None

    def forget(self, request: str) -> None:
        self.model.line.remove(self.waits.pop(request)[1])

    def nobody_left_standing(self, name: str) -> None:
        for waiting in self.model.line:
            if any(overlap(name, wanted) for wanted in waiting.asked.names):
                assert not self.model.is_next(waiting, self.now), f"{waiting} could go on"

    # -- asking --------------------------------------------------------------------------------------------------------

    @rule(number=index, agent=agents, paths=names, is_shared=shared, bound=bounds, ttl_s=ttls)
    def ask(self, number: int, agent: str, paths: list[str], is_shared: bool, bound: Any, ttl_s: float) -> None:
        process = self.process(number)
        if self.is_busy(agent, process):
            return
        request = process.locks.request(agent, paths, shared=is_shared, bound=bound, ttl_s=ttl_s)
        asked = self.asked(request, process)
        free = self.model.is_free(asked, self.now)

        outcome = process.locks.try_acquire(request)

        assert isinstance(outcome, Hold) == free, f"{agent} asked for {paths}: {outcome!r}"
        if isinstance(outcome, Hold):
            self.got(outcome, asked)
        self.follow()

    @rule(
        number=index,
        agent=agents,
        paths=names,
        is_shared=shared,
        bound=bounds,
        ttl_s=ttls,
        wait_s_max=st.sampled_from([None, None, 5.0, 40.0]),
        kind=st.sampled_from(["wait", "wait", "handoff", "go on"]),
    )
    def wait(  # noqa: PLR0913 - what a waiter may say
        self,
        number: int,
        agent: str,
        paths: list[str],
        is_shared: bool,
        bound: Any,
        ttl_s: float,
        wait_s_max: float | None,
        kind: str,
    ) -> None:
        process = self.process(number)
        attended = kind != "go on"
        if self.is_busy(agent, process) or len(self.waits) > 6 or (not attended and bound != "agent"):
            return
        if not attended and any(not w.attended and w.asked.agent == agent for _, w in self.waits.values()):
            return
        options = {"wait_s_max": wait_s_max, "attended": attended}
        options["handoff"] = None if kind == "wait" else {"state": "asked"}
        before = self.scene.everything()
        try:
            line = process.line(agent, *paths, shared=is_shared, bound=bound, ttl_s=ttl_s, **options)
        except Deadlock as exc:
            event("deadlock refused")
            assert exc.fields["cycle"][0] == exc.fields["cycle"][-1] == agent
            assert self.scene.everything() == before
            return
        asked = self.asked(line.request, process)
        free = self.model.is_free(asked, self.now)
        assert isinstance(line.outcome, Hold) == free, f"{agent} asked for {paths}: {line.outcome!r}"
        if isinstance(line.outcome, Hold):
            self.got(line.outcome, asked)
        else:
            waiting = Waiting(asked, self.now, wait_s_max, attended, kind != "wait")
            self.model.line.append(waiting)
            self.waits[line.id] = line, waiting
        self.follow()

    def waiter(self, number: int) -> tuple[InLine, Waiting] | None:
        """One that a living process attends."""
        there = [w for w in self.waits.values() if w[1].attended and w[1].asked.process not in self.model.gone]
        return there[number % len(there)] if there else None

    @rule(number=index)
    def look(self, number: int) -> None:
        chosen = self.waiter(number)
        if chosen is not None:
            self.look_again(*chosen)

    def look_again(self, line: InLine, waiting: Waiting) -> None:
        now, is_next = self.now, self.model.is_next(waiting, self.now)
        before = self.scene.everything()
        try:
            outcome = line.step()
        except HandoffDeclined:
            event("declined")
            assert waiting.declined
            line.give_up()
            self.forget(line.id)
            return
        if isinstance(outcome, Hold):
            # A waiter whose time is just over may still take what is free when it looks itself.
            event("taken in its turn")
            in_time = self.model.stands(waiting, now)
            assert is_next or not in_time, f"{waiting} went out of turn"
            self.forget(line.id)
            self.got(outcome, waiting.asked)
        else:
            assert not is_next, f"{waiting} was next"
            if self.is_quiet:
                assert self.scene.everything() == before, "a look in vain changed something"
        self.follow()

    @rule(number=index)
    def give_up(self, number: int) -> None:
        chosen = self.waiter(number)
        if chosen is None:
            return
        line, waiting = chosen
        line.give_up()
        self.forget(line.id)
        self.follow(waiting.asked.names)

    @rule(number=index)
    def run_out_of_time(self, number: int) -> None:
        chosen = self.waiter(number)
        if chosen is None or chosen[1].declined:
            return
        line, waiting = chosen
        assert line.leave() is None  # whoever was granted is not in line any more
        self.forget(line.id)
        self.follow(waiting.asked.names)

    @rule(data=st.data())
    def everybody_looks(self, data: st.DataObject) -> None:
        """Each looks once, in any order, and once more: whoever could go on has gone on."""
        order = data.draw(st.permutations(range(8)))
        for _ in range(2):
            for number in order:
                self.look(number)
        for waiting in self.model.line:
            if waiting.attended:
                assert not self.model.is_next(waiting, self.now)
        self.is_quiet = all(waiting.attended for waiting in self.model.line)

    # -- holding -------------------------------------------------------------------------------------------------------

    def handle(self, number: int) -> Handle | None:
        """One of a living process."""
        usable = [h for h in self.handles if h.asked.process not in self.model.gone]
        return usable[number % len(usable)] if usable else None

    def lost(self, handle: Handle) -> list[str]:
        """Names that a handle does not hold any more."""
        tokens = handle.hold.tokens
        return [name for name in tokens if self.model.find(handle.asked, name, tokens[name]) is None]

    @rule(number=st.integers(0, 20))
    def release(self, number: int) -> None:
        handle = self.handle(number)
        if handle is None or self.is_busy(handle.asked.agent, handle.asked.process):
            return
        lost = self.lost(handle)
        before = self.scene.everything()
        # Past the handle, which would remember that it was given back: records alone decide.
        released = handle.asked.process.locks.release(handle.hold._request, handle.hold.tokens)

        assert released == (not lost), f"{handle.asked.agent} released {handle.hold.tokens}"
        if len(lost) == len(handle.hold.tokens):
            assert self.scene.everything() == before, "release by a former holder changed something"
        freed = []
        for name, token in handle.hold.tokens.items():
            held = self.model.find(handle.asked, name, token)
            if held is not None and self.model.leave(held, handle.asked, self.now):
                freed.append(name)
        self.follow(freed)

    @rule(number=st.integers(0, 20))
    def renew(self, number: int) -> None:
        handle = self.handle(number)
        if handle is None:
            return
        lost = self.lost(handle)
        before = self.scene.everything(), self.scene.scan("leases/")
        assert handle.hold.is_live() == (not lost)
        try:
            handle.hold.renew()
        except HoldLost:
            event("renewal refused")
            assert lost
            assert (self.scene.everything(), self.scene.scan("leases/")) == before
            return
        assert not lost
        for name, token in handle.hold.tokens.items():
            held = self.model.find(handle.asked, name, token)
            assert held is not None
            self.model.renew(held.lease, self.now)

    @rule(number=index, agent=agents)
    def renew_agent(self, number: int, agent: str) -> None:
        self.process(number).locks.renew_agent(agent)
        self.model.renew((agent,), self.now)

    @rule(number=st.integers(0, 20))
    def write(self, number: int) -> None:
        """A guarded write passes if, and only if, the token is that of a live exclusive hold."""
        handle = self.handle(number)
        if handle is None:
            return
        name, token = next(iter(handle.hold.tokens.items()))
        held = next((h for h in self.model.holds if h.name == name and token in h.tokens), None)
        staged: Any = Fake(name)
        try:
            _publish(handle.asked.process.locks, staged, name, token, who=handle.asked.agent)
        except HoldLost:
            event("write refused")
            assert held is None
        except UsageError:
            assert held is not None and held.mode == "shared"
        else:
            assert held is not None and held.mode == "exclusive"
            self.model.renew(held.lease, self.now)
        assert staged.is_published == (held is not None and held.mode == "exclusive")

    # -- by others -----------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), shows=st.sampled_from(["none", "newest", "older"]))
    def break_(self, name: str, shows: str) -> None:
        holds = [h for h in self.model.holds if h.name == name]
        token = None if shows == "none" else max((h.tokens[-1] for h in holds), default=5)
        token = token - 1 if token is not None and shows == "older" else token
        operator = self.scene.process()
        before = self.scene.everything()
        try:
            broken = break_lock(operator.locks, name, by="operator", reason="test", token=token)
        except Refused:
            assert token is not None and all(token not in h.tokens for h in holds)
            assert self.scene.everything() == before
            return
        finally:
            operator.locks.store.close()
        chosen = [h for h in holds if token is None or token in h.tokens]
        assert {(b["agent"], b["token"]) for b in broken} >= {(h.agent, h.tokens[-1]) for h in chosen}
        for held in chosen:
            self.model.holds.remove(held)
        self.follow([name] if broken else None)

    @rule(number=index, agent=agents, who=index, is_yes=st.booleans())
    def answer(self, number: int, agent: str, who: int, is_yes: bool) -> None:
        process = self.process(number)
        asking = [w for w in self.waits.values() if w[1].handoff]
        if not asking or self.is_busy(agent, process):
            return
        line, waiting = asking[who % len(asking)]
        answerer = Asked("", agent, process, "agent", [], "exclusive", 1.0)
        in_the_way = self.model.holders_in_the_way(waiting.asked)
        theirs = [h for h in in_the_way if self.model.is_mine(h, answerer)]
        before = self.scene.everything()
        is_open = self.model.stands(waiting, self.now)
        try:
            if is_yes:
                whole = handoff.grant(process.locks, line.id, by=agent)
            else:
                handoff.decline(process.locks, line.id, by=agent, reason="no")
        except UsageError:
            assert not is_open or not (theirs if is_yes else any(h.agent == agent for h in in_the_way))
            assert self.scene.everything() == before
            return
        except Deadlock:
            assert self.scene.everything() == before
            return
        assert is_open
        if not is_yes:
            waiting.declined = True
            if not waiting.attended:
                self.forget(line.id)
            self.follow(waiting.asked.names)
            return
        event("handed over")
        assert theirs
        for held in theirs:
            self.model.holds.remove(held)
        assert whole == (len(theirs) == len(in_the_way))
        if whole:
            hold = self.hold_of(line, waiting)
            assert hold is not None, "a grant that gave nothing"
            self.forget(line.id)
            self.model.grant(waiting.asked, hold.token, self.now)
            self.model.renew(waiting.asked.lease, self.now)
            for held in list(self.model.holds):
                if held.name in waiting.asked.names and self.model.is_mine(held, waiting.asked):
                    self.model.renew(held.lease, self.now)
            if waiting.attended:
                self.handles.append(Handle(hold, waiting.asked))
        self.follow([h.name for h in theirs])

    @rule()
    def clean_up(self) -> None:
        """It takes what is over, from nobody else, and what it frees goes on to whoever is next."""
        process = self.scene.process()
        try:
            report = process.board.cleanup.run()
        finally:
            process.locks.store.close()
        assert not report.damaged
        self.follow([held["name"] for held in report.locks])
        for lease in report.leases:
            event(f"lease ended: {lease['why']}")

    # -- questions -----------------------------------------------------------------------------------------------------

    @rule(number=index, agent=agents, name=st.sampled_from(NAMES), is_shared=shared)
    def check(self, number: int, agent: str, name: str, is_shared: bool) -> None:
        process = self.process(number)
        asked = Asked("", agent, process, "agent", [name], "shared" if is_shared else "exclusive", 1.0)
        before = self.scene.everything(), self.scene.store.read("wide").revision

        found = process.locks.check([name], agent=agent, shared=is_shared)

        expected = {(h.name, h.agent, h.tokens[-1]) for h in self.model.holders_in_the_way(asked)}
        assert {(f["name"], f["agent"], f["token"]) for f in found} == expected
        assert (self.scene.everything(), self.scene.store.read("wide").revision) == before

    @rule(number=index, agent=agents)
    def list_requests(self, number: int, agent: str) -> None:
        """Exactly those that this agent is in the way of now."""
        before = self.scene.everything(), self.scene.store.read("wide").revision

        found = handoff.requests(self.process(number).locks, agent)

        assert [one["request"] for one in found] == [
            waiting.asked.request
            for waiting in self.model.line
            if waiting.handoff and self.model.stands(waiting, self.now)
            if any(held.agent == agent for held in self.model.holders_in_the_way(waiting.asked))
        ]
        assert (self.scene.everything(), self.scene.store.read("wide").revision) == before

    # -- what happens to machines --------------------------------------------------------------------------------------

    @rule()
    def start_process(self) -> None:
        if len(self.processes) < 5:
            self.processes.append(self.scene.process())

    @precondition(lambda self: len(self.processes) > 1)
    @rule(number=index, is_recycled=st.booleans())
    def crash(self, number: int, is_recycled: bool) -> None:
        process = self.process(number)
        process.recycle() if is_recycled else process.kill()
        self.model.gone.add(process)
        self.processes.remove(process)
        process.locks.store.close()
        self.ended()

    @rule(seconds=st.sampled_from([0.5, 3.0, 9.5, 10.0, 25.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.scene.clock.advance(seconds)
        self.ended()

    @rule(seconds=st.sampled_from([-86_400.0, -1.0, 86_400.0]))
    def wall_clock_jumps(self, seconds: float) -> None:
        """It changes nothing within a boot. Across boots ages are by the wall clock, and there it would: a run has
        jumps or restarts."""
        if self.boots_count == 1:
            self.scene.clock.jump_wall(seconds)
            self.has_jumped = True
            self.ended()

    @rule(off_s=st.sampled_from([1.0, 30.0]))
    def reboot(self, off_s: float) -> None:
        if self.has_jumped:
            return
        self.scene.machine.reboot()
        self.scene.clock.reboot(off_s)
        self.boots_count += 1
        for process in self.processes:
            self.model.gone.add(process)
            process.locks.store.close()
        self.processes = [self.scene.process(), self.scene.process()]
        self.ended()

    def ended(self) -> None:
        """Something may have ended by itself, which nobody was told."""
        self.is_quiet = False
        self.model.tick(self.now)

    # -- promises ------------------------------------------------------------------------------------------------------

    @invariant()
    def at_most_one_holder_where_it_must_be_one(self) -> None:
        if not hasattr(self, "model"):
            return
        self.model.tick(self.now)
        holds = self.model.holds
        for number, one in enumerate(holds):
            for other in holds[number + 1 :]:
                clash = overlap(one.name, other.name) and "exclusive" in (one.mode, other.mode)
                same = one.agent == other.agent
                assert not clash or same, f"{one} and {other}"

    @invariant()
    def nobody_waits_for_itself(self) -> None:
        if hasattr(self, "model"):
            assert not self.model.has_cycle(self.now)

    @invariant()
    def records_say_what_happened_and_nothing_else(self) -> None:
        if not hasattr(self, "model"):
            return
        records = {key[len("locks/") :]: value for key, value in self.scene.scan("locks/")}
        live = []
        for name, record in records.items():
            assert rules.check_record(record) == ""
            assert record["holders"] or record["waiters"], "an empty record was kept"
            for held in record["holders"]:
                known = self.known(name, held)
                if known is not None:
                    live.append(known)
        missing = [h for h in self.model.holds if h not in live]
        assert not missing, f"taken from a live holder: {missing}"
        self.line_is_whole(records)

    def known(self, name: str, held: Any) -> Held | None:
        """The model's hold for one in a record; without one, it must be over."""
        for known in self.model.holds:
            same = known.name == name and known.agent == held["agent"] and held["token"] == known.tokens[-1]
            if same and held["process"] == known.process.host.me():
                assert held["mode"] == known.mode
                assert (held["bound"] == "agent") == known.claim
                assert held["ttl_s"] == known.ttl_s
                inside = held.get("entries", [] if held["bound"] == "agent" else [held["request"]])
                assert known.process in self.model.gone or set(inside) == known.entries
                assert self.why_over(held) == ""
                return known
        assert self.why_over(held), f"{held['agent']} holds {name} and the model does not know it"
        return None

    def why_over(self, held: Any) -> str:
        def lease_of(lease_id: str) -> Any:
            return self.scene.store.read(f"leases/{lease_id}").get(f"leases/{lease_id}")

        return rules.why_over(held, self.now, self.scene.machine.verdict, lease_of)

    def line_is_whole(self, records: dict[str, Any]) -> None:
        """Each waiter has its places, in the order of its revision, and each place its waiter; the index is exact."""
        waiters = {key[len("waiters/") :]: value for key, value in self.scene.scan("waiters/")}
        assert set(waiters) == set(self.waits), "the line is not what happened"
        places = {(name, e["request"]) for name, record in records.items() for e in record["waiters"]}
        assert places == {
            (name, request) for request, (_, w) in self.waits.items() if not w.declined for name in w.asked.names
        }
        for record in records.values():
            order = [e["seq"] for e in record["waiters"]]
            assert order == sorted(order)
        wide = self.scene.store.read("wide").get("wide") or {"names": []}
        assert wide["names"] == sorted(n for n in records if n.startswith("glob:") or n.endswith("/"))
        for _, lease in self.scene.scan("leases/"):
            assert leases.check_lease(lease) == ""
            note(f"{lease['agent']} has {len(lease['chains'])} chains")


class FileLockMachine(LockMachine):
    is_memory = False


TestLocksInMemory = LockMachine.TestCase
TestLocksInFiles = FileLockMachine.TestCase
TestLocksInFiles.settings = examples(40)
