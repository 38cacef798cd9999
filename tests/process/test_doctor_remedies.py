"""Remedies work when they are typed: from any folder, whatever stands there, and for whoever is told (K25)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latchboard.compose import doctoring
from latchboard.doctor import daemon, mending, storage, tokens
from latchboard.host.place import Place
from latchboard.rules import serving
from latchboard.rules.serving import State
from latchboard.store.files.damage import Health
from latchboard.store.files.repair import Step
from tests.process import test_doctor_findings as scenes
from tests.process.ward import Ward

pytestmark = pytest.mark.process


@pytest.mark.parametrize("name", ["src/odd.py", "-x.py", "--force", "src/", "a b.py", "src/*.py"])
def test_a_lock_of_no_kind_is_broken_from_any_folder(ward: Ward, name: str) -> None:
    (ward.root / "src").mkdir()
    board = ward.fill()
    board.store.transact(lambda view: view.put(f"locks/{name}", {"name": name}), who="planner")
    board.close()
    (found,) = ward.found("F-105")

    words = ["bash", "-c", found.remedy]
    done = subprocess.run(words, cwd=ward.root / "src", capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done
    assert ward.found("F-105") == []


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "more").touch()


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _open(path: Path) -> None:
    path.chmod(0o640)


@pytest.mark.parametrize("damage", [_folder, _link, _fifo, _open])
def test_what_stands_in_the_place_of_the_daemons_token_goes(ward: Ward, damage: Callable[[Path], None]) -> None:
    scenes.open_token(ward)
    (ward.registry / "serve.token").chmod(0o600)
    assert ward.found("F-121") == []
    damage(ward.registry / "serve.token")
    (found,) = ward.found("F-121")

    assert ward.run(found.remedy).returncode == 0

    assert ward.found("F-121") == []


def test_a_token_that_another_user_keeps_for_himself_is_nobodys_trouble(ward: Ward, require: Any) -> None:
    require(os.geteuid() == 0, "root, to give a file away")
    scenes.open_token(ward)
    token = ward.registry / "serve.token"
    token.chmod(0o600)
    os.chown(token, 41003, 41003)

    seen = tokens.secret(str(ward.root), str(token), Place()).look(0.0)

    assert seen.findings == []
    assert "41003" in seen.text


@pytest.mark.parametrize("damage", [_folder, _link, _fifo, _open])
def test_what_stands_in_the_place_of_a_credential_makes_room_for_a_log_in(
    ward: Ward, damage: Callable[[Path], None]
) -> None:
    path = scenes.configured(ward)
    damage(path)

    for _ in range(2):
        for one in ward.look().findings:
            assert ward.run(one.remedy).returncode == 0, one

    assert ward.look().findings == []


def test_a_limit_of_the_system_is_raised_and_never_lowered(ward: Ward) -> None:
    class Full(Place):
        def silence(self, folder: str) -> str:
            return "fs.inotify.max_user_watches"

        def limit(self, name: str) -> int:
            return {"fs.inotify.max_user_watches": 1_048_576}[name]

    board = ward.fill()
    assert board.files is not None

    (found,) = storage.notification(doctoring._Shelf(board, board.files), Full()).look(0.0).findings

    assert found.remedy == "sysctl -w fs.inotify.max_user_watches=2097152"
    assert Place().limit("fs.inotify.max_user_watches") > 0
    assert Place().limit("fs.inotify.no_such_limit") == 0


def test_whether_hooks_are_in_place_is_said_only_where_there_are_some(ward: Ward) -> None:
    def told() -> str:
        return next(one.text for one in ward.look().standings if one.name == "hooks").partition(" (")[0]

    assert told() == "none is set up, and none is missed"

    (ward.root / ".claude").mkdir()
    assert told() == "1 finding"

    assert ward.run("latchboard init --client claude --no-git --no-mcp").returncode == 0
    assert told() == "every hook of claude is in place"


class Running:
    """A daemon as somebody would see it."""

    token_path = ""

    def __init__(self, *, version: str, standing: str = "running", answers: bool = True) -> None:
        self._version, self._standing, self._answers = version, standing, answers

    def record(self) -> tuple[bool, State | None]:
        return True, State({"pid": 7}, port=9400, version=self._version, started_at="now")  # type: ignore[typeddict-item]

    def standing(self, state: State) -> str:
        return self._standing

    def registered(self) -> int | None:
        return 7 if self._standing == "running" else None

    def is_near(self, state: State) -> bool:
        return True

    def ask(self, state: State, within_s: float) -> serving.Health | None:
        return serving.Health(self._version, 1, 7, "now") if self._answers else None

    def orphans(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        return [], []


@pytest.mark.parametrize(
    ("server", "expect"),
    [
        (Running(version="0.0.1"), ("F-004", "latchboard daemon restart --root /r")),
        (Running(version="dev"), ("F-004", "latchboard daemon restart --root /r")),
        (Running(version="999.0"), ("F-004", "python3 -m pip install -U latchboard")),
        (
            Running(version="0.1.0", standing="unknowable", answers=False),
            ("F-006", "latchboard daemon status --root /r"),
        ),
    ],
)
def test_what_a_restart_would_make_worse_or_cannot_do_has_another_remedy(
    server: Running, expect: tuple[str, str]
) -> None:
    """A newer daemon stays for whoever starts one; what cannot be judged from here cannot be ended from here."""
    findings = daemon.daemon("/r", server).look(0.0).findings

    assert [(one.id, one.remedy) for one in findings] == [expect]


def test_a_machine_lock_without_a_record_hides_no_other(ward: Ward) -> None:
    scenes.machine_lock(ward, age_s=120)
    settings = ward.root / "latchboard.toml"
    settings.write_text(settings.read_text().replace("github", "another") + settings.read_text())

    (found,) = ward.found("F-003")

    assert found.about["path"].endswith("github.json.lock")


def test_a_machine_lock_that_is_not_old_is_no_matter_of_unsticking(ward: Ward) -> None:
    scenes.machine_lock(ward, age_s=10)

    for dry_run in (True, False):
        assert doctoring.mend(ward.board(), "unstick-lock", dry_run=dry_run) == []


class Mended:
    """A shop where somebody else was quicker."""

    def look(self) -> Any:
        return Health()

    def plan(self, found: list[Any]) -> list[Any]:
        return [Step("restore", "a.lock", "locks/a")]

    def apply(self, steps: list[Any], name: str) -> tuple[str, list[Any]]:
        return "/kept", []


def test_what_was_right_by_then_is_not_told_as_done() -> None:
    (deed,) = mending.fix(Mended(), "now", dry_run=False)

    assert (deed.is_done, deed.why_not, deed.kept) == (False, "it was right by then", "/kept")


def test_an_expired_credential_that_can_be_refreshed_is_no_finding(ward: Ward) -> None:
    scenes.configured(ward, expires_at="2026-01-01T00:00:00Z")

    assert ward.look().findings == []


def test_a_credential_of_a_newer_program_is_told_as_that(ward: Ward) -> None:
    scenes.configured(ward, schema_version=99)

    (found,) = ward.look().findings

    assert (found.id, found.about["state"]) == ("F-001", "newer")


def test_a_keyring_is_not_opened(ward: Ward) -> None:
    scenes.configured(ward).unlink()
    settings = ward.root / "latchboard.toml"
    settings.write_text(settings.read_text() + 'store = "keyring"\n')

    report = ward.look()

    assert report.findings == []
    assert "github in the keyring, which is not opened" in [one.text for one in report.standings]


def test_a_registry_that_a_group_may_change_is_told(ward: Ward) -> None:
    ward.registry.mkdir(parents=True)
    ward.registry.chmod(0o775)

    assert [one.id for one in ward.look().findings] == ["F-108"]


def test_a_store_of_another_format_is_for_a_newer_program(ward: Ward) -> None:
    scenes.other_format(ward)

    assert ward.found("F-106")[0].remedy == "python3 -m pip install -U latchboard"


def test_a_daemon_at_another_machines_address_is_not_called_silent() -> None:
    class Far(Running):
        def is_near(self, state: State) -> bool:
            return False

    assert daemon.daemon("/r", Far(version="0.1.0", answers=False)).look(0.0).findings == []
