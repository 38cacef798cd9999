"""What a client takes an answer for; which hooks Codex runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from latchboard.rules import probe
from latchboard.rules.client import CLIENTS, Hook, client

EDIT = {"claude": "PreToolUse", "codex": "PreToolUse", "gemini": "BeforeTool", "cursor": "preToolUse"}


def hook(name: str, says: str = "edit") -> Hook:
    return next(one for one in client(name).hooks if one.says == says)


def special(**fields: Any) -> str:
    return json.dumps({"hookSpecificOutput": fields})


DENY = {"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": "held"}


@pytest.mark.parametrize(
    ("name", "status", "out", "err", "verdict"),
    [
        ("claude", 0, special(**DENY), "", "denied"),
        ("claude", 0, "", "", "passed"),
        ("claude", 0, " \n", "note", "passed"),
        ("claude", 0, "{}", "", "passed"),
        ("claude", 2, "", "held", "denied"),
        ("claude", 2, "", " \n", "failed"),
        ("claude", 1, special(**DENY), "", "failed"),
        ("claude", 0, "hello", "", "failed"),
        ("claude", 0, "[]", "", "failed"),
        ("claude", 0, special(**{**DENY, "hookEventName": "PostToolUse"}), "", "passed"),
        ("claude", 0, special(**{**DENY, "permissionDecisionReason": ""}), "", "passed"),
        ("claude", 0, special(**{**DENY, "permissionDecision": "ask"}), "", "passed"),
        ("claude", 0, '{"hookSpecificOutput": 3}', "", "passed"),
        ("codex", 0, special(**DENY), "", "denied"),
        ("codex", 0, '{"permission": "deny"}', "", "failed"),
        ("codex", 2, special(**DENY), "held", "denied"),
        ("gemini", 2, '{"decision": "deny"}', "held", "denied"),
        ("gemini", 0, '{"decision": "block"}', "", "denied"),
        ("gemini", 0, '{"decision": "allow"}', "", "passed"),
        ("gemini", 3, "", "boom", "failed"),
        ("cursor", 0, '{"permission": "deny"}', "", "denied"),
        ("cursor", 0, '{"decision": "deny"}', "", "denied"),
        ("cursor", 0, '{"permission": "allow"}', "", "passed"),
        ("cursor", 0, "", "", "failed"),
    ],
)
def test_answer_counts_as_its_client_reads_it(name: str, status: int, out: str, err: str, verdict: str) -> None:
    found, why = probe.verdict(name, hook(name), status, out, err)

    assert found == verdict
    assert bool(why) == (verdict == "failed")


def test_other_events_have_no_denial_and_their_failure_is_told() -> None:
    stop = Hook("Stop")

    assert probe.verdict("claude", stop, 2, "", "go on") == ("failed", "exit status 2: go on")
    assert probe.verdict("claude", stop, 127, "", "") == ("failed", "exit status 127")
    assert probe.verdict("cursor", Hook("stop"), 0, "", "") == ("passed", "")


def test_cursor_alone_is_answered_where_nothing_is_in_the_way() -> None:
    assert probe.is_silent("cursor", "{}")
    assert probe.is_silent("claude", "\n")
    assert not probe.is_silent("claude", "{}")


@pytest.mark.parametrize("name", EDIT)
@pytest.mark.parametrize("says", ["edit", "shell"])
def test_event_names_the_file_and_the_folder(name: str, says: str) -> None:
    made = probe.event(name, hook(name, says), "/srv/scratch", "probe.txt")

    assert made["cwd"] == "/srv/scratch"
    assert made["hook_event_name"] == hook(name, says).event
    assert "probe.txt" in json.dumps(made)
    assert probe.AGENT in made.values()


def test_every_client_with_hooks_can_be_probed() -> None:
    assert {one.name for one in CLIENTS if one.hooks} == set(EDIT)


def test_codex_trusts_a_hook_by_its_place() -> None:
    assert (
        probe.trust_key("/srv/p/.codex/hooks.json", "PreToolUse", 1, 0) == "/srv/p/.codex/hooks.json:pre_tool_use:1:0"
    )
    assert probe.trust_key("h", "Stop", 0, 2) == "h:stop:0:2"


@pytest.mark.parametrize(
    ("config", "is_trusted"),
    [
        ({}, False),
        ({"hooks": 3}, False),
        ({"hooks": {"state": 3}}, False),
        ({"hooks": {"state": {"other": {"trusted_hash": "x"}}}}, False),
        ({"hooks": {"state": {"key": 3}}}, False),
        ({"hooks": {"state": {"key": {}}}}, False),
        ({"hooks": {"state": {"key": {"trusted_hash": "x"}}}}, True),
        ({"hooks": {"state": {"key": {"trusted_hash": "x", "enabled": True}}}}, True),
        ({"hooks": {"state": {"key": {"trusted_hash": "x", "enabled": False}}}}, False),
    ],
)
def test_trust_is_a_hash_that_is_not_switched_off(config: dict[str, Any], is_trusted: bool) -> None:
    assert probe.is_trusted(config, ["first", "key"]) is is_trusted


@pytest.mark.parametrize(
    ("name", "config", "why"),
    [
        ("claude", {}, ""),
        ("claude", {"disableAllHooks": False}, ""),
        ("claude", {"disableAllHooks": True}, "disableAllHooks is true"),
        ("codex", {"features": {"hooks": True}}, ""),
        ("codex", {"features": {"hooks": False}}, "features.hooks is false"),
        ("codex", {"features": 3}, ""),
        ("gemini", {"hooks": {"enabled": False}}, "hooks.enabled is false"),
        ("gemini", {"hooks": {"enabled": True, "disabled": ["other"]}}, ""),
        ("gemini", {"hooksConfig": {"disabled": ["latchboard"]}}, "hooksConfig.disabled has latchboard in it"),
        ("cursor", {"hooks": {"enabled": False}}, ""),
    ],
)
def test_hooks_that_are_switched_off_are_seen(name: str, config: dict[str, Any], why: str) -> None:
    assert probe.switched_off(name, config) == why
