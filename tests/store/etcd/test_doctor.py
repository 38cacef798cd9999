"""The doctor of a project whose store is in etcd: it looks there, says when it cannot, and repairs the queue."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latchboard import Latchboard
from latchboard.compose import doctoring, doctoring_engine
from latchboard.settings import Settings
from tests.awake import Awake
from tests.process.nursery import until
from tests.store.etcd.server import Place
from tests.store.etcd.test_command_line import address_of
from tests.store.etcd.test_faults import LATE_S, Cluster
from tests.store.etcd.test_limits import QUOTA_BYTES, REQUEST_BYTES, fill, make_room

pytestmark = [pytest.mark.process, pytest.mark.slow]

REPORT_S_MAX = 3.0
UNHURRIED_S = 60.0
"""How long a look may take that is about what is seen: what a busy machine keeps from 2.5 s is a finding as well."""


opened: list[Latchboard] = []


@pytest.fixture(autouse=True)
def _any_version(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LATCHBOARD_ETCD_ANY_VERSION", "1")
    yield
    while opened:  # else each would say for ever that it is there
        board = opened.pop()
        board.close()
        board.store.close()


def project(folder: Path, address: str) -> Latchboard:
    opened.append(Latchboard(folder, settings=Settings(store=address), publishes=False))
    return opened[-1]


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that is there is waited for until it answers."""
    monkeypatch.setattr(doctoring_engine, "_CALL_S_MAX", 4 * UNHURRIED_S)


def look(board: Latchboard) -> tuple[dict[str, str], list[str]]:
    """Each check's line, and the ids of what was found."""
    report = doctoring.report(board, deadline_s=UNHURRIED_S)
    assert not report.is_broken
    return {one.name: one.text for one in report.standings}, [one.id for one in report.findings]


def break_queue(board: Latchboard) -> None:
    """A place in line for a job that there is not."""
    board.store.transact(lambda view: view.put("queue/ready.builder.0", {"places": [[50, 3, "job-3"]]}), who="somebody")


@pytest.mark.usefixtures("unhurried")
def test_what_is_there_is_told(etcd: Place, tmp_path: Path) -> None:
    board = project(tmp_path, address_of(etcd))
    board.agent("a").lock("x", ttl_s=600.0)
    lines, found = look(board)

    assert found == []
    assert lines["store"] == f"{board.settings.store}: 1 member, revision {board.store.read('wide').revision}"
    assert lines["what is over"] == "every hold, waiter and lease is in force"
    assert (lines["mail"], lines["conflicts"], lines["queue"]) == (
        "no acknowledgement is overdue",
        "no conflict",
        "the queue agrees",
    )


@pytest.mark.usefixtures("unhurried")
def test_a_record_that_is_none_of_its_kind_is_told(etcd: Place, tmp_path: Path) -> None:
    board = project(tmp_path, address_of(etcd))
    board.store.transact(lambda view: view.put("leases/x", {"n": 1}), who="somebody")

    report = doctoring.report(board, deadline_s=UNHURRIED_S)

    (found,) = report.findings
    assert (found.id, found.remedy) == ("F-105", f"latchboard store check --root {tmp_path}")


@pytest.mark.usefixtures("unhurried")
def test_the_queue_is_repaired_and_what_it_was_is_kept(etcd: Place, tmp_path: Path) -> None:
    board = project(tmp_path, address_of(etcd))
    break_queue(board)
    assert set(look(board)[1]) == {"F-125"}
    before = board.store.read("queue/")

    assert [deed.is_done for deed in doctoring.mend(board, "fix", dry_run=True)] == [False]
    assert set(look(board)[1]) == {"F-125"}
    (deed,) = doctoring.mend(board, "fix", dry_run=False)

    assert deed.is_done
    assert look(board)[1] == []
    (copy,) = Path(deed.kept).iterdir()
    kept: dict[str, Any] = json.loads(copy.read_text())
    assert kept["value"] == before.get(kept["key"])
    assert kept["key"] in deed.what


@pytest.mark.usefixtures("unhurried")
def test_without_room_for_the_copy_nothing_is_repaired(etcd: Place, tmp_path: Path) -> None:
    board = project(tmp_path, address_of(etcd))
    break_queue(board)
    (tmp_path / "data").write_text("no folder")

    (deed,) = doctoring.mend(board, "fix", dry_run=False)

    assert not deed.is_done
    assert "backups" in deed.why_not
    assert set(look(board)[1]) == {"F-125"}


def test_a_store_that_does_not_answer_is_told_in_time_and_the_rest_is_looked_at(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = cluster()
    board = project(tmp_path, address_of(place))
    board.agent("a").lock("x")
    place.members[0].signal(signal.SIGSTOP)
    with Awake() as took:
        lines, found = look(board)
        assert took.s < REPORT_S_MAX + LATE_S
    place.members[0].signal(signal.SIGCONT)

    assert found == ["F-126", "F-127"]
    assert lines["store"].endswith("none of its members can serve")
    assert lines["mail"] == "not looked at: the store cannot be used"
    assert lines["scan"] == "none"
    monkeypatch.setattr(doctoring_engine, "_CALL_S_MAX", 4 * UNHURRIED_S)
    assert look(board)[1] == []


@pytest.mark.usefixtures("unhurried")
def test_a_member_that_is_away_is_told_and_the_others_serve(etcd: Place, tmp_path: Path) -> None:
    address = address_of(etcd).replace("etcd://", "etcd://127.0.0.1:1,")
    board = project(tmp_path, address)

    lines, found = look(board)

    assert found == ["F-127"]
    assert lines["store"] == f"{address}: 2 members, 1 in trouble, revision 0"


@pytest.mark.usefixtures("unhurried")
def test_a_cluster_that_has_used_up_its_quota_is_told_once_until_it_has_room(cluster: Cluster, tmp_path: Path) -> None:
    """It takes no commit: that is graver than a member that is away, which may be one of its other members."""
    place = cluster(3, "--quota-backend-bytes", str(QUOTA_BYTES), "--max-request-bytes", str(REQUEST_BYTES))
    board = project(tmp_path, address_of(place).replace("etcd://", "etcd://127.0.0.1:1,"))
    board.agent("a").lock("x", bound="agent")
    fill(board)

    report = doctoring.report(board, deadline_s=UNHURRIED_S)

    full, away = report.findings
    assert (full.id, full.severity, away.id) == ("F-129", "critical", "F-127")
    assert report.exit_status == 1
    assert all(member.client in full.text for member in place.members)
    assert all(word in full.text for word in ("compact", "defrag", "--quota-backend-bytes", "alarm disarm"))
    make_room(board, *(member.client for member in place.members))
    until(lambda: look(board)[1] == ["F-127"], "nobody has an alarm any more")


@pytest.mark.usefixtures("unhurried")
def test_a_folder_from_before_the_move_is_told_until_it_is_put_by(etcd: Place, tmp_path: Path) -> None:
    """Whoever has not the setting would go on in it, and what it shows people is of then."""
    root = tmp_path / "it's here"
    root.mkdir()
    Latchboard(root, settings=Settings(), publishes=False).agent("a").lock("x")
    board = project(root, address_of(etcd))

    (finding,) = doctoring.report(board, deadline_s=UNHURRIED_S).findings

    assert (finding.id, finding.severity) == ("F-128", "warn")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(tmp_path), "LATCHBOARD_STORE": board.settings.store}
    subprocess.run(["sh", "-c", finding.remedy], check=True, capture_output=True, env=environment)
    lines, found = look(board)
    assert lines["folder"] == "it is no store" and "F-128" not in found
    assert (tmp_path / "it's here.agent_locks.old" / "journal").is_dir()


@pytest.mark.usefixtures("unhurried")
def test_a_store_that_is_somebody_elses_cannot_be_used(etcd: Place, tmp_path: Path) -> None:
    board = project(tmp_path, address_of(etcd))
    board.agent("a").lock("x")
    inside = project(tmp_path, f"{board.settings.store}/records")

    lines, found = look(inside)

    assert found == ["F-126"]
    assert "names the right prefix" in lines["store"]
