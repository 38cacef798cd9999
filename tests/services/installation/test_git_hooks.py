"""Installing and removing: what was there runs first and comes back byte for byte."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latchboard.errors import StoreError, UsageError
from latchboard.host.git import GitFailed
from latchboard.host.hook_folder import HookFolder
from latchboard.installation import GitHooks, HookChange
from latchboard.rules.git_hook import NAMES
from tests.surface.git.scene import Scene

pytestmark = pytest.mark.process


@pytest.fixture
def bare_scene(tmp_path: Path) -> Scene:
    """Nothing but a git and a guard."""
    return Scene(tmp_path)


@pytest.fixture
def plain(bare_scene: Scene) -> Scene:
    """A repository with a board and without our hooks."""
    return bare_scene.make(guards=False)


def at(folder: Path) -> GitHooks:
    return GitHooks(HookFolder(str(folder)))


def hooks(scene: Scene) -> Path:
    return scene.repo / ".git/hooks"


def picture(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder, with its mode and content; of a link, where it leads."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            os.readlink(path).encode() if path.is_symlink() else path.read_bytes(),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def put(path: Path, text: str, mode: int = 0o755) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def kinds(changes: list[HookChange]) -> list[str]:
    return [one.kind for one in changes]


def test_what_is_written_can_be_run_and_does_not_change_when_it_is_written_again(plain: Scene) -> None:
    assert kinds(at(plain.repo).install()) == ["made"] * len(NAMES)

    before = picture(hooks(plain))
    assert all(os.access(hooks(plain) / name, os.X_OK) for name in NAMES)
    assert at(plain.repo).install() == []
    assert at(plain.repo / "src").install() == []
    assert picture(hooks(plain)) == before


def test_removing_leaves_what_was_there_before(plain: Scene) -> None:
    put(hooks(plain) / "pre-commit", "#!/bin/sh\necho mine\n", 0o750)
    put(hooks(plain) / "pre-push", "echo not executable\n", 0o640)
    (hooks(plain) / "post-merge").symlink_to("../../src/a.py")
    before = picture(plain.repo)

    assert "kept" in kinds(at(plain.repo).install())
    assert picture(plain.repo) != before
    at(plain.repo).remove()

    assert picture(plain.repo) == before
    assert at(plain.repo).remove() == []


def test_dry_run_says_the_same_and_does_nothing(plain: Scene) -> None:
    put(hooks(plain) / "pre-commit", "#!/bin/sh\n")
    before = picture(plain.repo)

    told = [repr(one) for one in at(plain.repo).install(dry_run=True)]
    assert picture(plain.repo) == before
    assert [repr(one) for one in at(plain.repo).install()] == told

    after = picture(plain.repo)
    told = [repr(one) for one in at(plain.repo).remove(dry_run=True)]
    assert picture(plain.repo) == after
    assert [repr(one) for one in at(plain.repo).remove()] == told


def test_hook_that_was_there_runs_first_and_its_status_counts(plain: Scene) -> None:
    seen = plain.base / "seen"
    put(hooks(plain) / "pre-commit", f'#!/bin/sh\necho "$#" >>{seen}\n[ ! -e {plain.base}/no ]\n')
    at(plain.repo).install()
    plain.hold("planner", "src/a.py")

    plain.change("src/b.py")
    assert plain.commit("builder").returncode == 0
    plain.change("src/a.py")
    done = plain.commit("builder")
    assert (done.returncode != 0, "latchboard: refused" in done.stderr) == (True, True)
    (plain.base / "no").touch()
    done = plain.commit("planner")
    assert (done.returncode != 0, "latchboard" in done.stderr) == (True, False)
    assert seen.read_text() == "0\n0\n0\n"


def test_what_an_earlier_hook_adds_is_looked_at(plain: Scene) -> None:
    put(hooks(plain) / "pre-commit", "#!/bin/sh\necho formatted >src/a.py; git add src/a.py\n")
    at(plain.repo).install()
    plain.hold("planner", "src/a.py")
    plain.change("src/b.py")

    assert "src/a.py: planner" in plain.commit("builder").stderr


def test_hook_behind_gets_its_arguments_and_gives_its_status(plain: Scene) -> None:
    seen = plain.base / "seen"
    put(hooks(plain) / "post-checkout", f'#!/bin/sh\necho "$3" >>{seen}\nexit 3\n')
    at(plain.repo).install()

    assert plain.git("switch", "--quiet", "-c", "other", ok=False).returncode == 1  # git makes 1 of any
    assert seen.read_text() == "1\n"


def test_hook_of_a_push_gets_what_git_tells_byte_for_byte(plain: Scene) -> None:
    seen, bare = plain.base / "seen", plain.base / "remote.git"
    plain.git("init", "--quiet", "--bare", str(bare))
    put(hooks(plain) / "pre-push", f'#!/bin/sh\necho "$1 $2" >{seen}\ncat >>{seen}\n')
    at(plain.repo).install()

    plain.git("push", "--quiet", str(bare), "main")

    head, none = plain.head(), "0" * 40
    assert seen.read_text() == f"{bare} {bare}\nrefs/heads/main {head} refs/heads/main {none}\n"


def test_push_that_an_earlier_hook_refuses_is_refused(plain: Scene) -> None:
    bare = plain.base / "remote.git"
    plain.git("init", "--quiet", "--bare", str(bare))
    put(hooks(plain) / "pre-push", "#!/bin/sh\nexit 9\n")  # reads nothing
    at(plain.repo).install()

    assert plain.git("push", "--quiet", str(bare), "main", ok=False).returncode != 0


def test_hook_that_is_not_executable_is_kept_and_not_run(plain: Scene) -> None:
    put(hooks(plain) / "pre-commit", "#!/bin/sh\nexit 1\n", 0o644)
    at(plain.repo).install()
    plain.change("src/a.py")

    assert plain.commit("builder").returncode == 0


def test_older_version_of_ours_is_replaced(plain: Scene) -> None:
    at(plain.repo).install()
    path = hooks(plain) / "pre-commit"
    good = path.read_bytes()
    put(path, good.decode().replace("exit 0", "exit 1"))

    assert kinds(at(plain.repo).install()) == ["updated"]
    assert path.read_bytes() == good


def test_what_others_wrote_into_our_hook_stays(plain: Scene) -> None:
    at(plain.repo).install()
    path = hooks(plain) / "pre-commit"
    put(path, path.read_text().replace("#!/bin/sh\n", "#!/bin/sh\necho theirs\n") + "echo and this\n")

    assert at(plain.repo).install() == []
    at(plain.repo).remove()

    assert path.read_text() == "#!/bin/sh\necho theirs\necho and this\n"


def test_hook_that_lost_the_end_of_our_part_is_told_and_not_touched(plain: Scene) -> None:
    at(plain.repo).install()
    path = hooks(plain) / "pre-commit"
    put(path, path.read_text().replace("# <<< latchboard\n", "echo theirs\n"))
    before = path.read_bytes()

    assert [(one.kind, one.path) for one in at(plain.repo).install()] == [("told", str(path))]
    assert "told" in kinds(at(plain.repo).remove())

    assert path.read_bytes() == before
    assert [one for one in picture(hooks(plain)) if not one.endswith(".sample")] == ["pre-commit"]


def test_large_hook_that_others_wrote_into_keeps_all_of_it(plain: Scene) -> None:
    at(plain.repo).install()
    path = hooks(plain) / "pre-commit"
    rest = "# theirs\n" * 200_000
    put(path, path.read_text().replace("exit 0", "exit 1") + rest)

    assert kinds(at(plain.repo).install()) == ["updated"]
    at(plain.repo).remove()

    assert path.read_text() == f"#!/bin/sh\n{rest}"


def test_folder_in_the_place_of_a_hook_is_an_error_and_stays(plain: Scene) -> None:
    (hooks(plain) / "pre-commit").mkdir(parents=True)

    with pytest.raises(StoreError, match="pre-commit"):
        at(plain.repo).install()

    assert (hooks(plain) / "pre-commit").is_dir()


def test_what_others_wrote_is_kept_beside_a_hook_that_comes_back(plain: Scene) -> None:
    put(hooks(plain) / "pre-commit", "#!/bin/sh\necho mine\n")
    at(plain.repo).install()
    path = hooks(plain) / "pre-commit"
    put(path, path.read_text() + "echo theirs\n")

    at(plain.repo).remove()

    assert path.read_text() == "#!/bin/sh\necho mine\n"
    assert (hooks(plain) / "pre-commit.added-to-latchboard").read_text() == "#!/bin/sh\necho theirs\n"

    at(plain.repo).install()
    put(path, path.read_text() + "echo later\n")
    at(plain.repo).remove()

    assert (hooks(plain) / "pre-commit.added-to-latchboard").read_text() == "#!/bin/sh\necho theirs\n"
    assert (hooks(plain) / "pre-commit.added-to-latchboard-1").read_text() == "#!/bin/sh\necho later\n"


def test_kept_hook_of_an_earlier_time_is_not_overwritten(plain: Scene) -> None:
    put(hooks(plain) / "pre-commit", "new")
    put(hooks(plain) / "pre-commit.before-latchboard", "old")
    before = picture(hooks(plain))

    told = [one for one in at(plain.repo).install() if one.kind == "told"]

    assert ["move it away" in one.text for one in told] == [True]
    assert {name: data for name, data in picture(hooks(plain)).items() if name in before} == before


def test_killed_between_its_steps_it_is_completed_by_doing_it_again(plain: Scene) -> None:
    path, kept = hooks(plain) / "pre-commit", hooks(plain) / "pre-commit.before-latchboard"
    put(path, "#!/bin/sh\necho mine\n")
    before = picture(hooks(plain))
    os.link(path, kept)  # killed behind the first step of installing
    put(hooks(plain) / "pre-push.latchboard.tmp", "half of it")

    at(plain.repo).install()
    assert b"latchboard" in path.read_bytes()
    at(plain.repo).remove()
    assert picture(hooks(plain)) == before

    os.link(path, kept)
    assert kinds(at(plain.repo).remove()) == ["restored"]
    assert picture(hooks(plain)) == before


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


@pytest.mark.parametrize("what", ["install", "remove"])
def test_killed_before_any_step_the_old_hook_or_the_new_one_is_there(
    plain: Scene, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hooks(plain) / "pre-commit"
    put(path, "#!/bin/sh\necho mine\n", 0o750)
    before = picture(hooks(plain))
    steps_left = 0

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **options: Any) -> Any:
            nonlocal steps_left
            if steps_left == 0:
                raise Killed
            steps_left -= 1
            return real(*words, **options)

        return call

    for count in range(200):
        if what == "remove":
            at(plain.repo).install()
        there, steps_left = at(plain.repo), count
        with monkeypatch.context() as patched:
            for name in ("link", "rename", "open", "unlink", "fchmod"):
                patched.setattr(os, name, dying(getattr(os, name)))
            try:
                getattr(there, what)()
            except Killed:
                is_done = False
            else:
                is_done = True
        assert path.read_bytes() == before["pre-commit"][1] or b"latchboard" in path.read_bytes()
        assert path.stat().st_mode & 0o100
        if count % 2:
            at(plain.repo).install()
        at(plain.repo).remove()
        assert picture(hooks(plain)) == before
        if is_done:
            break
    assert count >= len(NAMES)


def test_repository_without_a_hooks_folder_gets_one_and_loses_it_again(plain: Scene) -> None:
    shutil.rmtree(hooks(plain))

    at(plain.repo).install()
    assert (hooks(plain) / "pre-commit").exists()
    assert at(plain.repo).install() == []
    at(plain.repo).remove()

    assert not hooks(plain).exists()


@pytest.mark.parametrize("elsewhere", [".husky/_", ".githooks"])
def test_removing_finds_what_was_written_before_git_was_told_another_folder(plain: Scene, elsewhere: str) -> None:
    put(hooks(plain) / "pre-commit", "#!/bin/sh\necho mine\n")
    before = picture(hooks(plain))
    at(plain.repo).install()
    plain.git("config", "core.hooksPath", elsewhere)
    at(plain.repo).install()

    at(plain.repo).remove()

    assert picture(hooks(plain)) == before
    assert not (plain.repo / elsewhere).exists()
    assert at(plain.repo).remove() == []


def test_hooks_of_a_linked_work_tree_are_those_of_the_repository(plain: Scene) -> None:
    plain.git("worktree", "add", "--quiet", str(plain.base / "linked"))

    at(plain.base / "linked").install()

    assert (hooks(plain) / "pre-commit").exists()
    assert at(plain.repo).install() == []


def test_folder_that_other_repositories_use_is_left_alone(plain: Scene) -> None:
    shared = plain.base / "all my hooks"
    shared.mkdir()
    plain.git("config", "core.hooksPath", str(shared))

    [told] = at(plain.repo).install()

    assert told.kind == "told"
    assert "shared with other repositories" in told.text
    assert 'latchboard-git-hook pre-commit "$@"' in told.text
    assert list(shared.iterdir()) == []
    assert at(plain.repo).remove() == []


def test_husky_is_told_from_its_folder(plain: Scene) -> None:
    plain.git("config", "core.hooksPath", ".husky/_")
    put(plain.repo / ".husky/_/pre-commit", "#!/usr/bin/env sh\n. husky.sh\n")
    before = picture(plain.repo)

    [told] = at(plain.repo).install()

    assert '.husky/pre-commit:  latchboard-git-hook pre-commit "$@"' in told.text
    assert picture(plain.repo) == before


@pytest.mark.parametrize(
    ("manager", "text", "advice"),
    [
        ("lefthook", 'call_lefthook run "pre-commit" "$@"\n', "run: latchboard-git-hook pre-commit {0}"),
        (
            "pre-commit",
            "# File generated by pre-commit: https://pre-commit.com\n",
            "entry: latchboard-git-hook pre-commit",
        ),
    ],
)
def test_hook_of_a_manager_is_left_to_it(plain: Scene, manager: str, text: str, advice: str) -> None:
    put(hooks(plain) / "pre-commit", f"#!/bin/sh\n{text}")
    before = (hooks(plain) / "pre-commit").read_bytes()

    changes = at(plain.repo).install()

    [told] = [one for one in changes if one.kind == "told"]
    assert told.text.startswith(f"{manager} runs the hooks here")
    assert advice in told.text
    assert (hooks(plain) / "pre-commit").read_bytes() == before
    assert (hooks(plain) / "post-commit").exists(), "what the manager does not write is ours"
    at(plain.repo).remove()
    assert (hooks(plain) / "pre-commit").read_bytes() == before


def test_no_repository_and_a_bare_one(bare_scene: Scene) -> None:
    with pytest.raises(GitFailed, match="is in no git repository"):
        at(bare_scene.base).install()

    bare_scene.git("init", "--quiet", "--bare", str(bare_scene.repo), at=bare_scene.base)
    with pytest.raises(UsageError, match="bare repository"):
        at(bare_scene.repo).install()


def test_folder_whose_name_has_anything_in_it(bare_scene: Scene) -> None:
    bare_scene.repo = bare_scene.base / 'it\'s $HOME "quoted"\nand two lines'
    scene = bare_scene.make()
    scene.hold("planner", "src/a.py")
    scene.change("src/a.py")

    assert "latchboard: refused" in scene.commit("builder").stderr


def test_scripts_are_plain_shell(plain: Scene) -> None:
    at(plain.repo).install()

    for name in NAMES:
        assert subprocess.run(["sh", "-n", str(hooks(plain) / name)], check=False).returncode == 0


def test_command_line_says_what_it_did(plain: Scene) -> None:
    assert "would be made: " in plain.run_guard("--install", "--dry-run").stdout
    assert plain.run_guard("--install").stdout.count("made: ") == len(NAMES)
    assert plain.run_guard("--install").stdout == "nothing to do\n"
    assert plain.run_guard("--remove").stdout.count("removed: ") == len(NAMES)
    assert plain.run_guard("--install", at=plain.base).returncode == 1
