from __future__ import annotations

from latchboard.compose import Latchboard
from tests.surface.cli.harness import Cli


def _hurt(cli: Cli) -> str:
    """planner holds two files, builder's shell call writes one and deletes the other; the id of the conflict."""
    (cli.project / "src").mkdir(exist_ok=True)
    for name in ("a.py", "b.py"):
        (cli.project / "src" / name).write_text("one\ntwo\n")
    board = Latchboard(cli.project, clock=cli.clock, publishes=False)
    board.editing.begin("planner", ["src/a.py", "src/b.py"])
    board.editing.done("planner")
    board.foreign.before_call("builder")
    (cli.project / "src/a.py").write_text("one\n2\n")
    (cli.project / "src/b.py").unlink()
    (found,) = board.foreign.after_call("builder")
    board.editing.done("builder")
    board.close()
    return str(found["id"])


def test_list_names_them_and_how_to_go_on(cli: Cli) -> None:
    its_id = _hurt(cli)

    out = cli("conflict", "list").out
    answer = cli("conflict", "list", "--json")

    assert "planner" in out
    assert "builder" in out
    assert "src/a.py, src/b.py" in out
    assert out.endswith(f"what changed: latchboard conflict show {its_id}\n")
    assert [one["id"] for one in answer.json["conflicts"]] == [its_id]


def test_where_there_is_none_it_says_so(cli: Cli) -> None:
    assert cli("conflict", "list").out == "no held file was changed by somebody else\n"


def test_show_has_the_diff_and_both_sides(cli: Cli) -> None:
    its_id = _hurt(cli)

    out = cli("conflict", "show", its_id, "--agent", "planner").out
    facts = cli("conflict", "show", its_id, "--json").json

    assert "src/a.py: changed\n" in out
    assert "src/b.py: deleted\n" in out
    assert "-two\n+2\n" in out
    assert f"put the holder's back: latchboard conflict restore {its_id} --agent planner\n" in out
    first, second = facts["files"]
    assert "-two\n+2\n" in first["diff_text"]
    assert (second["what"], second["after"], second["diff_text"]) == ("deleted", None, "")
    kept = cli.project / "data/.agent_locks/kept" / first["before"]["sha256"]
    assert kept.read_text() == "one\ntwo\n"


def test_restore_gives_the_holder_its_files_back(cli: Cli) -> None:
    its_id = _hurt(cli)

    refused = cli("conflict", "restore", its_id, "--agent", "builder", "--json")
    answer = cli("conflict", "restore", its_id, "src/b.py", "--agent", "planner", "--json")
    said = cli("conflict", "restore", its_id, "--agent", "planner").out

    assert (refused.status, refused.json["code"]) == (10, "lock-held")
    assert (answer.status, answer.json["restored"]) == (0, ["src/b.py"])
    assert said == "src/a.py is what its holder had\nsrc/b.py was that already\n"
    assert (cli.project / "src/a.py").read_text() == (cli.project / "src/b.py").read_text() == "one\ntwo\n"


def test_restore_never_writes_over_newer_work_silently(cli: Cli) -> None:
    its_id = _hurt(cli)
    (cli.project / "src/a.py").write_text("newer")

    refused = cli("conflict", "restore", its_id, "--agent", "planner", "--json")
    over = cli("conflict", "restore", its_id, "--over", "--agent", "planner", "--json")

    assert (refused.status, refused.json["code"], refused.json["names"]) == (10, "refused", ["src/a.py"])
    assert over.status == 0
    noted = cli("conflict", "show", its_id, "--json").json["restored"]
    assert (cli.project / "data/.agent_locks/kept" / noted[0]["over"]["sha256"]).read_text() == "newer"


def test_an_unknown_id_is_a_mistake(cli: Cli) -> None:
    for verb in ("show", "restore"):
        answer = cli("conflict", verb, "nowhere", "--agent", "planner", "--json")

        assert (answer.status, answer.json["code"]) == (2, "usage")


def test_the_board_shows_it(cli: Cli) -> None:
    its_id = _hurt(cli)

    (conflict,) = cli("status", "--json").json["conflicts"]

    assert (conflict["kind"], conflict["asked_by"], conflict["names"]) == (
        "foreign-change",
        "builder",
        ["src/a.py", "src/b.py"],
    )
    assert its_id in conflict["why"]
    assert "builder changed src/a.py, src/b.py" in cli("history").out or "foreign-change" in cli("status").out
