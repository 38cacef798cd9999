"""Behind a commit, a checkout, a merge: what is written on the board, who is told, and what costs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.surface.git.scene import Scene

pytestmark = pytest.mark.process


def without_a_reflog(scene: Scene) -> Scene:
    with (scene.base / "gitconfig").open("a") as file:
        file.write("[core]\n\tlogAllRefUpdates = false\n")
    return scene


def test_commit_past_the_guard_is_found_logged_and_told(scene: Scene) -> None:
    token = scene.hold("planner", "src/a.py", reason="split the parser")
    scene.change("src/a.py", "src/b.py")

    done = scene.commit("builder", "--no-verify")

    assert done.returncode == 0
    commit = scene.head()[:12]
    assert f"latchboard: commit {commit} has what planner has under lock" in done.stderr
    assert f"To undo it: git reset --soft {scene.git('rev-parse', 'HEAD~1').stdout[:12]}\n" in done.stderr
    [conflict] = scene.conflicts()
    assert (conflict["kind"], conflict["names"], conflict["asked_by"]) == ("bypass", ["src/a.py"], "builder")
    assert (conflict["held_by"][0]["agent"], conflict["held_by"][0]["token"]) == ("planner", token)
    assert commit in conflict["why"]
    [letter] = scene.mail("planner")
    assert letter.startswith(f"builder: commit {commit} has src/a.py, which you hold.")
    assert scene.mail("builder") == []


def test_each_holder_is_told_of_its_own_files(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.hold("reviewer", "src/b.py")
    scene.change("src/a.py", "src/b.py")

    scene.commit("builder", "--no-verify")

    assert "src/b.py" not in scene.mail("planner")[0]
    assert "src/a.py" not in scene.mail("reviewer")[0]
    assert len(scene.conflicts()) == 1


def test_commit_of_a_person_is_told_to_the_holder(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")

    done = scene.commit()

    assert f"latchboard: commit {scene.head()[:12]} has src/a.py, held by planner, who is told." in done.stderr
    assert scene.conflicts()[0]["asked_by"] == ""
    assert scene.mail("planner")[0].startswith("Somebody without an agent id: commit ")


def test_commit_that_the_guard_passed_is_not_looked_at_again(scene: Scene) -> None:
    scene.hold("planner", "src/b.py")
    scene.change("src/a.py")
    calls = scene.base / "calls"
    scene.guard.write_text(
        scene.guard.read_text().replace(
            "import sys", f"import sys; open({str(calls)!r}, 'a').write(sys.argv[1] + '\\n')", 1
        )
    )

    assert scene.commit("builder").returncode == 0
    assert calls.read_text().split() == ["pre-commit"]

    scene.change("src/a.py")
    assert scene.commit("builder", "--no-verify").returncode == 0
    assert calls.read_text().split() == ["pre-commit", "post-commit"]


def test_mark_of_a_commit_that_was_given_up_serves_no_other(scene: Scene) -> None:
    scene.change("src/a.py")
    assert scene.git("commit", agent="builder", ok=False, GIT_EDITOR="false").returncode != 0
    assert (scene.repo / ".git/latchboard-checked").read_text().strip().isdecimal()
    scene.hold("planner", "src/a.py")

    scene.commit("builder", "--no-verify")

    assert len(scene.conflicts()) == 1


def test_first_commit_and_one_without_a_reflog(bare_scene: Scene) -> None:
    scene = bare_scene.make(commits=False)
    scene.hold("planner", "src/a.py")
    scene.git("config", "core.logAllRefUpdates", "false")
    for _ in range(2):
        scene.change("src/a.py")
        assert scene.commit("builder", "--no-verify").returncode == 0

    assert [one["names"] for one in scene.conflicts()] == [["src/a.py"], ["src/a.py"]]


def part_ways(scene: Scene) -> None:
    """Two branches, each with a commit of its own; the planner holds what `other` changes."""
    scene.git("switch", "--quiet", "-c", "other")
    scene.change("src/a.py")
    scene.commit()
    scene.git("switch", "--quiet", "main")
    scene.change("src/b.py")
    scene.commit()
    scene.hold("planner", "src/a.py")


def test_cherry_pick_asks_nobody_and_is_found(scene: Scene) -> None:
    part_ways(scene)

    scene.git("cherry-pick", "other", agent="builder")

    assert [one["kind"] for one in scene.conflicts()] == ["bypass"]


@pytest.mark.parametrize("has_reflog", [True, False])
def test_commit_that_another_follows_at_once_is_the_one_that_is_looked_at(bare_scene: Scene, has_reflog: bool) -> None:
    scene = (bare_scene if has_reflog else without_a_reflog(bare_scene)).make()
    scene.hold("planner", "src/a.py")
    real = scene.guard.rename(scene.guard.with_name("real-guard"))
    again = "git -c core.hooksPath=/dev/null commit --quiet --allow-empty -m another"
    scene.guard.write_text(f'#!/bin/sh\n{again}\nexec "{real}" "$@"\n')
    scene.guard.chmod(0o755)
    scene.change("src/a.py")

    scene.commit("builder", "--no-verify")

    (found,) = scene.conflicts()
    assert found["names"] == ["src/a.py"]
    assert scene.git("rev-parse", "--short=12", "HEAD~1").stdout.strip() in scene.mail("planner")[0]


@pytest.mark.parametrize("agent", ["builder", ""])
def test_mailed_patch_past_the_guard_is_found(scene: Scene, agent: str) -> None:
    for _ in range(2):
        scene.change("src/a.py")
        scene.commit()
    scene.git("format-patch", "--quiet", "-2", "--output-directory", str(scene.base / "patches"))
    patches = sorted(str(path) for path in (scene.base / "patches").iterdir())
    scene.git("reset", "--quiet", "--hard", "HEAD~2")
    scene.git("am", *patches, agent=agent)
    assert scene.conflicts() == []
    scene.git("reset", "--quiet", "--hard", "HEAD~2")
    scene.hold("planner", "src/a.py")
    if agent:
        (scene.repo / ".git/hooks/pre-applypatch").unlink()  # as `git am --no-verify` of a newer git

    scene.git("am", *patches, agent=agent)

    assert [(one["kind"], one["asked_by"], one["names"]) for one in scene.conflicts()] == [
        ("bypass", agent, ["src/a.py"]),
        ("bypass", agent, ["src/a.py"]),
    ]


def test_commit_that_is_known_is_not_written_down_again(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")
    scene.commit("builder", "--no-verify")

    assert scene.run_guard("post-commit", AGENT_ID="builder").returncode == 0

    assert (len(scene.conflicts()), len(scene.mail("planner"))) == (1, 1)


def test_amending_finds_what_it_added_alone(scene: Scene) -> None:
    scene.change("src/a.py")
    scene.commit("builder")
    scene.hold("planner", "src/a.py")

    scene.commit("builder", "--amend", "--no-verify")
    assert scene.conflicts() == []

    before = scene.head()
    scene.change("src/a.py")
    done = scene.commit("builder", "--amend", "--no-verify")
    assert len(scene.conflicts()) == 1
    assert f"To undo it: git reset --soft {before[:12]}\n" in done.stderr


def test_switching_branches_tells_the_holder_where_the_old_file_is(scene: Scene) -> None:
    scene.git("switch", "--quiet", "-c", "other")
    scene.change("src/a.py")
    scene.commit()
    old = scene.head()[:12]
    scene.hold("planner", "src/a.py")

    done = scene.git("switch", "main", agent="builder")

    assert "latchboard: a checkout changed what planner has under lock" in done.stderr
    [conflict] = scene.conflicts()
    assert (conflict["kind"], conflict["names"], conflict["asked_by"]) == ("overwritten", ["src/a.py"], "builder")
    [letter] = scene.mail("planner")
    assert f"What git had before is in commit {old}" in letter


def test_what_the_hooks_of_a_client_find_is_told_once(scene: Scene) -> None:
    scene.git("switch", "--quiet", "-c", "other")
    scene.change("src/a.py", "src/b.py")
    scene.commit()
    board = scene.board()
    assert board.editing.begin("planner", ["src/a.py"]).refusal is None
    board.editing.done("planner", ["src/a.py"])
    scene.hold("reviewer", "glob:src/b.*")
    board.foreign.before_call("builder")

    scene.git("switch", "--quiet", "main", agent="builder")
    found = board.foreign.after_call("builder")
    board.close()

    assert [one["names"] for one in scene.conflicts()] == [["src/b.py"]], "what has no image is told by the guard"
    assert len(found) == 1
    assert len(scene.mail("planner")) == 1


def test_switching_to_a_new_branch_changes_nothing(scene: Scene) -> None:
    scene.hold("planner", "./")

    done = scene.git("switch", "--quiet", "-c", "other", agent="builder")

    assert (done.stderr, scene.conflicts()) == ("", [])


@pytest.mark.parametrize("has_reflog", [True, False])
def test_fast_forward_is_found(bare_scene: Scene, has_reflog: bool) -> None:
    scene = bare_scene if has_reflog else without_a_reflog(bare_scene)
    scene.make()
    scene.git("switch", "--quiet", "-c", "other")
    scene.change("src/a.py")
    scene.commit()
    scene.git("switch", "--quiet", "main")
    scene.hold("planner", "src/a.py")

    done = scene.git("merge", "--quiet", "other", agent="builder")

    assert "git reset --keep " in done.stderr
    assert [one["kind"] for one in scene.conflicts()] == ["overwritten"]


def test_merge_past_the_guard_without_a_reflog_is_found(bare_scene: Scene) -> None:
    scene = without_a_reflog(bare_scene).make()
    part_ways(scene)

    scene.git("merge", "--quiet", "--no-verify", "other", agent="builder")

    assert [(one["kind"], one["names"]) for one in scene.conflicts()] == [("overwritten", ["src/a.py"])]


def test_squashed_merge_is_found(scene: Scene) -> None:
    scene.git("switch", "--quiet", "-c", "other")
    scene.change("src/a.py")
    scene.commit()
    scene.git("switch", "--quiet", "main")
    scene.change("src/b.py")
    scene.commit()  # the last move of HEAD has nothing to do with it
    scene.hold("planner", "src/a.py")

    scene.git("merge", "--squash", "other", agent="builder")

    assert [one["names"] for one in scene.conflicts()] == [["src/a.py"]]


def test_name_that_is_no_text_is_told_under_the_name_of_the_hold(scene: Scene) -> None:
    scene.hold("planner", "src/")
    Path(f"{scene.repo}/src/\udcff.py").write_text("x\n")
    scene.git("add", "--", b"src/\xff.py")

    scene.commit("builder", "--no-verify")

    assert scene.conflicts()[0]["names"] == ["src/"]
    assert "\\xff.py" in scene.mail("planner")[0]


def test_store_that_cannot_be_read_fails_nothing_afterwards(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")
    next((scene.repo / "data/.agent_locks").glob("src__a.py-*.lock")).write_text("rubbish")

    done = scene.commit("builder", "--no-verify")

    assert done.returncode == 0
    assert "it could not be looked" in done.stderr


@pytest.mark.parametrize(
    "words", [("post-checkout", "x", "y", "1"), ("post-checkout",), ("post-merge",), ("post-rewrite",)]
)
def test_strange_arguments_fail_nothing(scene: Scene, words: tuple[str, ...]) -> None:
    assert scene.run_guard(*words).returncode == 0


# -- why a switch of branches is not refused --------------------------------------------------------------------------


def test_no_hook_can_refuse_a_switch_before_files_are_written(scene: Scene) -> None:
    """What protocol/git.md says of checkouts, as this git does it."""
    scene.git("switch", "--quiet", "-c", "other")
    scene.change("src/a.py")
    scene.commit()
    other = scene.head()
    hook = scene.repo / ".git/hooks/reference-transaction"
    hook.write_text('#!/bin/sh\n[ "$1" != prepared ] || exit 1\n')
    hook.chmod(0o755)
    theirs = (scene.repo / "src/a.py").read_text()

    done = scene.git("switch", "--detach", "main", ok=False)
    assert (done.returncode != 0, scene.head()) == (True, other)
    assert (scene.repo / "src/a.py").read_text() != theirs, "refused, and the files are those of the other branch"
    assert scene.git("diff", "--stat", other).stdout

    hook.unlink()
    scene.git("switch", "--quiet", "--force", "other")
    hook.write_text('#!/bin/sh\n[ "$1" != prepared ] || exit 1\n')
    hook.chmod(0o755)
    assert scene.git("reset", "--hard", "main", ok=False).returncode != 0
    assert (scene.repo / "src/a.py").read_text() != theirs
