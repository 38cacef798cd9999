from __future__ import annotations

from pathlib import Path

from latchboard.surface.demo.edit import with_edit
from latchboard.surface.demo.tally import Log, Tally, problems, read_log

TEXT = b"def a(): pass\n\n\ndef b(): pass\n"


def proven() -> tuple[Tally, Tally]:
    return Tally(False, edits_made=9, edits_lost=4, edits_kept=5), Tally(True, edits_made=7, edits_kept=7, takeovers=1)


def test_edit_that_is_not_in_its_file_is_lost() -> None:
    tally = Tally(True)
    logs = [Log(edits=[(0, "a/1", 0.0), (1, "a/2", 0.5)]), Log(edits=[(0, "b/1", 0.25)])]

    tally.count_edits(logs, [with_edit(TEXT, "a/1", 0.0), TEXT], [TEXT, TEXT])

    assert (tally.edits_made, tally.edits_kept, tally.edits_lost) == (3, 1, 2)
    assert tally.files_damaged == 0
    assert tally.waits == [0.25, 0.5]


def test_edit_of_a_killed_agent_that_nobody_claims_is_not_counted() -> None:
    tally = Tally(True)

    tally.count_edits([Log()], [with_edit(TEXT, "a/1", 0.0)], [TEXT])

    assert (tally.edits_made, tally.edits_kept, tally.edits_lost) == (0, 0, 0)


def test_cut_off_file_is_damaged() -> None:
    tally = Tally(False)

    tally.count_edits([Log()], [TEXT[:-3]], [TEXT])

    assert tally.files_damaged == 1


def test_message_is_lost_unless_its_recipient_has_it_once() -> None:
    logs = {
        "a": Log(sent=[("m1", "b"), ("m2", "b"), ("m3", "c"), ("m4", "c"), ("m5", "b")]),
        "b": Log(received=["m1", "m2", "m2"]),
        "c": Log(),
    }
    tally = Tally(True)

    tally.count_messages(logs, {"c": ["m3"]})

    assert tally.messages_sent == 5
    assert tally.messages_kept == 1
    assert tally.messages_lost == 3  # m2 came twice, m4 and m5 are nowhere


def test_what_proves_the_point_has_no_problems() -> None:
    assert problems(*proven()) == []


def test_everything_that_speaks_against_it_is_said() -> None:
    without, coordinated = proven()
    without.edits_lost = 0
    coordinated.edits_lost, coordinated.files_damaged, coordinated.messages_lost, coordinated.takeovers = 2, 1, 3, 0
    coordinated.failed = {"agent-1": "Traceback\nKeyError: 'x'", "agent-2": "Traceback\nKeyError: 'x'"}

    told = problems(without, coordinated)

    assert told[0] == "agent-1 and 1 more ended with an error: KeyError: 'x'"
    assert [line.split(":")[0] for line in told[1:]] == [
        "2 edits were lost with Latchboard",
        "1 files were damaged with Latchboard",
        "3 messages were lost or came twice",
        "Nobody took over the lock of the killed agent",
        "No edit was lost without Latchboard either, not even under more pressure",
    ]


def test_log_is_read_as_the_agent_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "agent-1.log"
    path.write_text("edit 2 agent-1/1 0.125000\nsent m1 agent-2\nreceived m0\n")

    assert read_log(path) == Log(edits=[(2, "agent-1/1", 0.125)], sent=[("m1", "agent-2")], received=["m0"])
    assert read_log(tmp_path / "never-started.log") == Log()


def test_phase_without_waits_has_no_wait_times() -> None:
    facts = Tally(False, seconds=1.23456).to_json()

    assert facts["seconds"] == 1.235
    assert (facts["waits_count"], facts["wait_median_s"], facts["wait_longest_s"]) == (0, None, None)
