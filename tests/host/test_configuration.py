"""Settings from a file and from the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard import Latchboard, find_root
from latchboard.credential import profile
from latchboard.errors import CoordinationError, UsageError
from latchboard.host.configuration import read_settings
from latchboard.rules import worker_role
from latchboard.settings import Settings


def test_without_a_file_every_setting_is_its_default(tmp_path: Path) -> None:
    settings = read_settings(str(tmp_path), {})

    assert all(getattr(settings, name) == getattr(Settings(), name) for name in Settings.reasons())


def test_the_file_sets_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / "latchboard.toml").write_text("lease_ttl_s = 7200\nshared = true\n")

    settings = read_settings(str(tmp_path), {"LATCHBOARD_LEASE_TTL_S": "60", "LATCHBOARD_DURABLE": "true"})

    assert (settings.lease_ttl_s, settings.shared, settings.durable) == (60.0, True, True)


def test_a_board_reads_the_file_of_its_root(tmp_path: Path) -> None:
    (tmp_path / "latchboard.toml").write_text("lease_ttl_s = 5\n")

    assert Latchboard(tmp_path).settings.lease_ttl_s == 5.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lease_ttl = 5", "unknown setting lease_ttl"),
        ("lease_ttl_s = 'long'", "lease_ttl_s is a number"),
        ("lease_ttl_s = -1", "lease_ttl_s is a number above zero"),
        ("shared = 1", "shared is true or false"),
        ("shared = ", "is no TOML"),
        ("journal_bytes_max = 1.5", "whole number"),
    ],
)
def test_a_wrong_file_is_refused_and_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "latchboard.toml").write_text(text)

    with pytest.raises(UsageError, match=said) as caught:
        read_settings(str(tmp_path), {})

    assert "latchboard.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("roles.builder", 'store = "etcd://one:2379/p"'),
        ("roles.builder", 'hooks_failure = "open"'),
        ("roles.builder.env", 'store = "etcds://one:2379/p"'),
        ("credential.github", 'store = "etcd://one:2379/p"'),
    ],
)
def test_a_setting_that_was_added_below_a_table_is_refused_and_not_that_tables(
    tmp_path: Path, table: str, line: str
) -> None:
    """Whoever appends the store's address to a file that ends in a table would go on with the folder."""
    (tmp_path / "latchboard.toml").write_text(f"shared = false\n\n[{table}]\n{line}\n")

    with pytest.raises(UsageError, match=rf"latchboard.toml: {line.split()[0]} stands in \[{table}\]") as caught:
        read_settings(str(tmp_path), {})

    assert caught.value.hint == "put it above the first [table]"


def test_what_a_table_may_hold_is_refused_in_none(tmp_path: Path) -> None:
    (tmp_path / "latchboard.toml").write_text("")
    read = read_settings(str(tmp_path), {})
    own = {"credential.a": (*profile._TEXTS, *profile._SECONDS), "roles.builder": worker_role._KEYS}
    for table, names in own.items():
        lines = "".join(f'{name} = "x"\n' for name in names)
        (tmp_path / "latchboard.toml").write_text(f"[{table}]\n{lines}")

        assert repr(read_settings(str(tmp_path), {})) == repr(read)


def test_what_a_table_itself_calls_as_a_setting_is_called_stays_its_own(tmp_path: Path) -> None:
    roles = '[roles.builder]\nlease_ttl_s = 60\n[roles.builder.env]\nstore = "x"\ndurable = "1"\n'
    (tmp_path / "latchboard.toml").write_text(f'{roles}[credential.a]\nstore = "file"\n')

    assert repr(read_settings(str(tmp_path), {})) == repr(Settings())


@pytest.mark.parametrize(("name", "text"), [("LATCHBOARD_SHARED", "perhaps"), ("LATCHBOARD_LEASE_TTL_S", "an hour")])
def test_a_wrong_variable_is_refused_and_named(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(UsageError, match=name):
        read_settings(str(tmp_path), {name: text})


def test_a_variable_that_is_no_setting_is_somebody_elses(tmp_path: Path) -> None:
    others = {"LATCHBOARD_TOKEN": "7", "LATCHBOARD_EVENT": "lock.acquired", "LATCHBOARD_LEASE_TTL_DAYS": "a week"}

    assert repr(read_settings(str(tmp_path), others)) == repr(Settings())


def test_a_folder_in_place_of_the_file_is_an_error_and_not_a_default(tmp_path: Path) -> None:
    (tmp_path / "latchboard.toml").mkdir()

    with pytest.raises(CoordinationError):
        read_settings(str(tmp_path), {})


def test_a_pipe_in_place_of_the_file_is_an_error_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "latchboard.toml")

    with pytest.raises(UsageError, match="is no file"):
        read_settings(str(tmp_path), {})


@given(st.binary(max_size=200))
def test_any_bytes_are_settings_or_a_clear_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("project")
    (folder / "latchboard.toml").write_bytes(data)

    try:
        assert isinstance(read_settings(str(folder), {}), Settings)
    except UsageError as exc:
        assert "latchboard.toml" in str(exc)


def test_work_trees_share_a_board_only_when_the_setting_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    main, other = tmp_path / "main", tmp_path / "other"
    main.mkdir()
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(main)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    subprocess.run([*git, "worktree", "add", "-q", str(other)], check=True, capture_output=True)

    told_apart = find_root(other)
    monkeypatch.setenv("LATCHBOARD_WORKTREES_SHARED", "true")
    shared = find_root(other)

    assert (told_apart, shared) == (str(other), str(main))


def test_lists_come_from_every_place_and_the_nearer_one_wins(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.latchboard]\nsingleton_types = ['a']\nshared = true\n")
    assert read_settings(str(tmp_path), {}).singleton_types == ("a",)

    (tmp_path / "latchboard.toml").write_text("singleton_types = ['b', 'c']\n")
    found = read_settings(str(tmp_path), {})
    assert (found.singleton_types, found.shared) == (("b", "c"), True)

    assert read_settings(str(tmp_path), {"LATCHBOARD_SINGLETON_TYPES": "d, e,"}).singleton_types == ("d", "e")
    assert read_settings(str(tmp_path), {"LATCHBOARD_SINGLETON_TYPES": ""}).singleton_types == ()


@pytest.mark.parametrize("text", ["singleton_types = 5", "singleton_types = 'a'", "singleton_types = ['a', 5]"])
def test_what_is_no_list_of_names_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.latchboard]\n{text}\n")

    with pytest.raises(UsageError, match=r"pyproject\.toml: setting singleton_types is a list of names"):
        read_settings(str(tmp_path), {})


def test_a_project_file_without_our_table_is_not_even_read_as_toml(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("this is = no TOML =\n")

    assert read_settings(str(tmp_path), {}).shared is False
