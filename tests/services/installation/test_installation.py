"""Setting up and taking out: once, completely, and without a trace; what cannot be changed is told and left."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from latchboard.installation import Choice
from latchboard.rules import installation as rules
from latchboard.rules import marked
from latchboard.rules.client import CLIENTS, client
from latchboard.settings import Settings

ALL = tuple(one.name for one in CLIENTS)
SETTINGS = ".claude/settings.json"


def claude_hooks(scene: Any, name: str = SETTINGS) -> list[Any]:
    return rules.hooks_of((scene.root / name).read_text(), client("claude"))


# -- which clients ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", CLIENTS, ids=lambda one: one.name)
def test_client_is_found_by_its_files_its_home_or_its_program(one: Any, another: Callable[[str], Any]) -> None:
    def sign(scene: Any) -> str:
        return next(found.sign for found in scene().find() if found.client == one.name)

    nowhere, here, at_home, on_path = (another(name) for name in ("nowhere", "here", "home", "path"))
    (here.root / one.signs[0]).mkdir()
    at_home.machine.home.add(one.home_signs[-1])
    on_path.machine.programs[one.programs[-1]] = "/srv/bin/program"

    assert sign(nowhere) == ""
    assert sign(here) == one.signs[0]
    assert sign(at_home) == f"~/{one.home_signs[-1]}"
    assert sign(on_path) == "/srv/bin/program"


def test_clients_that_are_found_are_set_up_and_no_others(scene: Any) -> None:
    scene.machine.home.add(".codex")

    assert scene.set_up() == []

    assert set(scene.tree()) == {".codex", ".codex/hooks.json", ".codex/config.toml", "AGENTS.md"}


def test_where_no_client_is_found_nothing_is_written(scene: Any) -> None:
    assert scene.set_up() == []
    assert scene.tree() == {}
    assert not (scene.root / "data/.agent_locks/installed").exists()


def test_parts_that_are_not_wanted_are_left_out(scene: Any) -> None:
    scene.set_up("claude", mcp=False, instructions=False)

    assert set(scene.tree()) == {".claude", SETTINGS}


def test_no_server_is_entered_that_could_not_run(scene: Any) -> None:
    scene.machine.packages.clear()

    scene.set_up("claude", "codex")

    assert not {".mcp.json", ".codex/config.toml"} & set(scene.tree())


def test_hooks_fail_open_where_the_settings_say_so(scene: Any) -> None:
    scene.settings = Settings(hooks_failure="open")

    scene.set_up("claude")

    assert "onFailure" not in (scene.root / SETTINGS).read_text()


# -- twice, and back --------------------------------------------------------------------------------------------------


def test_second_time_nothing_is_touched(scene: Any) -> None:
    scene.write(SETTINGS, '{"model": "x"}')
    (scene.root / ".git").mkdir()
    scene.set_up(*ALL)
    tree, times = scene.tree(), scene.times()
    kept = {path: path.stat().st_mtime_ns for path in (scene.root / "data").rglob("*")}

    assert scene().plan(Choice(ALL)) == []
    scene.set_up(*ALL)

    assert (scene.tree(), scene.times()) == (tree, times)
    assert {path: path.stat().st_mtime_ns for path in (scene.root / "data").rglob("*")} == kept


def test_taking_out_leaves_no_trace(scene: Any) -> None:
    (scene.root / ".git").mkdir()
    scene.write(".gitignore", "*.pyc")
    scene.write(SETTINGS, '{\n   "hooks": { }\n}').chmod(0o640)
    scene.write("AGENTS.md", "# Mine")
    before = scene.tree()

    scene.set_up(*ALL)
    assert scene.tree() != before
    assert scene.take_out() == []

    assert scene.tree() == before
    assert (scene.root / SETTINGS).stat().st_mode & 0o777 == 0o640
    assert [path.name for path in (scene.root / "data/.agent_locks/installed").iterdir()] == ["turn"]
    assert scene.take_out() == []
    assert scene.tree() == before


def test_file_that_was_there_and_said_nothing_is_there_again(scene: Any) -> None:
    scene.write(SETTINGS, "{}\n")
    scene.write("CLAUDE.md", "\n")
    scene.set_up("claude")
    settings = scene.root / SETTINGS
    settings.write_text(json.dumps(json.loads(settings.read_text()), indent=4))  # somebody's formatter
    (scene.root / "CLAUDE.md").write_text(f"\n{(scene.root / 'CLAUDE.md').read_text()}")

    assert scene.take_out() == []

    assert settings.read_text() == "{}"
    assert (scene.root / "CLAUDE.md").read_text().strip() == ""


def test_what_somebody_changed_since_stays_and_ours_goes(scene: Any) -> None:
    scene.write(SETTINGS, '{"hooks": {"Stop": []}, "model": "x"}')
    scene.write("AGENTS.md", "# Mine\n")
    scene.set_up("claude")
    said = json.loads((scene.root / SETTINGS).read_text())
    said["hooks"]["Stop"].insert(0, {"hooks": [{"type": "command", "command": "mine"}]})
    scene.write(SETTINGS, json.dumps(said))
    scene.write("AGENTS.md", (scene.root / "AGENTS.md").read_text() + "# Later\n")
    scene.write(".mcp.json", (scene.root / ".mcp.json").read_text().replace("{\n  ", '{\n  "mine": 1,\n  ', 1))

    assert scene.take_out() == []

    assert json.loads((scene.root / SETTINGS).read_text()) == {
        "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "mine"}]}]},
        "model": "x",
    }
    assert (scene.root / "AGENTS.md").read_text() == "# Mine\n# Later\n"
    assert json.loads((scene.root / ".mcp.json").read_text()) == {"mine": 1}
    assert not (scene.root / "CLAUDE.md").exists()


def test_what_was_there_before_is_known_after_a_change_and_a_second_set_up(scene: Any) -> None:
    scene.write(SETTINGS, '{ "model" : "x" }')
    scene.set_up("claude", instructions=False)
    scene.write(SETTINGS, (scene.root / SETTINGS).read_text().replace('"x"', '"y"'))

    scene.machine.prefix = ["/srv/bin"]
    local = client("claude").local_file
    scene.set_up("claude", instructions=False)
    scene.machine.prefix = []
    scene.set_up("claude", instructions=False)

    assert not (scene.root / local).exists()
    scene.take_out()
    assert scene.tree() == {".claude": None, SETTINGS: b'{ "model" : "y" }'}


def test_entries_from_another_clone_go_without_a_record(scene: Any, another: Callable[[str], Any]) -> None:
    scene.write(SETTINGS, '{\n  "model": "x"\n}\n')
    before = scene.tree()
    scene.set_up(*ALL)
    clone = another("clone")
    for name, data in scene.tree().items():
        if data is not None:
            clone.write(name, data.decode())

    assert clone().plan(Choice(ALL)) == []
    assert clone.take_out() == []

    assert clone.tree() == before


def test_record_that_cannot_be_read_is_as_good_as_none(scene: Any) -> None:
    scene.write(SETTINGS, '{\n  "model": "x"\n}\n')
    before = scene.tree()
    scene.set_up("claude")
    scene.write("data/.agent_locks/installed/files.json", "{")

    assert scene.take_out() == []
    assert scene.tree() == before


def test_bytes_from_before_that_are_lost_or_others_are_not_put_back(scene: Any) -> None:
    scene.write(SETTINGS, '{\n  "model": "x"\n}\n')
    before = scene.tree()
    scene.set_up("claude")
    for path in (scene.root / "data/.agent_locks/installed").glob("?" * 64):
        path.write_bytes(b"others")

    assert scene.take_out() == []
    assert scene.tree() == before


# -- this machine alone -----------------------------------------------------------------------------------------------


def test_command_of_this_machine_stands_in_its_own_file_which_git_leaves_out(scene: Any) -> None:
    (scene.root / ".git").mkdir()
    scene.machine.prefix = ["/srv/my tools/bin"]

    scene.set_up("claude", "codex")

    assert not (scene.root / SETTINGS).exists()
    assert {hook["command"] for _, _, hook in claude_hooks(scene, ".claude/settings.local.json")} == {
        "'/srv/my tools/bin/latchboard-hook' claude"
    }
    assert (scene.root / ".gitignore").read_text() == "/data/.agent_locks/\n/.claude/settings.local.json\n"
    assert "/srv/my tools/bin/latchboard-hook" in (scene.root / ".codex/hooks.json").read_text()


def test_hooks_that_all_share_beside_those_of_this_machine_are_told(scene: Any) -> None:
    scene.set_up("claude")
    scene.machine.prefix = ["/srv/bin"]
    scene.set_up("claude")

    assert scene().doubled() == [SETTINGS]


def test_bare_name_takes_the_place_of_this_machines_path(scene: Any) -> None:
    scene.machine.prefix = ["/srv/bin"]
    scene.set_up("claude", "codex")
    scene.machine.prefix = []

    scene.set_up("claude", "codex")

    assert not (scene.root / ".claude/settings.local.json").exists()
    assert {hook["command"] for _, _, hook in claude_hooks(scene)} == {"latchboard-hook claude"}
    assert "/srv/bin" not in (scene.root / ".codex/hooks.json").read_text()


# -- what cannot be changed -------------------------------------------------------------------------------------------


def folder(path: Path) -> None:
    path.mkdir()


def link(path: Path) -> None:
    path.symlink_to("elsewhere.json")


def linked_parent(path: Path) -> None:
    path.parent.rmdir()
    path.parent.symlink_to("data", target_is_directory=True)


def read_only(path: Path) -> None:
    path.write_text("{}")
    path.chmod(0o444)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def parent_is_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("x")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (folder, "is a folder"),
        (link, "is a symbolic link"),
        (linked_parent, ".claude is a symbolic link"),
        (read_only, "is read-only"),
        (pipe, "is a device or a pipe"),
        (parent_is_a_file, ".claude is no folder"),
        (lambda path: path.write_text("{} // mine"), "Extra data"),
        (lambda path: path.write_bytes(b'{"a": "\xff"}'), "is no UTF-8"),
        (lambda path: path.write_text('{"a": 1, "a": 2}'), "twice"),
        (lambda path: path.write_bytes(b" " * (4 * 1024 * 1024 + 1)), "larger than"),
        (lambda path: path.write_text('{"hooks": {"Stop": 1}}'), "no array"),
    ],
    ids=lambda value: getattr(value, "__name__", value) if callable(value) else str(value),
)
def test_one_file_that_cannot_be_changed_is_told_and_the_others_are_done(
    spoil: Callable[[Path], Any], why: str, scene: Any
) -> None:
    (scene.root / ".claude").mkdir()
    spoil(scene.root / SETTINGS)
    before = scene.tree()

    refused = scene.set_up("claude", "codex")

    assert [(change.name, change.kind) for change in refused] == [(SETTINGS, "refused")]
    assert why in refused[0].why
    assert rules.hooks_of(refused[0].by_hand, client("claude"))
    assert {name: scene.tree()[name] for name in before} == before
    assert (scene.root / ".mcp.json").exists()
    assert (scene.root / ".codex/hooks.json").exists()
    assert scene.take_out() == []
    assert scene.tree() == before


def test_one_part_of_a_file_that_has_no_room_is_told_and_the_other_is_done(scene: Any) -> None:
    scene.write(".gemini/settings.json", '{"mcpServers": {"latchboard": {"command": "mine"}}}')
    before = scene.tree()

    refused = scene.set_up("gemini", instructions=False)

    assert [(change.what, change.why) for change in refused] == [
        ("MCP server for Gemini CLI", "it has another MCP server by the name of latchboard")
    ]
    assert rules.hooks_of((scene.root / ".gemini/settings.json").read_text(), client("gemini"))
    scene.take_out()
    assert scene.tree() == before


def test_part_that_was_spoilt_later_is_told_and_the_other_goes(scene: Any) -> None:
    scene.write(".gemini/settings.json", '{"hooks": []}')
    before = scene.tree()
    assert [change.what for change in scene.set_up("gemini", instructions=False)] == ["hooks of Gemini CLI"]
    assert "mcpServers" in (scene.root / ".gemini/settings.json").read_text()
    scene.take_out()
    assert scene.tree() == before

    scene.write(".gemini/settings.json", "{}")
    scene.set_up("gemini", instructions=False)
    said = json.loads((scene.root / ".gemini/settings.json").read_text())
    scene.write(".gemini/settings.json", json.dumps({**said, "hooks": []}))
    assert [change.why for change in scene.take_out()] == ['its "hooks" is no object']
    assert json.loads((scene.root / ".gemini/settings.json").read_text()) == {"hooks": []}
    scene.write(".gemini/settings.json", "{}")
    assert scene.take_out() == []


def test_ours_that_cannot_be_taken_out_is_told_and_known_later(scene: Any) -> None:
    scene.write(".codex/config.toml", "[mine]\na = 1\n")
    scene.set_up("codex", instructions=False)
    config = scene.root / ".codex/config.toml"
    done = config.read_text()
    config.write_text(done + "timeout = 3\n")

    refused = scene.take_out()

    assert [change.name for change in refused] == [".codex/config.toml"]
    assert "lines of your own" in refused[0].why
    assert set(scene.tree()) == {".codex", ".codex/config.toml"}
    config.write_text(done)
    assert scene.take_out() == []
    assert config.read_text() == "[mine]\na = 1\n"


def test_file_that_was_changed_between_plan_and_deed_stays(scene: Any) -> None:
    one = scene()
    changes = one.plan(Choice(("claude",)))
    scene.write(SETTINGS, '{"mine": 1}')

    failed = one.apply(changes)

    assert [(change.name, change.why) for change in failed] == [(SETTINGS, f"{SETTINGS} was changed meanwhile")]
    assert (scene.root / SETTINGS).read_text() == '{"mine": 1}'
    assert scene.set_up("claude") == []
    scene.take_out()
    assert scene.tree() == {".claude": None, SETTINGS: b'{"mine": 1}'}


def test_path_of_this_installation_that_is_no_text_is_told(scene: Any) -> None:
    scene.machine.prefix = ["/srv/\udcff"]

    refused = scene.set_up("cursor", mcp=False)

    assert [change.why for change in refused] == ["a path of this installation is no UTF-8"]


# -- instructions -----------------------------------------------------------------------------------------------------


def test_instructions_are_written_once_for_files_that_are_one(scene: Any) -> None:
    scene.write("AGENTS.md", "# Mine\n")
    (scene.root / "CLAUDE.md").symlink_to("AGENTS.md")

    assert scene.set_up("claude") == []

    assert (scene.root / "CLAUDE.md").is_symlink()
    assert (scene.root / "CLAUDE.md").read_text().count(marked.BEGIN) == 1


def test_sentence_about_our_marks_is_somebody_elses(scene: Any) -> None:
    text = "What is between `latchboard:begin` and `latchboard:end` is generated.\nMine.\n"
    file = scene.write("AGENTS.md", text)

    scene.set_up("codex")
    file.write_text(f"{file.read_text()}Later.\n")

    assert file.read_text().startswith(text)

    scene.take_out()

    assert file.read_text() == f"{text}Later.\n"


def test_file_that_reads_agents_md_needs_no_block(scene: Any) -> None:
    scene.write("CLAUDE.md", "@AGENTS.md\n")

    scene.set_up("claude")

    assert (scene.root / "CLAUDE.md").read_text() == "@AGENTS.md\n"
    assert marked.BEGIN in (scene.root / "AGENTS.md").read_text()


def test_gemini_has_a_block_of_its_own_unless_it_reads_agents_md(scene: Any) -> None:
    scene.set_up("gemini")
    assert marked.BEGIN in (scene.root / "GEMINI.md").read_text()
    scene.take_out()
    assert scene.tree() == {}

    scene.write(".gemini/settings.json", '{"context": {"fileName": ["AGENTS.md"]}}\n')
    scene.set_up("gemini")

    assert not (scene.root / "GEMINI.md").exists()
    assert marked.BEGIN in (scene.root / "AGENTS.md").read_text()


# -- hostile names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["my project", 'it\'s "mine"', "two\nlines", "größe-項目", "$(touch x)`y`", "-n"])
def test_name_of_the_project_does_not_matter(name: str, another: Callable[[str], Any]) -> None:
    scene = another(name)
    scene.machine.prefix = [f"{scene.root}/.venv/bin"]

    assert scene.set_up(*ALL) == []

    assert rules.is_our_command(claude_hooks(scene, ".claude/settings.local.json")[0][2]["command"], "claude")
    assert scene().plan(Choice(ALL)) == []
    scene.take_out()
    assert scene.tree() == {}
