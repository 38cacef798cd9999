"""pre-push: commits that were made past a hold stay at home while it lasts."""

from __future__ import annotations

import subprocess

import pytest

from tests.surface.git.scene import Scene

pytestmark = pytest.mark.process


@pytest.fixture
def pushed(scene: Scene) -> Scene:
    """A repository with a remote that has its first commit, and a bypass on top of it."""
    scene.git("init", "--quiet", "--bare", str(scene.base / "remote.git"), at=scene.base)
    scene.git("remote", "add", "origin", str(scene.base / "remote.git"))
    scene.git("push", "--quiet", "origin", "main")
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")
    scene.commit("builder", "--no-verify")
    return scene


def push(scene: Scene, agent: str, *words: str) -> tuple[bool, str]:
    done = scene.git("push", *(words or ("origin", "main")), agent=agent, ok=False)
    return done.returncode == 0, done.stderr


def test_bypass_is_not_pushed_while_its_hold_lasts(pushed: Scene) -> None:
    is_sent, text = push(pushed, "builder")

    assert not is_sent
    assert f"commit {pushed.head()[:12]}, made " in text
    assert "by builder: src/a.py is held by planner" in text
    assert "latchboard acquire src/a.py --wait-s-max 60 --agent builder" in text


def test_what_the_other_side_has_already_stops_nobody(pushed: Scene) -> None:
    assert push(pushed, "planner")[0]
    pushed.change("src/b.py")
    pushed.commit("builder")

    assert push(pushed, "builder", "origin", "main:refs/heads/new")[0]


def test_any_commit_on_top_of_it_is_not_either(pushed: Scene) -> None:
    pushed.change("src/b.py")
    pushed.commit("reviewer")

    assert not push(pushed, "reviewer")[0]


def test_it_is_pushed_when_the_holder_has_let_go(pushed: Scene) -> None:
    pushed.release("planner")

    is_sent, text = push(pushed, "builder")

    assert is_sent and "latchboard" not in text
    assert not list((pushed.repo / "data/.agent_locks/bypasses").glob("*.json"))


def test_lock_that_was_taken_anew_is_not_the_one_it_passed_by(pushed: Scene) -> None:
    pushed.release("planner")
    pushed.hold("planner", "src/a.py")

    assert push(pushed, "builder")[0]


def test_the_holder_pushes_it(pushed: Scene) -> None:
    assert push(pushed, "planner")[0]


def test_person_is_told_and_goes_on(pushed: Scene) -> None:
    is_sent, text = push(pushed, "")

    assert is_sent
    assert "latchboard: note: this push sends" in text


def test_what_does_not_have_it_is_pushed(pushed: Scene) -> None:
    assert push(pushed, "builder", "origin", "HEAD~1:refs/heads/other")[0]


def test_new_branch_with_it_is_not(pushed: Scene) -> None:
    assert not push(pushed, "builder", "origin", "HEAD:refs/heads/other")[0]


def test_what_is_there_already_is_not_asked_about(pushed: Scene) -> None:
    assert push(pushed, "")[0]
    pushed.change("src/b.py")
    pushed.commit("builder")

    assert push(pushed, "builder")[0]


def test_deleting_a_branch_there_sends_nothing(pushed: Scene) -> None:
    push(pushed, "", "origin", "HEAD~1:refs/heads/other")

    assert push(pushed, "builder", "origin", ":refs/heads/other")[0]


def test_amended_bypass_stays_one(pushed: Scene) -> None:
    pushed.commit("builder", "--amend", "-m", "another message")

    is_sent, text = push(pushed, "builder")

    assert not is_sent
    assert pushed.head()[:12] in text


def test_rebased_bypass_stays_one(pushed: Scene) -> None:
    pushed.git("switch", "--quiet", "-c", "other", "HEAD~1")
    pushed.change("README")
    pushed.commit()
    pushed.git("rebase", "--quiet", "--no-verify", "other", "main", agent="builder")

    assert not push(pushed, "builder")[0]


def test_damaged_record_of_a_bypass_stops_an_agent(pushed: Scene) -> None:
    next((pushed.repo / "data/.agent_locks/bypasses").glob("*.json")).write_text("{}")

    assert not push(pushed, "builder")[0]
    assert push(pushed, "")[0]


def test_repository_without_a_board_pushes(bare_scene: Scene) -> None:
    scene = bare_scene.make(board=False)
    scene.git("init", "--quiet", "--bare", str(scene.base / "remote.git"), at=scene.base)

    done = scene.git("push", str(scene.base / "remote.git"), "main", agent="builder")

    assert "latchboard" not in done.stderr


def test_commit_of_a_person_is_anybodys_to_push(scene: Scene) -> None:
    scene.git("init", "--quiet", "--bare", str(scene.base / "remote.git"), at=scene.base)
    scene.git("remote", "add", "origin", str(scene.base / "remote.git"))
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")
    scene.commit()

    assert push(scene, "builder")[0]


@pytest.mark.parametrize("hook", ["pre-push", "post-rewrite"])
@pytest.mark.parametrize("told", [b"", b"\n\n", b"\xff\x00 \n", b"a b c d\n" * 20_000, ("f" * 40 + " ").encode() * 4])
def test_whatever_is_told_the_guard_ends_well(pushed: Scene, hook: str, told: bytes) -> None:
    environment = {**pushed.environment, "AGENT_ID": "builder"}
    command = [str(pushed.guard), hook, "origin", "url"]

    done = subprocess.run(
        command, cwd=pushed.repo, env=environment, input=told, capture_output=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")
