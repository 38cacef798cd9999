"""What stands in the store's way is told once and by its own name; what the doctor names can be typed (K25)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latchboard.doctor.check import Check, Seen
from latchboard.doctor.report import assemble, begin
from tests.process import space
from tests.process.nursery import Channel, Nursery
from tests.process.ward import PATIENT, Ward

pytestmark = pytest.mark.process


def _data_is_a_file(ward: Ward) -> Path:
    (ward.root / "data").touch()
    return ward.root / "data"


def _data_leads_nowhere(ward: Ward) -> Path:
    (ward.root / "data").symlink_to(ward.folder / "nowhere")
    return ward.root / "data"


def _locks_are_a_file(ward: Ward) -> Path:
    (ward.root / "data").mkdir()
    ward.store.touch()
    return ward.store


def _locks_are_a_link(ward: Ward) -> Path:
    ward.fill().close()
    ward.store.rename(ward.folder / "elsewhere")
    ward.store.symlink_to(ward.folder / "elsewhere")
    return ward.store


@pytest.mark.parametrize(
    "damage", [_data_is_a_file, _data_leads_nowhere, _locks_are_a_file, _locks_are_a_link], ids=lambda one: one.__name__
)
def test_what_stands_in_the_place_of_the_folder_is_told_once(ward: Ward, damage: Callable[[Ward], Path]) -> None:
    path = damage(ward)

    report = ward.look()

    assert [(one.id, one.about["path"]) for one in report.findings] == [("F-122", str(path))]
    assert ward.run(report.findings[0].remedy).returncode == 0
    assert {one.state for one in report.standings} == {"done"}


def test_a_folder_of_data_that_lies_elsewhere_is_in_nobodys_way(ward: Ward) -> None:
    ward.fill().close()
    shutil.move(ward.root / "data", ward.folder / "elsewhere")
    (ward.root / "data").symlink_to(ward.folder / "elsewhere")

    assert [one for one in ward.look().findings if one.id != "F-123"] == []


def test_of_many_that_no_repair_moves_the_others_are_listed_and_not_left_to_a_repair(ward: Ward) -> None:
    ward.fill().close()
    for number in range(25):
        (ward.store / f"x{number}.py-0123456789abcd{number:02}.lock").write_bytes(b"{")

    *first, last = ward.found("F-105")

    assert (len(first), last.about["count"]) == (20, 5)
    assert "--fix" not in last.remedy
    done = ward.run(last.remedy)
    assert done.returncode == 3, "there is something to look at"
    assert all(f"x{number}.py" in done.stdout for number in range(25)), done.stdout


def test_of_many_that_a_repair_moves_the_others_are_left_to_it(ward: Ward) -> None:
    ward.fill().close()
    for number in range(25):
        (ward.store / "agents" / f"x{number}.json").write_bytes(b"{")

    *_, last = ward.found("F-105")
    ward.mend(last.remedy + " --force")

    assert (last.about["count"], ward.found("F-105")) == (5, [])


@pytest.mark.parametrize("agent", ["-x", "--root", "--", "-"])
def test_what_is_told_of_an_agent_whose_name_looks_like_an_option_can_be_typed(ward: Ward, agent: str) -> None:
    board = ward.fill()
    board.mailbox.send("planner", agent, "answer", ack="required", ack_by_s=0.001)
    board.store.transact(lambda view: view.put(f"agents/{agent}", {"agent": 1}), who="planner")
    board.close()
    found = {one.id: one for one in ward.look().findings}

    assert set(found) == {"F-105", "F-118"}
    for one in found.values():
        done = ward.run(one.remedy)
        assert done.returncode == 0, (one.remedy, done)
    assert ward.found("F-105") == []
    assert "planner" in ward.run(found["F-118"].remedy).stdout


# -- where there is room for no more threads ---------------------------------------------------------------------------


def crowded(channel: Channel) -> None:
    """As a user who may have no more processes and threads than this one."""
    import resource

    if os.geteuid() == 0:
        space.become(65534, 65534)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    look = Check("storage", "mount", lambda _: Seen("seen"))
    report = assemble("/srv/x", "now", [look], deadline_s=5.0)
    hung, _, _ = begin("/srv/x", "now", lambda: [look], deadline_s=5.0)
    assert hung is not None
    channel.send(told=[[(one.state, one.text) for one in each.standings] for each in (report, hung)])


def test_where_no_thread_is_left_the_report_says_so(nursery: Nursery) -> None:
    told: Any = nursery.start(crowded).receive()["told"]

    assert told == [[["unfinished", "it could not be looked at: no thread is left for it"]]] * 2


# -- what cannot be looked at cannot be mended -------------------------------------------------------------------------


@pytest.mark.needs_tool("strace")
@pytest.mark.parametrize("words", [["--fix"], ["--fix", "--force"]])
def test_a_store_that_cannot_be_read_is_not_repaired_and_that_is_no_mistake_of_ours(
    ward: Ward, words: list[str]
) -> None:
    ward.fill().close()
    strace = f"strace -f -qq -o /dev/null -P {ward.store} -e inject=openat:error=EIO"

    done = ward.run(f"{strace} {' '.join(PATIENT)} doctor {' '.join(words)}")

    assert done.returncode == 1, done
    assert "--fix: not done: the store is looked at: Input/output error" in done.stdout
    assert "F-100" in done.stdout
