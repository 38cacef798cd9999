"""pre-commit: what a commit is refused for, what an agent is told, and what lets it through."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from latchboard.host.hook_folder import HookFolder
from latchboard.installation import GitHooks
from latchboard.rules.git_hook import COMMAND
from tests.surface.git.scene import LongAgo, Scene

pytestmark = pytest.mark.process


def assert_refused(done: object, *texts: str) -> None:
    assert getattr(done, "returncode", 0) != 0
    stderr = getattr(done, "stderr", "")
    assert "latchboard: refused" in stderr
    assert [text for text in texts if text not in stderr] == [], stderr


# -- whose a file is --------------------------------------------------------------------------------------------------


def test_commit_with_what_another_agent_holds_is_refused_and_says_everything(scene: Scene) -> None:
    scene.hold("planner", "src/a.py", reason="split the parser")
    scene.change("src/a.py", "src/b.py")
    before = scene.head()

    done = scene.commit("builder")

    assert_refused(
        done,
        "src/a.py: planner holds it since ",
        "    until ",
        "what for: split the parser",
        "git restore --staged -- src/a.py   and then git commit",
        "latchboard acquire src/a.py --wait-s-max 60 --agent builder",
        "latchboard handoff request src/a.py --agent builder --reason",
    )
    assert "src/b.py" not in done.stderr
    assert scene.head() == before


def test_the_commands_of_a_refusal_do_what_they_say(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py", "src/b.py")
    assert_refused(scene.commit("builder"))

    scene.git("restore", "--staged", "--", "src/a.py", agent="builder")
    assert scene.commit("builder").returncode == 0
    assert scene.files_of_head() == {"src/b.py"}

    scene.git("add", "src/a.py")
    scene.release("planner")
    scene.hold("builder", "src/a.py")
    assert scene.commit("builder").returncode == 0


@pytest.mark.parametrize("held", ["src/", "./", "glob:**/*.py", "glob:src/a.*"])
def test_folders_and_globs_hold_what_is_in_them(scene: Scene, held: str) -> None:
    scene.hold("planner", held)
    scene.change("src/a.py")

    assert_refused(scene.commit("builder"), f"planner holds {held} since")


def test_shared_hold_is_in_the_way_of_a_commit(scene: Scene) -> None:
    scene.hold("reader", "src/a.py", shared=True)
    scene.change("src/a.py")

    assert_refused(scene.commit("builder"), "reader shares it")


def test_own_holds_and_those_of_own_subagents_are_not(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.hold("planner:worker-1", "src/b.py")
    scene.change("src/a.py", "src/b.py")

    assert scene.commit("planner").returncode == 0


def test_subagent_is_not_its_agent_and_a_longer_id_is_another(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")

    assert_refused(scene.commit("planner:worker-1"))
    assert_refused(scene.commit("plan"))
    assert_refused(scene.commit("planner2"))


def test_what_nobody_holds_any_more_is_free(scene: Scene) -> None:
    scene.hold("planner", "src/a.py", clock=LongAgo())
    scene.change("src/a.py")

    assert scene.commit("builder").returncode == 0


def test_files_that_are_not_staged_do_not_matter(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.write("src/a.py", "planner is at it\n")
    scene.change("src/b.py")

    assert scene.commit("builder").returncode == 0
    assert scene.files_of_head() == {"src/b.py"}


# -- who commits ------------------------------------------------------------------------------------------------------


def test_person_is_told_and_goes_on(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")

    done = scene.commit()

    assert done.returncode == 0
    assert "latchboard: note: this commit has what planner has under lock" in done.stderr


def test_person_hears_nothing_where_nothing_is_held(scene: Scene) -> None:
    scene.hold("planner", "src/b.py")
    scene.change("src/a.py")

    done = scene.commit()

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("variable", ["CODEX_THREAD_ID", "CLAUDE_CODE_SESSION_ID"])
def test_session_of_a_client_is_an_agent(scene: Scene, variable: str) -> None:
    scene.hold("session-1", "src/a.py")
    scene.change("src/a.py")

    assert_refused(scene.commit(**{variable: "session-2"}), "--agent session-2")
    assert scene.commit(**{variable: "session-1"}).returncode == 0


@pytest.mark.parametrize("variable", ["CLAUDECODE", "GEMINI_CLI", "CURSOR_AGENT", "CODEX_SANDBOX"])
def test_agent_that_does_not_say_which_is_asked_to(scene: Scene, variable: str) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")

    assert_refused(scene.commit(**{variable: "1"}), "export AGENT_ID=")
    assert scene.commit(CLAUDECODE="1", AGENT_ID="planner").returncode == 0


def test_agent_id_that_is_none_is_not_a_persons(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")

    assert_refused(scene.commit(" \x01 "), "export AGENT_ID=")


@pytest.mark.parametrize("agent", ["a b'c\"d", "ä" * 150, "x" * 5000, "line\nbreak", "-flag", "$(touch owned)"])
def test_any_agent_id_is_refused_in_words_that_can_be_pasted(scene: Scene, agent: str) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")

    done = scene.commit(agent)

    assert_refused(done, "--agent ")
    assert len(done.stderr) < 3000
    assert not (scene.repo / "owned").exists()


# -- what a commit has ------------------------------------------------------------------------------------------------


def test_deleted_file_counts(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.git("rm", "--quiet", "src/a.py")

    assert_refused(scene.commit("builder"), "src/a.py: planner")


def test_both_names_of_a_rename_count(scene: Scene) -> None:
    scene.hold("planner", "src/c.py")
    scene.git("mv", "src/b.py", "src/c.py")
    assert_refused(scene.commit("builder"), "src/c.py: planner")

    scene.release("planner")
    scene.hold("planner", "src/b.py")
    assert_refused(scene.commit("builder"), "src/b.py: planner")


def test_rename_in_case_alone_counts_under_the_old_name(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.git("mv", "--force", "src/a.py", "src/A.py")

    assert_refused(scene.commit("builder"), "src/a.py: planner")


def test_mode_alone_counts(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.git("update-index", "--chmod=+x", "src/a.py")

    assert_refused(scene.commit("builder"), "src/a.py: planner")


def test_commit_all_is_told_to_name_its_files(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.write("src/a.py", "2\n")
    scene.write("src/b.py", "2\n")

    assert_refused(scene.commit("builder", "-a"), "git commit -- src/b.py")


def test_commit_of_named_files_has_those_alone(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py", "src/b.py")

    assert_refused(scene.commit("builder", "src/a.py"))
    assert scene.commit("builder", "src/b.py").returncode == 0
    assert scene.files_of_head() == {"src/b.py"}


def test_commands_can_be_pasted_in_a_folder_below(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py", "src/b.py")

    done = scene.git("commit", "-m", "x", agent="builder", at=scene.repo / "src", ok=False)

    assert_refused(done, "git restore --staged -- :/src/a.py", f"latchboard acquire {scene.repo}/src/a.py --wait")


def test_part_of_a_file_is_a_change_of_it(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")
    scene.write("src/a.py", "and more that is not staged\n")

    assert_refused(scene.commit("builder"), "src/a.py: planner")


def test_amending_counts_what_it_adds(scene: Scene) -> None:
    scene.change("src/a.py")
    assert scene.commit("builder").returncode == 0
    scene.hold("planner", "src/a.py")

    assert scene.commit("builder", "--amend").returncode == 0
    scene.change("src/a.py")
    assert_refused(scene.commit("builder", "--amend"))


def test_first_commit_of_a_repository(bare_scene: Scene) -> None:
    scene = bare_scene.make(commits=False)
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py", "src/b.py")

    assert_refused(scene.commit("builder"), "git rm --cached -- src/a.py")
    scene.git("rm", "--quiet", "--cached", "--", "src/a.py")
    done = scene.commit("builder")
    assert (done.returncode, done.stderr) == (0, "")


def test_commit_without_a_change(scene: Scene) -> None:
    scene.hold("planner", "./")

    assert scene.commit("builder", "--allow-empty").returncode == 0


@pytest.mark.parametrize(
    "name",
    [b"src/new\nline.py", b"src/tab\t\"quote'.py", b"src/\xff\xfe.py", "src/ä.py".encode(), b"src/glob:x", b"src/-x"],
)
def test_any_name_of_a_file_is_found_in_a_held_folder(scene: Scene, name: bytes) -> None:
    scene.hold("planner", "src/")
    Path(os.fsdecode(os.fsencode(scene.repo) + b"/" + name)).write_text("x\n")
    scene.git("add", "--", name)

    done = scene.commit("builder")

    assert_refused(done, "planner holds src/ since")
    assert all(line.isprintable() for line in done.stderr.split("\n"))


def test_name_that_is_no_text_is_committed_where_nobody_holds_it(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.hold("planner", "glob:docs/*")
    Path(os.fsdecode(os.fsencode(scene.repo) + b"/\xff\xfe.py")).write_text("x\n")
    scene.git("add", "--", b"\xff\xfe.py")

    done = scene.commit("builder")

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("held", ["src/a.py", "lib/a.py"])
def test_file_behind_a_link_is_found_under_both_names(scene: Scene, held: str) -> None:
    scene.write("lib/a.py", "a\n")
    scene.git("add", ".")
    assert scene.commit().returncode == 0
    scene.hold("planner", held)
    scene.change("src/a.py")
    (scene.repo / "src").rename(scene.repo / "old")
    (scene.repo / "src").symlink_to("lib")

    assert_refused(scene.commit("builder"), "src/a.py: planner")


def test_file_that_is_called_like_a_pattern_is_itself_alone(scene: Scene) -> None:
    name = "glob:**"
    scene.hold("planner", "src/a.py")
    (scene.repo / name).write_text("x\n")
    scene.git("add", "--", f"./{name}")
    assert scene.commit("builder").returncode == 0

    scene.hold("planner", f"./{name}")
    (scene.repo / name).write_text("y\n")

    assert_refused(scene.commit("builder", "-a"), f"{name}: planner")


def test_other_name_of_a_held_file_is_held(scene: Scene) -> None:
    (scene.repo / "src/c.py").hardlink_to(scene.repo / "src/a.py")
    scene.hold("planner", "src/a.py")
    scene.git("add", "src/c.py")

    assert_refused(scene.commit("builder"), "src/c.py: planner")


def test_file_in_the_place_of_a_held_folder(scene: Scene) -> None:
    scene.hold("planner", "src/")
    scene.git("rm", "-r", "--quiet", "src")
    scene.change("src")

    assert_refused(scene.commit("builder"), "planner holds src/ since")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("color.ui", "always"),
        ("core.pager", "false"),
        ("core.quotePath", "true"),
        ("diff.external", "false"),
        ("diff.ignoreSubmodules", "all"),
        ("diff.noprefix", "true"),
        ("diff.orderFile", ".git/HEAD"),
        ("diff.relative", "true"),
        ("diff.renames", "copies"),
        ("diff.wsErrorHighlight", "all"),
        ("log.showSignature", "true"),
        ("status.renames", "copies"),
    ],
)
def test_whatever_the_configuration_says_the_answer_is_the_same(scene: Scene, name: str, value: str) -> None:
    scene.hold("planner", "src/ä b.py")
    scene.git("mv", "src/b.py", "src/ä b.py")
    scene.git("config", name, value)

    assert_refused(scene.commit("builder"), "src/ä b.py: planner holds it")
    assert scene.commit("builder", "--no-verify").returncode == 0
    assert [one["names"] for one in scene.conflicts()] == [["src/ä b.py"]]


def test_commit_of_many_files_finds_the_one(scene: Scene) -> None:
    scene.hold("planner", "many/f777.py")
    scene.hold("planner", "glob:many/f77?.txt")
    for number in range(1200):
        scene.write(f"many/f{number}.py", "x\n")
    scene.git("add", ".")

    assert_refused(scene.commit("builder"), "1 file held by planner", "many/f777.py: planner")


def test_many_holds_in_the_way_are_cut_short(scene: Scene) -> None:
    for number in range(30):
        scene.hold(f"agent-{number}", f"many/f{number}.py")
        scene.write(f"many/f{number}.py", "x\n")
    scene.git("add", ".")

    done = scene.commit("builder")

    assert_refused(done, "30 files held by agent-0, ", "... and 20 holds more")
    assert len(done.stderr.splitlines()) < 60


# -- merges and rebases -----------------------------------------------------------------------------------------------


def branch(scene: Scene, path: str) -> None:
    """A branch `other` that changes `path`, and another commit on `main`."""
    scene.git("switch", "--quiet", "-c", "other")
    scene.change(path)
    assert scene.commit().returncode == 0
    scene.git("switch", "--quiet", "main")
    scene.change("README")
    assert scene.commit().returncode == 0


def test_merge_that_brings_what_is_held_is_not_committed(scene: Scene) -> None:
    branch(scene, "src/a.py")
    scene.hold("planner", "src/a.py")
    before = scene.head()

    done = scene.git("merge", "other", agent="builder", ok=False)

    assert_refused(done, "this merge changes 1 file held by planner", "git merge --abort")
    scene.git("merge", "--abort", agent="builder")
    assert scene.head() == before
    assert scene.git("status", "--porcelain").stdout == ""


def test_merge_that_brings_something_else_is(scene: Scene) -> None:
    branch(scene, "src/a.py")
    scene.hold("planner", "src/b.py")

    done = scene.git("merge", "other", agent="builder")

    assert "latchboard" not in done.stderr
    assert scene.conflicts() == []


def test_merge_with_conflicts_is_looked_at_when_it_is_committed(scene: Scene) -> None:
    scene.git("switch", "--quiet", "-c", "other")
    scene.change("src/a.py", "src/b.py")
    assert scene.commit().returncode == 0
    scene.git("switch", "--quiet", "main")
    scene.change("src/a.py")
    assert scene.commit().returncode == 0
    scene.hold("planner", "src/b.py")
    assert scene.git("merge", "other", agent="builder", ok=False).returncode == 1
    scene.change("src/a.py")

    done = scene.git("commit", "--no-edit", agent="builder", ok=False)

    assert_refused(done, "src/b.py: planner", "git merge --abort")
    assert "git restore" not in done.stderr


def test_patch_from_a_mailbox_that_changes_what_is_held_is_not_committed(scene: Scene) -> None:
    scene.change("src/a.py")
    scene.commit()
    scene.git("format-patch", "--quiet", "-1", "--output", str(scene.base / "patch"))
    scene.git("reset", "--quiet", "--hard", "HEAD~1")
    before = scene.head()
    scene.hold("planner", "src/a.py")

    assert_refused(scene.git("am", str(scene.base / "patch"), agent="builder", ok=False), "git am --abort")
    scene.git("am", "--abort", agent="builder")
    assert (scene.head(), scene.git("status", "--porcelain").stdout) == (before, "")

    scene.release("planner")
    assert "latchboard" not in scene.git("am", str(scene.base / "patch"), agent="builder").stderr


def test_rebase_onto_what_is_held_does_not_begin(scene: Scene) -> None:
    branch(scene, "src/a.py")
    scene.hold("planner", "README")
    before = scene.head()

    done = scene.git("rebase", "main", "other", agent="builder", ok=False)

    assert_refused(done, "this rebase rewrites 1 file held by planner", "Nothing was rebased")
    assert scene.head() == before
    scene.release("planner")
    assert scene.git("rebase", "main", "other", agent="builder").returncode == 0


def test_rebase_of_another_branch_counts_what_lies_between_it_and_here(scene: Scene) -> None:
    branch(scene, "src/b.py")
    scene.git("switch", "--quiet", "-c", "third")
    scene.change("src/a.py")
    scene.commit()
    scene.hold("planner", "src/a.py")

    done = scene.git("rebase", "main", "other", agent="builder", ok=False)

    assert_refused(done, "src/a.py: planner")


def test_rebase_of_everything_names_no_other_side(scene: Scene) -> None:
    scene.hold("planner", "README")

    assert scene.git("rebase", "--root", agent="builder").returncode == 0


# -- what cannot be read ----------------------------------------------------------------------------------------------


def damage(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    record = next((scene.repo / "data/.agent_locks").glob("src__a.py-*.lock"))
    record.write_text("rubbish")


def test_damaged_record_counts_as_held_by_another(scene: Scene) -> None:
    damage(scene)
    scene.change("src/a.py")

    done = scene.commit("builder")

    assert done.returncode != 0
    assert "what cannot be read is not free" in done.stderr
    assert "hooks_failure" in done.stderr


def test_damaged_record_of_another_file_is_nobodys_business(scene: Scene) -> None:
    damage(scene)
    scene.change("src/b.py")

    assert scene.commit("builder").returncode == 0


def test_project_that_wants_it_fails_open(scene: Scene) -> None:
    damage(scene)
    scene.write("latchboard.toml", 'hooks_failure = "open"\n')
    scene.change("src/a.py")

    done = scene.commit("builder")

    assert done.returncode == 0
    assert "It goes on all the same" in done.stderr


def test_person_is_not_stopped_by_damage(scene: Scene) -> None:
    damage(scene)
    scene.change("src/a.py")

    assert scene.commit().returncode == 0


def test_settings_that_cannot_be_read_stop_an_agent(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.write("latchboard.toml", "no [ toml")
    scene.change("src/a.py")

    assert "latchboard.toml is no TOML" in scene.commit("builder").stderr
    assert scene.commit().returncode == 0


def test_folder_that_is_no_store_stops_an_agent(scene: Scene) -> None:
    store = scene.repo / "data/.agent_locks"
    store.rmdir()
    (scene.base / "elsewhere").mkdir()
    store.symlink_to(scene.base / "elsewhere")
    scene.change("src/a.py")

    assert scene.commit("builder").returncode != 0
    assert scene.commit().returncode == 0


def test_no_project_no_guard(bare_scene: Scene) -> None:
    scene = bare_scene.make(board=False)
    scene.change("src/a.py")

    done = scene.commit("builder")

    assert (done.returncode, done.stderr) == (0, "")
    assert not (scene.repo / "data").exists()


def test_guard_that_is_missing_lets_git_go_on_with_a_warning(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")
    scene.guard.unlink()
    folders = [one for one in os.environ["PATH"].split(":") if not os.path.exists(f"{one}/{COMMAND}")]
    GitHooks(HookFolder(str(scene.repo))).install()  # as on a machine where no installation's file can be named

    done = scene.git("commit", "-am", "anything", agent="builder", PATH=":".join(folders))

    assert "is not on PATH" in done.stderr


@pytest.mark.parametrize("script", ["#!/no/such/interpreter\n", "#!/bin/sh\nexit 1\n", "#!/bin/sh\nexit 127\n"])
def test_guard_that_is_broken_lets_git_go_on_with_a_warning(scene: Scene, script: str) -> None:
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")
    scene.guard.write_text(script)

    done = scene.commit("builder")

    assert done.returncode == 0
    assert "failed (status" in done.stderr


def test_mistake_in_the_guard_refuses_only_what_has_a_lock_record(scene: Scene) -> None:
    scene.hold("planner", "src/a.py")
    broken = "import latchboard.surface.git.held as held; held._met = None\n"
    scene.guard.write_text(scene.guard.read_text().replace("if __name__", f"{broken}if __name__"))

    scene.change("src/b.py")
    done = scene.commit("builder")
    assert (done.returncode, "no file in this has a lock" in done.stderr) == (0, True)

    scene.change("src/a.py")
    done = scene.commit("builder")
    assert (done.returncode, "this is a fault of the guard" in done.stderr) == (1, True)
    assert scene.commit().returncode == 0


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL])
def test_guard_that_crashes_lets_git_go_on_with_a_warning(scene: Scene, number: int) -> None:
    scene.change("src/a.py")
    scene.guard.write_text(f"#!/bin/sh\nulimit -c 0\nkill -{int(number)} $$\n")

    done = scene.commit()

    assert done.returncode == 0
    assert f"failed (status {128 + number}): what others hold was not looked at" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_guard_that_is_killed_leaves_a_usable_repository(scene: Scene, number: int) -> None:
    scene.change("src/a.py")
    good = scene.guard.read_text()
    scene.guard.write_text(f"#!/bin/sh\nkill -{int(number)} $$\n")

    assert scene.commit("builder").returncode != 0

    scene.guard.write_text(good)
    assert scene.commit("builder").returncode == 0


@pytest.mark.parametrize("words", [(), ("pre-",), ("pre-commit\n",), ("--install", "--force"), ("--", "pre-commit")])
def test_wrong_call_is_told(scene: Scene, words: tuple[str, ...]) -> None:
    done = scene.run_guard(*words)

    assert done.returncode == 2
    assert "usage: latchboard-git-hook" in done.stderr


def test_help(scene: Scene) -> None:
    assert scene.run_guard("--help").stdout.startswith("usage: latchboard-git-hook pre-commit")
