"""Every finding, brought about by real damage, with the remedy that it names run as it stands there (K25)."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latchboard import assemble_report
from latchboard.clock import iso
from latchboard.compose import Latchboard
from latchboard.machine_lock import MachineFileLock
from latchboard.rules.finding import CATALOGUE
from latchboard.testing import ManualClock
from tests.process import space
from tests.process.nursery import Channel, Nursery
from tests.process.queue_scenes import (
    claims_that_are_gone,
    job_of_a_lost_commit,
    line_of_a_lost_commit,
    line_without_a_job,
)
from tests.process.ward import PATIENT, UNHURRIED_S, Ward

pytestmark = pytest.mark.process

GRANT = {
    "schema_version": 1,
    "generation": 1,
    "token_endpoint": "https://issuer.example/token",
    "access_token": "an-access-token",
    "refresh_token": "a-refresh-token",
}
PROFILE = """[credential.github]
token_endpoint = "https://issuer.example/token"
client_id = "client"
login_command = "sh ../login"
"""


def configured(ward: Ward, **grant: Any) -> Path:
    """A credential that is configured, with a good grant."""
    (ward.root / "latchboard.toml").write_text(PROFILE)
    ward.state.mkdir(parents=True, mode=0o700)
    path = ward.state / "github.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({**GRANT, **grant}))
    good = json.dumps(GRANT)
    (ward.folder / "login").write_text(f"umask 077; cat > '{path}' <<'END'\n{good}\nEND\n")
    return path


def machine_lock(ward: Ward, *, age_s: float = 0.0, host: str = "") -> Path:
    """The record of a machine lock, left by a holder that is gone."""
    path = configured(ward).with_suffix(".json.lock")
    record = {
        "schema_version": 1,
        "pid": 4242,
        "started_at": iso(time.time() - age_s),
        "host": host or os.uname().nodename,
        "version": "0.1.0",
    }
    path.write_text(json.dumps(record))
    return path


def holding(channel: Channel, path: str) -> None:
    """Holds a machine lock, and its record says that it has for an hour."""
    with MachineFileLock(path, max_hold_s=600.0):
        record = json.loads(Path(path).read_text())
        record = {name: value for name, value in record.items() if name not in ("mono_s", "boot")}
        Path(path).write_text(json.dumps({**record, "started_at": iso(time.time() - 3600)}))
        channel.send(holds=True)
        channel.receive(3600)


def guarding(channel: Channel, path: str) -> None:
    """Has the guard of a store."""
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    channel.send(holds=True)
    channel.receive(3600)


def registering(channel: Channel, root: str) -> None:
    """Runs as a singleton."""
    with Latchboard(root, publishes=False).singletons.enforce("planner_x" if root == "" else "architect"):
        channel.send(runs=True)
        channel.receive(3600)


# -- real damage: each makes one finding ------------------------------------------------------------------------------


def no_grant(ward: Ward) -> None:
    configured(ward).unlink()


def ended_grant(ward: Ward) -> None:
    configured(ward, access_token=None, refresh_token=None, cleared={"at": "", "cause": "invalid_grant"})


def expired_grant(ward: Ward) -> None:
    configured(ward, refresh_token=None, expires_at="2026-01-01T00:00:00Z")


def open_grant(ward: Ward) -> None:
    configured(ward).chmod(0o644)


def open_token(ward: Ward) -> None:
    ward.registry.mkdir(parents=True)
    (ward.registry / "serve.token").write_text("0" * 64)
    (ward.registry / "serve.token").chmod(0o644)


def left_record(ward: Ward) -> None:
    machine_lock(ward, age_s=120)


def record_of_tomorrow(ward: Ward) -> None:
    machine_lock(ward, age_s=-86400)


def torn_tail(ward: Ward) -> None:
    ward.fill().close()
    with ward.journal().open("ab") as file:
        file.write(b'{"revision":17,"at":"20')


def unapplied_commit(ward: Ward) -> None:
    """As a writer leaves it that dies between its line and the header."""
    board = ward.fill()
    guard = ward.store / "journal" / "guard"
    before = guard.read_bytes()
    board.agent("planner").lock("src/late.py", bound="agent")
    board.close()
    (late,) = ward.store.glob("src__late.py-*.lock")
    late.unlink()
    guard.write_bytes(before)


def commit_without_its_header(ward: Ward) -> None:
    """As a writer leaves it that dies just before the header: the records say it already."""
    board = ward.fill()
    guard = ward.store / "journal" / "guard"
    before = guard.read_bytes()
    board.locks.release_names("planner", ["src/1.py"])
    board.close()
    guard.write_bytes(before)


def damaged_line(ward: Ward) -> None:
    ward.fill().close()
    data = bytearray(ward.journal().read_bytes())
    data[data.index(b"src/1.py")] ^= 1
    ward.journal().write_bytes(data)


def short_journal(ward: Ward) -> None:
    ward.fill().close()
    os.truncate(ward.journal(), ward.journal().stat().st_size - 10)


def no_journal(ward: Ward) -> None:
    ward.fill().close()
    ward.journal().unlink()


def garbage_header(ward: Ward) -> None:
    ward.fill().close()
    (ward.store / "journal" / "guard").write_bytes(b"\xff" * 100)


def no_header(ward: Ward) -> None:
    ward.fill().close()
    (ward.store / "journal" / "guard").write_bytes(b"")


def no_guard(ward: Ward) -> None:
    ward.fill().close()
    (ward.store / "journal" / "guard").unlink()


def header_in_the_middle(ward: Ward) -> None:
    ward.fill().close()
    guard = ward.store / "journal" / "guard"
    base, applied, last, boot = guard.read_bytes().split()
    guard.write_bytes(b"%20s %20d %20s %-36s\n" % (base, int(applied) - 7, last, boot))


def lock_file(ward: Ward, name: str = "src__1.py") -> Path:
    (found,) = ward.store.glob(f"{name}-*.lock")
    return found


def lost_lock(ward: Ward) -> None:
    ward.fill().close()
    lock_file(ward).unlink()


def changed_lock(ward: Ward) -> None:
    ward.fill().close()
    path = lock_file(ward)
    path.write_text(path.read_text().replace('"planner"', '"nobody"'))


def older_lock(ward: Ward) -> None:
    board = ward.fill()
    before = lock_file(ward).read_bytes()
    board.locks.renew_agent("planner", ttl_s=7200.0)
    board.agent("other").board.locks  # noqa: B018 - nothing but the renewal
    board.locks.release_names("planner", ["src/1.py"])
    board.agent("builder").lock("src/1.py", bound="agent")
    board.close()
    lock_file(ward).write_bytes(before)


def lock_from_the_grave(ward: Ward) -> None:
    board = ward.fill()
    path = lock_file(ward)
    before = path.read_bytes()
    board.locks.release_names("planner", ["src/1.py"])
    board.close()
    path.write_bytes(before)


def garbage_lock(ward: Ward) -> None:
    ward.fill().close()
    lock_file(ward).write_bytes(b"\0garbage")


def link_for_a_lock(ward: Ward) -> None:
    ward.fill().close()
    path = lock_file(ward)
    path.rename(ward.folder / "elsewhere")
    path.symlink_to(ward.folder / "elsewhere")


def unknown_garbage(ward: Ward) -> None:
    ward.fill().close()
    (ward.store / "agents" / "stranger.json").write_bytes(b"{")


def unknown_garbage_lock(ward: Ward) -> None:
    ward.fill().close()
    (ward.store / "x.py-0123456789abcdef.lock").write_bytes(b"{")


def lock_of_no_kind(ward: Ward) -> None:
    board = ward.fill()
    board.store.transact(lambda view: view.put("locks/src/odd.py", {"name": "src/odd.py"}), who="planner")
    board.close()


def garbage_format(ward: Ward) -> None:
    ward.fill().close()
    (ward.store / "FORMAT").write_text("{")


def no_format(ward: Ward) -> None:
    ward.fill().close()
    (ward.store / "FORMAT").unlink()


def other_format(ward: Ward) -> None:
    ward.fill().close()
    (ward.store / "FORMAT").write_text('{"format":2,"store_id":"0123456789abcdef"}\n')


def open_folder(ward: Ward) -> None:
    ward.fill().close()
    ward.store.chmod(0o755)


def open_registry(ward: Ward) -> None:
    ward.registry.mkdir(parents=True)
    ward.registry.chmod(0o777)


def link_for_the_folder(ward: Ward) -> None:
    ward.fill().close()
    ward.store.rename(ward.folder / "elsewhere")
    ward.store.symlink_to(ward.folder / "elsewhere")


def leftover(ward: Ward) -> None:
    ward.fill().close()
    path = ward.store / "agents" / "planner.json.tmp"
    path.write_text("half")
    os.utime(path, (time.time() - 3600, time.time() - 3600))


def clock_went_back(ward: Ward) -> None:
    clock = ManualClock(wall_s=time.time() + 3600)
    board = Latchboard(ward.root, clock=clock, publishes=False)
    board.mailbox.send("planner", "builder", "from the future")
    board.close()


def hooks_missing(ward: Ward) -> None:
    (ward.root / ".claude").mkdir()


def hooks_of_a_program_that_went(ward: Ward) -> None:
    (ward.root / ".claude").mkdir()
    done = ward.run("latchboard init --client claude --no-git --no-mcp")
    assert done.returncode == 0, done.stderr
    for path in (ward.root / ".claude").glob("settings*.json"):
        said = json.loads(path.read_text())
        for groups in said.get("hooks", {}).values():
            for group in groups:
                for hook in group["hooks"]:
                    hook["command"] = str(ward.folder / "gone" / "latchboard-hook") + " claude"
        path.write_text(json.dumps(said))


def foreign_change(ward: Ward) -> None:
    board, path = ward.board(), ward.root / "a.py"
    path.write_text("the holder's\n")
    assert board.editing.begin("A", ["a.py"]).refusal is None
    board.editing.done("A", ["a.py"])
    board.foreign.before_call("B")
    path.write_text("the other's\n")
    assert len(board.foreign.after_call("B")) == 1
    board.close()


def expired_lock(ward: Ward) -> None:
    board = ward.board()
    board.agent("planner").lock("src/a.py", bound="agent", ttl_s=0.001)
    board.close()


def overdue_mail(ward: Ward) -> None:
    board = ward.board()
    board.mailbox.send("planner", "it's builder", "answer", ack="required", ack_by_s=0.001)
    board.close()


def stale_entry(ward: Ward, nursery: Nursery) -> None:
    child = nursery.start(registering, root=str(ward.root))
    child.receive()
    child.kill()
    child.wait()


def wrong_settings(ward: Ward) -> None:
    ward.fill().close()
    (ward.root / "latchboard.toml").write_text("lease_ttl = 5\n")


def copied(ward: Ward) -> None:
    ward.fill().close()
    aside = ward.folder / "aside"
    ward.store.rename(aside)
    shutil.copytree(aside, ward.store)


def old_damage(ward: Ward) -> None:
    board = ward.board(journal_bytes_max=600)
    for number in range(6):
        board.mailbox.send("planner", "builder", f"letter {number}")
    board.close()
    oldest = min((ward.store / "journal").glob("*.jsonl"))
    data = bytearray(oldest.read_bytes())
    data[data.index(b"letter")] ^= 1
    oldest.write_bytes(data)


def damaged_beginning(ward: Ward) -> None:
    board = ward.board(journal_bytes_max=600)
    for number in range(6):
        board.mailbox.send("planner", "builder", f"letter {number}")
    board.close()
    newest = max((ward.store / "journal").glob("*.records"))
    newest.write_bytes(newest.read_bytes()[:-20])


SCENES: list[tuple[str, Callable[..., None], bool]] = [
    ("F-001", no_grant, True),
    ("F-001", ended_grant, True),
    ("F-001", expired_grant, True),
    ("F-003", left_record, True),
    ("F-003", record_of_tomorrow, True),
    ("F-101", torn_tail, True),
    ("F-102", unapplied_commit, True),
    ("F-102", commit_without_its_header, True),
    ("F-103", damaged_line, True),
    ("F-103", short_journal, True),
    ("F-103", no_journal, True),
    ("F-103", garbage_header, True),
    ("F-103", no_header, True),
    ("F-103", no_guard, True),
    ("F-103", header_in_the_middle, True),
    ("F-104", lost_lock, True),
    ("F-104", changed_lock, True),
    ("F-104", older_lock, True),
    ("F-104", lock_from_the_grave, True),
    ("F-104", garbage_lock, True),
    ("F-104", link_for_a_lock, True),
    ("F-105", unknown_garbage, True),
    ("F-105", unknown_garbage_lock, True),
    ("F-105", lock_of_no_kind, True),
    ("F-105", job_of_a_lost_commit, True),
    ("F-106", garbage_format, True),
    ("F-106", no_format, True),
    ("F-106", other_format, False),
    ("F-108", open_folder, True),
    ("F-108", open_registry, True),
    ("F-112", leftover, True),
    ("F-114", clock_went_back, False),
    ("F-115", hooks_missing, True),
    ("F-115", hooks_of_a_program_that_went, True),
    ("F-116", foreign_change, False),
    ("F-117", expired_lock, True),
    ("F-118", overdue_mail, False),
    ("F-119", stale_entry, True),
    ("F-121", open_grant, True),
    ("F-121", open_token, True),
    ("F-122", link_for_the_folder, False),
    ("F-123", copied, True),
    ("F-124", old_damage, False),
    ("F-124", damaged_beginning, False),
    ("F-125", line_without_a_job, True),
    ("F-125", claims_that_are_gone, True),
    ("F-125", line_of_a_lost_commit, True),
]
"""What is found, how it comes about, and whether its remedy mends it or shows what does."""

ELSEWHERE = {"F-002", "F-004", "F-005", "F-006", "F-007", "F-100", "F-107", "F-109", "F-110", "F-111", "F-113", "F-120"}
"""Those that need other processes, another disk or another user: below, and in test_doctor_daemons.py."""
IN_ETCD = {"F-126", "F-127", "F-128", "F-129"}
"""In tests/store/etcd/test_doctor.py."""


def test_every_finding_has_a_scene() -> None:
    assert {one for one, _, _ in SCENES} | ELSEWHERE | IN_ETCD == set(CATALOGUE)


@pytest.mark.parametrize(("finding_id", "damage", "mends"), SCENES, ids=lambda one: getattr(one, "__name__", one))
def test_damage_is_found_and_its_remedy_is_a_command(
    ward: Ward, nursery: Nursery, finding_id: str, damage: Callable[..., None], mends: bool
) -> None:
    damage(*([ward, nursery] if damage is stale_entry else [ward]))
    report = ward.look()
    found = [one for one in report.findings if one.id == finding_id]
    assert found, report.findings
    assert report.exit_status == (1 if any(one.severity == "critical" for one in report.findings) else 0)
    assert {one.id for one in report.findings} <= {finding_id, "F-100"}, report.findings

    if mends:
        for one in found:
            done = ward.mend(one.remedy)
            assert done.returncode in (0, 1), (one.remedy, done)
        again = ward.look()
        assert [one for one in again.findings if one.id == finding_id] == []
        assert [one for one in again.findings if one.id != "F-124"] == [], "of the damaged journal the history is lost"
    elif finding_id not in ("F-106", "F-114"):
        for one in found:
            done = ward.run(one.remedy)
            assert done.returncode == 0, (one.remedy, done)


def test_of_many_the_first_are_told_and_the_number_of_the_others(ward: Ward) -> None:
    board = ward.fill(30)
    for number in range(14):
        board.mailbox.send("planner", f"agent{number}", "answer", ack="required", ack_by_s=0.001)
    board.close()
    for path in ward.store.glob("src__*.lock"):
        path.unlink()

    findings = ward.look().findings

    counts = {name: [one.about.get("count") for one in findings if one.id == name] for name in ("F-104", "F-118")}
    assert (len(counts["F-104"]), counts["F-104"][-1]) == (21, 10)
    assert (len(counts["F-118"]), counts["F-118"][-1]) == (11, 4)
    assert all(ward.run(one.remedy).returncode in (0, 1) for one in findings if one.about.get("count") in (10, 4))


def test_a_healthy_project_has_no_finding(ward: Ward) -> None:
    configured(ward)
    ward.fill().close()
    (ward.root / ".claude").mkdir()
    assert ward.run("latchboard init --client claude").returncode == 0

    report = ward.look()

    assert report.findings == []
    assert report.exit_status == 0
    assert [one.name for one in report.standings if one.state != "done"] == []


def test_a_folder_without_a_project_has_no_finding(ward: Ward) -> None:
    assert ward.look().findings == []
    assert not ward.store.exists()


def test_a_damaged_credential_keeps_a_log_in_out_until_it_is_reset(ward: Ward) -> None:
    path = configured(ward)
    path.write_text('{"access_token": "half')
    (found,) = ward.found("F-001")
    assert found.about["state"] == "damaged"

    assert ward.mend(found.remedy).returncode == 1, "it is missing now"

    (found,) = ward.found("F-001")
    assert found.about["state"] == "missing"
    (kept,) = path.parent.glob("github.json.damaged-*")
    assert kept.read_text() == '{"access_token": "half'
    assert kept.stat().st_mode & 0o777 == 0o600
    assert ward.run(found.remedy).returncode == 0
    assert ward.look().findings == []


def test_a_held_machine_lock_that_stands_still_is_woken_and_never_taken(ward: Ward, nursery: Nursery) -> None:
    path = configured(ward).with_suffix(".json.lock")
    child = nursery.start(holding, path=str(path))
    child.receive()
    child.stop()

    (found,) = ward.found("F-003")
    done = ward.doctor("--unstick-lock", "--json")

    assert found.about["holders"] == [child.pid]
    assert found.remedy == f"kill -CONT {child.pid}"
    (deed,) = json.loads(done.stdout)["deeds"]
    assert (deed["is_done"], f"process {child.pid} holds it" in deed["why_not"]) == (False, True)
    assert json.loads(path.read_text())["pid"] == child.pid
    assert ward.run(found.remedy).returncode == 0
    (found,) = ward.found("F-003")
    assert found.remedy == f"kill {child.pid}"


def test_a_record_of_another_host_is_told(ward: Ward) -> None:
    machine_lock(ward, host="elsewhere")

    (found,) = ward.look().findings

    assert (found.id, found.about["host"]) == ("F-007", "elsewhere")
    assert '"elsewhere"' in ward.run(found.remedy).stdout


def test_a_process_that_keeps_the_guard_is_named(ward: Ward, nursery: Nursery) -> None:
    ward.fill().close()
    child = nursery.start(guarding, path=str(ward.store / "journal" / "guard"))
    child.receive()
    child.stop()

    report = ward.look()

    (found,) = [one for one in report.findings if one.id == "F-111"]
    assert found.about["pids"] == [child.pid]
    assert found.remedy == f"kill -CONT {child.pid}"
    assert report.took_s < UNHURRIED_S / 2, "half a second, and what a busy machine adds"
    child.close()
    assert ward.look().findings == []


def test_settings_that_cannot_be_read_are_told_and_the_rest_is_looked_at(ward: Ward) -> None:
    wrong_settings(ward)

    done = ward.doctor("--json")

    report = json.loads(done.stdout)
    assert done.returncode == 1, done
    assert [one["id"] for one in report["findings"]] == ["F-120"]
    store = next(one for one in report["storage"]["checks"] if one["name"] == "store")
    assert store["facts"]["record_count"] > 3
    assert "lease_ttl" in ward.run(report["findings"][0]["remedy"]).stderr


def without_notification(ward: Ward) -> subprocess.CompletedProcess[str]:
    """The doctor where nobody may have a watch."""
    limit = "echo 0 > /proc/sys/user/max_inotify_instances"
    return ward.run(f"unshare --user --map-root-user sh -c '{limit} && exec latchboard doctor --json'")


def test_a_system_without_a_watch_left_is_told(ward: Ward, require: Any) -> None:
    ward.fill().close()
    done = without_notification(ward)
    require("unshare" not in done.stderr and "sysctl" not in done.stderr, f"a user namespace of its own: {done.stderr}")

    report = json.loads(done.stdout)

    (found,) = [one for one in report["findings"] if one["id"] == "F-113"]
    assert found["remedy"] == "sysctl -w fs.inotify.max_user_instances=65536"
    assert "F-113" not in [one.id for one in ward.look().findings]


def doctor_of(root: str) -> dict[str, Any]:
    """What the command says, wherever this process is."""
    command = [*PATIENT, "doctor", "--json", "--root", root]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return {"out": done.stdout, "err": done.stderr, "status": done.returncode}


def on_a_small_disk(channel: Channel, root: str, size: str, filler: int, files: int) -> None:
    """The doctor of a project on a disk of its own."""
    try:
        space.own_mounts()
        space.mount_tmpfs(root, size)
    except space.Refused as exc:
        channel.send(refused=str(exc))
        return
    board = Latchboard(root, publishes=False)
    board.agent("planner").lock("a.py", bound="agent")
    board.close()
    Path(root, "filler").write_bytes(b"x" * filler)
    for number in range(files):
        Path(root, f"file{number}").touch()
    channel.send(**doctor_of(root))


@pytest.mark.parametrize(
    ("size", "filler", "files", "expect"),
    [
        ("8m", 7_900_000, 0, "F-110"),
        ("64m,nr_inodes=2600", 0, 2360, "F-109"),
        ("64m,nr_inodes=300", 0, 285, "F-110"),
    ],
)
def test_a_disk_that_is_full_is_told(
    ward: Ward, nursery: Nursery, require: Any, size: str, filler: int, files: int, expect: str
) -> None:
    nursery_root = ward.folder / "disk"
    nursery_root.mkdir()
    child = nursery.start(on_a_small_disk, root=str(nursery_root), size=size, filler=filler, files=files)

    answer = child.receive()
    require("refused" not in answer, f"a mount of its own: {answer.get('refused')}")

    found = json.loads(answer["out"])["findings"]
    assert expect in [one["id"] for one in found], answer
    assert {one["id"] for one in found} <= {"F-109", "F-110"}


def as_somebody_else(channel: Channel, root: str) -> None:
    """The doctor of a user who may not look into the folder."""
    assemble_report(root)  # loads what it needs, while that can be read
    space.become(41003, 41003)
    report = assemble_report(root)
    channel.send(ids=[one.id for one in report.findings], broken=report.is_broken, texts=repr(report.findings))


def test_a_folder_of_somebody_else_is_told(ward: Ward, nursery: Nursery, require: Any) -> None:
    require(os.geteuid() == 0, "root, to become another user")
    with tempfile.TemporaryDirectory(prefix="latchboard-users-") as folder:
        os.chmod(folder, 0o755)
        board = Latchboard(folder, publishes=False)
        board.agent("planner").lock("a.py", bound="agent")
        board.close()

        answer = nursery.start(as_somebody_else, root=folder).receive()

    assert not answer["broken"]
    assert "F-122" in answer["ids"]
    assert set(answer["ids"]) <= {"F-100", "F-122"}, answer["texts"]


def on_a_read_only_disk(channel: Channel, root: str) -> None:
    """The doctor where nothing can be written."""
    try:
        space.own_mounts()
        space.mount_read_only(root)
    except space.Refused as exc:
        channel.send(refused=str(exc))
        return
    channel.send(**doctor_of(root))


def test_a_disk_that_is_read_only_is_told(ward: Ward, nursery: Nursery, require: Any) -> None:
    ward.fill().close()
    answer = nursery.start(on_a_read_only_disk, root=str(ward.root)).receive()
    require("refused" not in answer, f"a mount of its own: {answer.get('refused')}")

    (found,) = json.loads(answer["out"])["findings"]

    assert found["id"] == "F-122"
    assert "read-only" in found["text"]
