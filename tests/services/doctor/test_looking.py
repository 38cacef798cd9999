"""What is looked at and what is told of it: the store's folder, its disk and mount; who asks, who is registered."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest

from latchboard.clock import iso
from latchboard.doctor import identity, storage
from latchboard.doctor.check import Check, Seen
from latchboard.doctor.probed import Probed
from latchboard.errors import StoreForbidden
from latchboard.rules import singleton
from latchboard.store.files.damage import Damage, Health
from latchboard.testing import FakeHost, ManualClock
from tests.services.doctor.room import FOLDER, ME, ROOT, STORE, Room, Shelf

REGISTRY = f"{ROOT}/data/.agent_pids"
DOCTOR = f"latchboard doctor --root {ROOT}"
FIX = f"latchboard doctor --fix --root {ROOT}"


def told(check: Check) -> list[tuple[str, str]]:
    return [(one.id, one.remedy) for one in check.look(0.0).findings]


# -- identity ---------------------------------------------------------------------------------------------------------


def test_who_asks_and_what_runs_is_said_in_words() -> None:
    def text(check: Check) -> str:
        return check.look(0.0).text

    assert text(identity.project(ROOT, "planner", False)).startswith(f"{ROOT}, as planner; ")
    assert text(identity.project(ROOT, None, False)).startswith(f"{ROOT}, as nobody: AGENT_ID is not set; ")
    lock = f"{REGISTRY}/{singleton.lock_name('planner', 0)}"
    assert text(identity.registry(ROOT, ["planner"], FakeHost(), Room(locked={lock: [77]}))) == "planner running"
    assert text(identity.registry(ROOT, ["planner"], FakeHost(), Room())) == "no singleton runs"


def test_a_container_is_told_as_one() -> None:
    host, place = FakeHost(), Room()
    assert identity.machine(ROOT, host, place).look(0.0).text == "m, user 1000, in no container"

    host.surround(has_dockerenv=True)

    seen = identity.machine(ROOT, host, place).look(0.0)
    assert (seen.text, seen.facts["is_container"]) == ("m, user 1000, in a container", True)


def test_settings_that_cannot_be_read_are_told_and_others_are_not() -> None:
    assert told(identity.project(ROOT, None, False)) == []
    assert told(identity.project(ROOT, None, True)) == [("F-120", f"latchboard status --root {ROOT}")]


def test_a_clock_behind_the_last_commit_and_one_before_its_time_are_told_apart() -> None:
    clock = ManualClock()
    behind = identity.clock(ROOT, clock, Shelf(last_s=clock.now().wall_s + 90)).look(0.0)
    early = identity.clock(ROOT, ManualClock(wall_s=0.0), Shelf()).look(0.0)

    assert [(one.about["why"], one.text) for one in (*behind.findings, *early.findings)] == [
        ("back", "the wall clock is 90 s behind the last commit of this store"),
        ("early", f"the wall clock says {iso(0.0)}, before this program was made"),
    ]


def entry(process: Any, agent_type: str = "planner") -> bytes:
    known = {"started_at": None, "registered": {}, "version": "0", "broke": None}
    return json.dumps(singleton.record(agent_type, 0, process=process, **known)).encode()


def registered(files: dict[str, bytes], host: FakeHost, locked: dict[str, Any] | None = None) -> tuple[list[Any], Any]:
    """The pids that run, and the types that are stale."""
    place = Room(
        files={f"{REGISTRY}/{name}": data for name, data in files.items()},
        locked={f"{REGISTRY}/{name}": pids for name, pids in (locked or {}).items()},
    )
    seen = identity.registry(ROOT, ["planner"], host, place).look(0.0)
    return [one["pid"] for one in seen.facts["running"]], [one.about["agent_type"] for one in seen.findings]


def test_who_has_the_kernel_lock_runs_whatever_its_entry_says() -> None:
    host, lock = FakeHost(), singleton.lock_name("planner", 0)
    dead = host.spawn()
    host.kill(dead)

    assert registered({}, host, {lock: [77]}) == ([77], [])
    assert registered({"planner.json": entry(dead)}, host, {lock: [77]}) == ([77], [])


def test_of_a_lock_that_was_broken_the_newest_epoch_counts() -> None:
    old, new = singleton.lock_name("planner", 0), singleton.lock_name("planner", 1)

    assert registered({old: b"", new: b""}, FakeHost(), {old: [77], new: [78]}) == ([78], [])
    assert registered({old: b"", new: b""}, FakeHost(), {old: [77]}) == ([], [])


def test_an_entry_is_stale_only_where_nobody_can_stand_behind_it() -> None:
    host = FakeHost()
    dead, recycled, live = host.spawn(), host.spawn(), host.spawn()
    host.kill(dead)
    recycled = {**recycled, "start": recycled["start"] - 1}  # type: ignore[assignment]

    assert registered({}, host) == ([], [])
    assert registered({"planner.json": entry(dead)}, host) == ([], ["planner"])
    assert registered({"planner.json": entry(recycled)}, host) == ([], ["planner"])
    assert registered({"planner.json": entry(live)}, host) == ([live["pid"]], [])
    assert registered({"planner.json": entry(host.other_namespace())}, host) == ([], [])


@pytest.mark.parametrize("files", [{"planner.pid": b"7\n"}, {"planner.json": b"{"}, {"planner.json": b"{}"}])
def test_an_entry_that_says_nothing_is_stale_where_the_kernel_says_so_too(files: dict[str, bytes]) -> None:
    assert registered(files, FakeHost()) == ([], ["planner"])
    assert registered(files, FakeHost(), {singleton.lock_name("planner", 0): None}) == ([], [])


def test_a_stale_entry_is_released_in_this_project() -> None:
    place = Room(files={f"{REGISTRY}/planner.pid": b"7"})

    found = told(identity.registry(ROOT, [], FakeHost(), place))

    assert found == [("F-119", f"latchboard singleton release planner --root {ROOT}")]


def test_the_daemons_entry_is_told_with_the_daemon() -> None:
    host = FakeHost()
    dead = host.spawn()
    host.kill(dead)

    assert registered({"daemon.json": entry(dead, "daemon")}, host) == ([], [])


def test_hooks_in_one_state_are_told_once_with_the_files_and_the_command_for_this_project() -> None:
    wrong = [
        Probed("claude", "missing", "no hook", file=f"{name}.json", mend="latchboard init --client claude")
        for name in "dbac"
    ]
    (found,) = identity.hooks(ROOT, lambda: wrong[:2]).look(0.0).findings
    (more,) = identity.hooks(ROOT, lambda: wrong).look(0.0).findings

    assert (found.text, found.remedy) == ("no hook (and 1 more)", f"latchboard init --client claude --root {ROOT}")
    assert (more.text, more.about["files"]) == ("no hook (and 3 more)", ["a.json", "b.json", "c.json"])


def test_each_client_and_each_state_of_its_hooks_is_told_by_itself() -> None:
    mend = "latchboard init"
    some = [
        Probed("claude", "missing", "no hook", mend=mend),
        Probed("claude", "broken", "no program", mend=mend),
        Probed("cursor", "missing", "no hook", mend=mend),
        Probed("codex", "ok", ""),
    ]

    seen = identity.hooks(ROOT, lambda: some).look(0.0)

    found = [(one.about["client"], one.about["state"], one.text) for one in seen.findings]
    assert found == [
        ("claude", "missing", "no hook"),
        ("claude", "broken", "no program"),
        ("cursor", "missing", "no hook"),
    ]
    assert seen.facts["clients"] == ["codex"]


def test_what_stands_in_a_file_of_hooks_is_not_repeated() -> None:
    wrong = Probed("claude", "broken", "S3cr3t is no JSON", file="a.json", mend="look at S3cr3t")

    (found,) = identity.hooks(ROOT, lambda: [wrong]).look(0.0).findings

    assert "S3cr3t" not in repr(found)
    assert found.remedy == f"latchboard doctor --hooks --root {ROOT}"


# -- the store --------------------------------------------------------------------------------------------------------


def damaged(*damage: Damage, is_there: bool = True, is_whole: bool = True) -> Shelf:
    health = Health()
    health.is_there, health.is_whole_look, health.damage = is_there, is_whole, list(damage)
    return Shelf(health)


def test_a_store_without_its_journal_is_damaged_and_not_new() -> None:
    shelf = damaged(Damage("journal", "journal", "there is none"), is_there=False)

    assert told(storage.store(ROOT, shelf, Room())) == [("F-103", FIX)]


def test_a_store_that_was_not_seen_to_its_end_is_not_told_as_whole() -> None:
    assert told(storage.store(ROOT, damaged(is_whole=False), Room())) == [("F-100", DOCTOR)]


@pytest.mark.parametrize("why", [errno.EACCES, errno.EPERM])
def test_a_store_that_may_not_be_opened_is_refused_as_that(why: int) -> None:
    shelf = Shelf()
    shelf.refusal = OSError(why, "not yours")

    with pytest.raises(StoreForbidden, match="not yours"):
        storage.store(ROOT, shelf, Room()).look(0.0)

    shelf.refusal = OSError(errno.EIO, "broken")
    with pytest.raises(OSError, match="broken"):
        storage.store(ROOT, shelf, Room()).look(0.0)


@pytest.mark.parametrize(
    ("damage", "expect"),
    [
        (Damage("torn", "a", "", count=7), ("F-101", FIX)),
        (Damage("unapplied", "a", "", count=1), ("F-102", FIX)),
        (Damage("journal", "a", "torn"), ("F-103", FIX)),
        (Damage("copy", "a", ""), ("F-123", FIX)),
        (Damage("record", "a", "older", key="agents/a"), ("F-104", FIX)),
        (Damage("older-journal", "a", "torn"), ("F-124", f"latchboard history --root {ROOT}")),
        (Damage("line", "a", "torn"), ("F-103", FIX)),
        (Damage("format", "FORMAT", "missing"), ("F-106", FIX)),
        (Damage("format", "FORMAT", "unknown"), ("F-106", "python3 -m pip install -U latchboard")),
        (Damage("guard", "g", "held", pids=(77,)), ("F-111", "kill 77")),
        (Damage("planted", "agents", "a link"), ("F-122", f"ls -ld {STORE}/agents")),
        (Damage("unreadable", "a.lock", "torn", key="locks/"), ("F-105", f"mv {STORE}/a.lock {STORE}/a.lock.aside")),
        (Damage("unreadable", "a", "torn", key="agents/"), ("F-105", FIX)),
    ],
)
def test_each_damage_has_its_finding_and_remedy(damage: Damage, expect: tuple[str, str]) -> None:
    assert told(storage.store(ROOT, damaged(damage), Room())) == [expect]


def test_twenty_of_a_kind_are_told_one_by_one_and_no_more_is_said() -> None:
    records = [Damage("record", f"{number}", "missing", key=f"agents/{number}") for number in range(21)]

    def counts(count: int) -> list[Any]:
        findings = storage.store(ROOT, damaged(*records[:count]), Room()).look(0.0).findings
        return [one.about.get("count") for one in findings]

    assert counts(20) == [None] * 20
    assert counts(21) == [*[None] * 20, 1]


def test_of_each_kind_twenty_are_told_and_those_that_decide_who_may_write_are_left_to_no_repair() -> None:
    some = [Damage("record", f"r{number}", "missing", key="agents/a") for number in range(22)]
    for key, count in (("agents/", 1), ("locks/", 3), ("agents/", 19), ("leases/", 4), ("jobs/", 2)):
        some += [Damage("unreadable", f"u{key}{number}", "torn", key=key) for number in range(count)]

    findings = storage.store(ROOT, damaged(*some), Room()).look(0.0).findings

    assert [one.about.get("count") for one in findings[:40]] == [None] * 40
    assert [(one.id, one.about["count"], one.remedy) for one in findings[40:]] == [
        ("F-104", 2, FIX),
        ("F-105", 4, f"latchboard cleanup --dry-run --root {ROOT}"),
        ("F-105", 5, FIX),
    ]


def test_a_process_that_stands_still_with_the_guard_is_woken_and_not_ended() -> None:
    shelf = damaged(Damage("guard", "g", "held", pids=(77, 78)))

    assert told(storage.store(ROOT, shelf, Room(stopped={77}))) == [("F-111", "kill -CONT 77")]
    assert told(storage.store(ROOT, shelf, Room(stopped={78}))) == [("F-111", "kill 77")]


@pytest.mark.parametrize("kind", ["link", "file", "other"])
def test_where_something_else_stands_in_the_folders_place_nothing_in_it_is_looked_at(kind: str) -> None:
    def look(_: float) -> Seen:
        raise AssertionError("looked at")

    planted = Room(modes={ROOT: FOLDER, STORE: (0o777, ME, kind)})
    check = storage.in_a_folder(Check("storage", "mail", look), Shelf(), planted)

    assert told(check) == []
    assert told(storage.store(ROOT, Shelf(), planted)) == [("F-122", f"ls -ld {STORE}")]


def test_what_stands_around_the_folder_and_is_none_is_told_where_the_folder_cannot_be() -> None:
    data = f"{ROOT}/data"
    blocked = Room(modes={data: (0o600, ME, "file")})
    free = Room(modes={data: FOLDER, f"{data}/.": FOLDER})

    assert told(storage.store(ROOT, Shelf(), blocked)) == [("F-122", f"ls -ld {data}")]
    assert told(storage.store(ROOT, Shelf(), free)) == told(storage.store(ROOT, Shelf(), Room())) == []


@pytest.mark.parametrize(
    ("mode", "is_shared", "remedies"),
    [
        (0o700, False, []),
        (0o2770, True, []),
        (0o750, False, [f"chmod 700 {STORE}"]),
        (0o2775, True, [f"chmod 2770 {STORE}"]),
    ],
)
def test_a_folder_is_open_to_its_users_alone(mode: int, is_shared: bool, remedies: list[str]) -> None:
    place = Room(modes={STORE: (mode, ME, "folder")})

    assert told(storage.permissions(ROOT, Shelf(is_shared=is_shared), place)) == [("F-108", one) for one in remedies]


@pytest.mark.parametrize(("mode", "count"), [(0o755, 0), (0o775, 1), (0o757, 1)])
def test_a_registry_may_be_read_by_all_and_changed_by_its_user(mode: int, count: int) -> None:
    place = Room(modes={REGISTRY: (mode, ME, "folder")})

    assert told(storage.permissions(ROOT, Shelf(), place)) == [("F-108", f"chmod go-w {REGISTRY}")] * count


def test_a_folder_whose_journal_was_not_made_yet_hides_nothing() -> None:
    place = Room(modes={STORE: FOLDER}, closed={f"{STORE}/journal"})

    assert told(storage.permissions(ROOT, Shelf(), place)) == []


def test_only_whoever_opened_a_folder_for_a_groups_writing_is_told_of_shared() -> None:
    def text(mode: int) -> str:
        seen = storage.permissions(ROOT, Shelf(), Room(modes={STORE: (mode, ME, "folder")})).look(0.0)
        return seen.findings[0].text

    assert "shared = true" in text(0o770)
    assert "shared = true" not in text(0o752)


def test_the_outermost_that_may_not_be_used_is_told() -> None:
    guard, journal = f"{STORE}/journal/guard", f"{STORE}/journal"
    modes = {STORE: FOLDER, journal: FOLDER, guard: (0o600, ME, "file")}

    def path(*closed: str) -> list[str]:
        seen = storage.permissions(ROOT, Shelf(), Room(modes=modes, closed=set(closed))).look(0.0)
        assert {one.id for one in seen.findings} <= {"F-122"}
        return [one.about["path"] for one in seen.findings]

    assert path() == []
    assert path(guard) == [guard]
    assert path(guard, journal) == [journal]
    assert path(guard, journal, STORE) == [STORE]


def test_a_disk_that_is_mounted_read_only_is_told_before_all_else() -> None:
    place = Room(modes={STORE: FOLDER}, read_only=True, closed={STORE})

    assert told(storage.permissions(ROOT, Shelf(), place)) == [("F-122", f"findmnt --target {STORE}")]


def test_what_stands_for_the_folder_has_no_permissions_to_mend() -> None:
    assert told(storage.permissions(ROOT, Shelf(), Room(modes={STORE: (0o777, ME, "link")}))) == []


# -- what it lies on --------------------------------------------------------------------------------------------------


def test_a_network_file_system_is_told_with_where_it_is_mounted() -> None:
    (found,) = storage.mount(ROOT, Room(net=("/srv", "nfs4"))).look(0.0).findings

    assert found.text.startswith(f"{ROOT} lies on nfs4, mounted at /srv:")
    assert found.remedy == f"git clone {ROOT} /var/tmp/x"
    assert told(storage.mount(f"{ROOT}/", Room(net=("/srv", "nfs4")))) == [("F-107", f"git clone {ROOT}/ /var/tmp/x")]


def test_the_disk_is_that_of_the_store_and_before_there_is_one_that_of_the_project() -> None:
    before, after = Room(), Room(modes={STORE: FOLDER})

    assert told(storage.disk(ROOT, Shelf(), before)) == told(storage.disk(ROOT, Shelf(), after)) == []
    assert (before.asked, after.asked) == ([ROOT], [STORE])


def test_bytes_and_files_that_run_out_are_told_each_by_itself() -> None:
    def look(**free: int) -> list[tuple[str, str]]:
        return told(storage.disk(ROOT, Shelf(), Room(free=free)))

    many, files = ("F-110", f"df -h {ROOT}"), ("F-110", f"df -i {ROOT}")
    assert look(free_bytes=0) == [many]
    assert look(free_files=0) == [files]
    assert look(free_bytes=0, free_files=0) == [many, files]


def test_notification_is_asked_of_a_journal_that_is_there() -> None:
    journal = f"{STORE}/journal"
    silent = {"why_silent": "no inotify"}
    there = Room(modes={journal: FOLDER}, **silent)

    assert told(storage.notification(Shelf(), Room(**silent))) == []
    assert told(storage.notification(Shelf(), there)) == [("F-113", "sysctl fs.inotify")]
    there.why_silent = "fs.inotify.max_user_watches"
    assert told(storage.notification(Shelf(), there)) == [("F-113", "sysctl -w fs.inotify.max_user_watches=65536")]
    there.limits = {there.why_silent: 50_000}
    assert told(storage.notification(Shelf(), there)) == [("F-113", "sysctl -w fs.inotify.max_user_watches=100000")]


def test_of_many_leftovers_the_number_is_told_and_the_first_are_named() -> None:
    shelf = Shelf()
    shelf.left = [f"{number}.tmp" for number in range(25)]

    seen = storage.leftovers(ROOT, shelf).look(0.0)

    assert (seen.facts["count"], seen.findings[0].about["files"]) == (25, shelf.left[:20])
