"""Our entries in a client's configuration: in once, out without a trace, and nothing of anybody else's touched."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latchboard.rules import installation as rules
from latchboard.rules.client import CLIENTS, Client, client

WITH_HOOKS = [one for one in CLIENTS if one.hooks]
CLAUDE, CURSOR, GEMINI, CODEX = (client(name) for name in ("claude", "cursor", "gemini", "codex"))


def command(one: Client) -> str:
    return f"latchboard-hook {one.name}"


def merged(text: str, one: Client, line: str = "") -> str:
    return rules.merged_hooks(text, one, line or command(one), is_closed=True)


@pytest.mark.parametrize(
    ("line", "is_ours"),
    [
        ("latchboard-hook claude", True),
        ("/srv/bin/latchboard-hook claude", True),
        ("'/srv/my bin/latchboard-hook' claude", True),
        ("/usr/bin/python3 -m latchboard.surface.hooks claude", True),
        ("latchboard-hook codex", False),
        ("latchboard-hook claude --verbose", False),
        ("my-latchboard-hook claude", False),
        ("echo latchboard-hook claude", False),
        ("latchboard-hook 'claude", False),
        ("echo hi", False),
        (["latchboard-hook", "claude"], False),
        (None, False),
    ],
)
def test_ours_is_known_by_its_command(line: object, is_ours: bool) -> None:
    assert rules.is_our_command(line, "claude") is is_ours


@pytest.mark.parametrize("one", WITH_HOOKS, ids=lambda one: one.name)
def test_every_hook_is_put_in_and_found_again(one: Client) -> None:
    text = merged("", one)

    assert [(event, matcher) for event, matcher, _ in rules.hooks_of(text, one)] == [
        (hook.event, hook.matcher) for hook in one.hooks
    ]
    assert merged(text, one) == text
    assert rules.is_nothing(rules.unmerged_hooks(text, one, ""))


def test_a_failing_hook_blocks_an_edit_alone_and_only_where_that_is_wanted() -> None:
    closed = rules.hooks_of(merged("", CLAUDE), CLAUDE)
    opened = rules.hooks_of(rules.merged_hooks("", CLAUDE, command(CLAUDE), is_closed=False), CLAUDE)

    blocking = [(event, matcher) for event, matcher, hook in closed if hook.get("onFailure") == "block"]
    assert blocking == [("PreToolUse", "Edit|Write|MultiEdit|NotebookEdit")]
    assert not any("onFailure" in hook for _, _, hook in opened)


def test_units_and_forms_are_those_of_the_client() -> None:
    hooks = {one.name: rules.hooks_of(merged("", one), one)[0][2] for one in WITH_HOOKS}

    assert hooks["claude"] == {"type": "command", "command": "latchboard-hook claude", "timeout": 30}
    assert hooks["gemini"] == {**hooks["claude"], "command": "latchboard-hook gemini", "timeout": 30000} | {
        "name": "latchboard"
    }
    assert hooks["cursor"] == {"command": "latchboard-hook cursor", "timeout": 30}
    assert json.loads(merged("", CURSOR))["version"] == 1
    assert set(json.loads(merged("", CODEX))) == {"hooks"}


MINE = {"type": "command", "command": "echo mine"}


def test_ours_stands_behind_theirs_and_is_brought_up_to_date_in_its_place() -> None:
    text = json.dumps({"hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [MINE]}], "Mine": [{"hooks": [MINE]}]}})

    old = merged(text, CLAUDE, "/old/latchboard-hook claude")
    moved = json.loads(old)
    moved["hooks"]["PreToolUse"].append({"matcher": "Read", "hooks": [MINE]})
    new = json.loads(merged(json.dumps(moved), CLAUDE))

    matchers = [group.get("matcher") for group in new["hooks"]["PreToolUse"]]
    assert matchers == ["Bash", "Edit|Write|MultiEdit|NotebookEdit", "Bash|PowerShell", "Read"]
    assert "/old/" not in json.dumps(new)
    assert list(new["hooks"])[:2] == ["PreToolUse", "Mine"]


def test_entries_of_ours_that_nobody_wants_any_more_go() -> None:
    ours = {"type": "command", "command": "latchboard-hook claude"}
    text = json.dumps(
        {
            "hooks": {
                "PreToolUse": [{"matcher": "Read", "hooks": [MINE, ours]}, {"matcher": "Grep", "hooks": [ours]}],
                "Notification": [{"hooks": [ours]}],
            }
        }
    )

    found = json.loads(merged(text, CLAUDE))["hooks"]

    assert found["PreToolUse"][0] == {"matcher": "Read", "hooks": [MINE]}
    assert [group["matcher"] for group in found["PreToolUse"][1:]] == [
        "Edit|Write|MultiEdit|NotebookEdit",
        "Bash|PowerShell",
    ]
    assert "Notification" not in found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"hooks": []}', '"hooks" is no object'),
        ('{"hooks": null}', '"hooks" is no object'),
        ('{"hooks": {"PreToolUse": {}}}', "'PreToolUse', which is no array"),
        ("[]", "no JSON object"),
        ("{} // mine", "Extra data"),
    ],
)
def test_what_has_no_room_for_hooks_is_refused(text: str, why: str) -> None:
    for act in (lambda: merged(text, CLAUDE), lambda: rules.unmerged_hooks(text, CLAUDE), lambda: _found(text)):
        with pytest.raises(ValueError, match=why):
            act()


def _found(text: str) -> object:
    return rules.hooks_of(text, CLAUDE)


def test_entries_of_strange_shapes_are_somebody_elses() -> None:
    text = json.dumps({"hooks": {"enabled": True, "PreToolUse": [3, {"hooks": 3}, {"hooks": [3, MINE]}, {}]}})

    assert rules.hooks_of(text, CLAUDE) == []
    assert json.loads(merged(text, CLAUDE))["hooks"]["PreToolUse"][:4] == json.loads(text)["hooks"]["PreToolUse"]
    assert rules.unmerged_hooks(text, CLAUDE) == text


def test_what_was_empty_before_is_empty_afterwards_and_what_was_not_there_is_gone() -> None:
    before = '{"hooks": {"PreToolUse": []}}'

    assert json.loads(rules.unmerged_hooks(merged(before, CLAUDE), CLAUDE, before)) == json.loads(before)
    assert json.loads(rules.unmerged_hooks(merged(before, CLAUDE), CLAUDE)) == {}
    assert json.loads(rules.unmerged_hooks(merged("", CURSOR), CURSOR)) == {"version": 1}
    assert json.loads(rules.unmerged_hooks(merged("", CURSOR), CURSOR, "")) == {}
    own = json.loads(merged("", CURSOR))
    own["hooks"]["stop"].append({"command": "echo mine"})
    left = json.loads(rules.unmerged_hooks(json.dumps(own), CURSOR, ""))
    assert left == {"version": 1, "hooks": {"stop": [{"command": "echo mine"}]}}


SERVER = ["/srv/bin/latchboard", "mcp"]


@pytest.mark.parametrize(
    "text", ["", "{}", '{"mcpServers": {}}', '{"mcpServers": {"other": {"command": "x"}}, "a": 1}']
)
def test_server_is_put_in_once_and_taken_out(text: str) -> None:
    made = rules.merged_server(text, SERVER)

    assert json.loads(made)["mcpServers"]["latchboard"] == {"command": SERVER[0], "args": ["mcp"]}
    assert rules.merged_server(made, SERVER) == made
    gone = rules.unmerged_server(made, text)
    assert json.loads(gone) == (json.loads(text) if text else {})
    assert rules.unmerged_server(gone, text) == gone


def test_what_somebody_added_to_our_server_stays_while_it_does() -> None:
    made = json.loads(rules.merged_server("", SERVER))
    made["mcpServers"]["latchboard"]["env"] = {"AGENT_ID": "me"}

    again = json.loads(rules.merged_server(json.dumps(made), ["latchboard", "mcp"]))

    assert again["mcpServers"]["latchboard"] == {"command": "latchboard", "args": ["mcp"], "env": {"AGENT_ID": "me"}}
    assert json.loads(rules.unmerged_server(json.dumps(again))) == {}


def test_what_somebody_has_our_server_told_stays() -> None:
    told = ["--root", "${workspaceFolder}"]
    made = rules.merged_server("", SERVER, told)
    assert json.loads(made)["mcpServers"]["latchboard"]["args"] == ["mcp", *told]
    assert rules.merged_server(made, SERVER, told) == made
    assert json.loads(rules.merged_server(rules.merged_server("", SERVER), SERVER, told)) == json.loads(made)

    own = made.replace("${workspaceFolder}", "/srv/elsewhere")

    assert rules.merged_server(own, SERVER, told) == own
    moved = json.loads(rules.merged_server(own, ["python3", "-m", "latchboard", "mcp"], told))
    assert moved["mcpServers"]["latchboard"]["args"] == ["-m", "latchboard", "mcp", "--root", "/srv/elsewhere"]
    assert json.loads(rules.unmerged_server(own)) == {}


@pytest.mark.parametrize(
    ("settings", "does"),
    [
        ('{"context": {"fileName": "AGENTS.md"}}', True),
        ('{"context": {"fileName": ["CONTEXT.md", "AGENTS.md"]}}', True),
        ('{"contextFileName": "AGENTS.md"}', True),
        ('{"context": {"fileName": "GEMINI.md"}}', False),
        ('{"context": {"fileName": "MY-AGENTS.md"}}', False),
        ('{"context": 3}', False),
        ("{", False),
        ("", False),
    ],
)
def test_client_that_was_told_to_read_agents_md_is_known(settings: str, does: bool) -> None:
    assert rules.reads_agents_file(settings) is does


@pytest.mark.parametrize(
    ("server", "is_ours"),
    [
        ({"command": "/a/latchboard", "args": ["mcp"]}, True),
        ({"command": "/a/python", "args": ["-m", "latchboard", "mcp"]}, True),
        ({"command": "latchboard", "args": ["mcp", "--root", "/srv"]}, True),
        ({"command": "latchboard", "args": ["serve"]}, False),
        ({"command": "latchboard", "args": []}, False),
        ({"command": "python3", "args": ["mcp"]}, False),
        ({"command": "uvx", "args": ["latchboard", "mcp"]}, False),
        ({"url": "http://localhost"}, False),
        (3, False),
    ],
)
def test_another_server_by_our_name_is_refused_and_left(server: object, is_ours: bool) -> None:
    text = json.dumps({"mcpServers": {"latchboard": server}})

    assert rules.is_our_server(server) is is_ours
    if not is_ours:
        assert rules.unmerged_server(text) == text
        with pytest.raises(ValueError, match="another MCP server"):
            rules.merged_server(text, SERVER)


def test_servers_that_are_no_object_are_refused() -> None:
    with pytest.raises(ValueError, match="mcpServers"):
        rules.merged_server('{"mcpServers": []}', SERVER)


IGNORING = [
    "/data/.agent_locks/",
    "data",
    ".agent_locks/",
    "**/data/",
    "data/.agent_locks/**",
    "data/*",
    "/data",
    "data  ",
]
IGNORING += [
    "**/.agent_locks/*",
    "data/.agent_locks\r\n*.log\r",
    "!data/\ndata",
    "# data\n.agent_locks",
    "data\n!/data/other",
]
TAKING_IN = [
    "",
    "/.agent_locks/",
    ".agent_locks/*",
    " data",
    "# data",
    "!data",
    "data/other",
    "src/data/",
    "data\n!data",
]
TAKING_IN += ["x/.agent_locks", "data/*\n!data/.agent_locks", "metadata", "\\#data", "data/*.txt"]


@pytest.mark.parametrize("text", IGNORING)
def test_gitignore_that_leaves_the_board_out_is_known(text: str) -> None:
    assert rules.leaves_out_the_board(text)
    assert rules.leaves_out_the_board(f"*.pyc\n{text}\n*.o\n")


@pytest.mark.parametrize("text", TAKING_IN)
def test_gitignore_that_takes_the_board_in_is_known(text: str) -> None:
    assert not rules.leaves_out_the_board(text)


@pytest.mark.needs_tool("git")
@pytest.mark.parametrize("text", [*IGNORING, *TAKING_IN])
def test_git_reads_the_gitignore_in_the_same_way(text: str, tmp_path: Path) -> None:
    (tmp_path / "data/.agent_locks").mkdir(parents=True)
    (tmp_path / "data/.agent_locks/FORMAT").write_text("1\n")
    (tmp_path / ".gitignore").write_bytes(text.encode())
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q", str(tmp_path)], env=environment, timeout=60, check=True)

    words = ["git", "-C", str(tmp_path), "check-ignore", "-q", "data/.agent_locks/FORMAT"]
    done = subprocess.run(words, env=environment, timeout=60, check=False)

    assert (done.returncode == 0) is (text in IGNORING)


def test_matcher_that_is_no_text_is_none_of_ours_and_is_put_right() -> None:
    text = json.dumps({"hooks": {"PreToolUse": [{"matcher": ["Edit"], "hooks": [{"command": command(CLAUDE)}]}]}})

    assert {hash(matcher) for _, matcher, _ in rules.hooks_of(text, CLAUDE)} == {hash("['Edit']")}
    assert json.loads(merged(text, CLAUDE)) == json.loads(merged("", CLAUDE))


# -- any configuration -------------------------------------------------------------------------------------------------

WORDS = st.text(max_size=6)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=6,
)
HANDLER = st.fixed_dictionaries({"type": st.just("command"), "command": WORDS | st.just("echo latchboard-hook claude")})
GROUP = st.fixed_dictionaries({"hooks": st.lists(HANDLER | ANYTHING, max_size=3)}, optional={"matcher": WORDS})
EVENTS = st.sampled_from([hook.event for one in WITH_HOOKS for hook in one.hooks] + ["Mine"])
HOOKS = st.dictionaries(EVENTS, st.lists(GROUP | HANDLER | ANYTHING, max_size=3), max_size=4)
CONFIGURATIONS = st.builds(
    lambda rest, hooks, has_hooks: {**rest, "hooks": hooks} if has_hooks else rest,
    st.dictionaries(WORDS.filter(lambda word: word != "hooks"), ANYTHING, max_size=3),
    HOOKS,
    st.booleans(),
)
STYLES = st.sampled_from([{"indent": 2}, {"indent": "\t"}, {"indent": 4, "ensure_ascii": False}, {}, {"indent": 0}])


@given(st.sampled_from(WITH_HOOKS), CONFIGURATIONS, STYLES)
def test_whatever_the_configuration_ours_comes_once_and_goes_without_a_trace(
    one: Client, configuration: dict[str, Any], style: dict[str, Any]
) -> None:
    text = json.dumps(configuration, **style)

    made = merged(text, one)

    assert merged(made, one) == made
    assert _theirs(json.loads(made), one) == _theirs(configuration, one)
    gone = rules.unmerged_hooks(made, one, text)
    assert json.loads(gone) == configuration
    assert list(json.loads(gone)) == list(configuration)
    assert rules.unmerged_hooks(text, one, text) == text


@given(st.dictionaries(WORDS, ANYTHING, max_size=3), STYLES)
def test_whatever_the_configuration_the_server_comes_once_and_goes(
    configuration: dict[str, Any], style: dict[str, Any]
) -> None:
    text = json.dumps(configuration, **style)

    made = rules.merged_server(text, SERVER)

    assert rules.merged_server(made, SERVER) == made
    assert json.loads(rules.unmerged_server(made, text)) == configuration


def _theirs(said: dict[str, Any], one: Client) -> dict[str, Any]:
    """What is not ours, in its order; what is empty without ours counts as missing."""
    kept = {}
    for event, groups in said.get("hooks", {}).items():
        others = []
        for group in groups:
            is_group = isinstance(group, dict) and isinstance(group.get("hooks"), list) and not one.is_flat
            if is_group and (left := [h for h in group["hooks"] if not _is_ours(h, one)]) != group["hooks"]:
                others += [{**group, "hooks": left}] if left else []
            elif not (one.is_flat and _is_ours(group, one)):
                others.append(group)
        if others:
            kept[event] = others
    rest = {key: value for key, value in said.items() if key not in ("hooks", "version")}
    return {**rest, "hooks": kept}


def _is_ours(entry: object, one: Client) -> bool:
    return isinstance(entry, dict) and rules.is_our_command(entry.get("command"), one.name)
