"""cli.md: common options, answers, exit statuses, failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Subject, validate

pytestmark = pytest.mark.contract

READERS = (
    ("check", "src/a.py"),
    ("status",),
    ("agents",),
    ("history",),
    ("handoff", "list", "--agent", "planner"),
    ("inbox", "--peek", "--agent", "planner"),
    ("cleanup", "--dry-run"),
    ("singleton", "status"),
    ("metrics",),
)


def _content(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


def test_init_again_is_harmless(subject: Subject) -> None:
    subject.lock("src/a.py", agent="planner")

    assert subject.done("init")["created"] is False
    assert subject.holder("src/a.py") == "planner"


def test_init_leaves_the_store_out_of_git_once(subject: Subject) -> None:
    (subject.project / ".git").mkdir()

    assert subject.done("init")["gitignore"] == "added"
    assert subject.done("init")["gitignore"] == "there"
    assert (subject.project / ".gitignore").read_text().splitlines().count("/data/.agent_locks/") == 1


def test_place_without_a_project_is_refused(subject: Subject, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()

    for words in (("check", "a"), ("acquire", "a", "--agent", "planner")):
        answer = subject(*words, "--json", cwd=nowhere)
        assert (answer.status, answer.code) == (2, "usage"), answer
    assert list(nowhere.iterdir()) == []


@pytest.mark.parametrize("words", READERS, ids=lambda words: "-".join(words[:2]))
def test_readers_write_nothing(subject: Subject, words: tuple[str, ...]) -> None:
    subject.lock("src/a.py", agent="planner")
    subject.done("send", "planner", "hello", "--agent", "builder")
    before = _content(subject.project)

    subject.ask(*words)
    subject(*words)

    assert _content(subject.project) == before


def test_agent_comes_from_the_option_then_from_the_environment(subject: Subject) -> None:
    subject.done("acquire", "a", AGENT_ID="planner")
    subject.done("acquire", "b", "--agent", "builder", AGENT_ID="planner")

    assert (subject.holder("a"), subject.holder("b")) == ("planner", "builder")


@pytest.mark.parametrize("words", [("acquire", "a"), ("inbox",), ("send", "x", "y"), ("update", "x"), ("renew",)])
def test_verb_that_must_know_who_asks_says_so(subject: Subject, words: tuple[str, ...]) -> None:
    for environment in ({}, {"AGENT_ID": ""}):
        answer = subject(*words, "--json", **environment)
        assert (answer.status, answer.code) == (2, "usage"), answer


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("check",),
        ("check", "a", "--nonsense"),
        ("acquire", "a", "--agent", "p", "--wait-s-max", "soon"),
        ("acquire", "a", "--agent", "p", "--wait-s-max", "-1"),
        ("acquire", "a", "--agent", "p", "--ttl-s", "0"),
        ("acquire", "a", "--agent", "p", "--ttl-s", "nan"),
        ("acquire", "", "--agent", "p"),
        ("acquire", "a", "--agent", ""),
        ("acquire", "a", "--agent", " p"),
        ("acquire", "a", "--agent", "p" * 201),
        ("acquire", "x" * 5000, "--agent", "p"),
        ("release", "--agent", "p"),
        ("release", "a", "--all", "--agent", "p"),
        ("send", "x", "y", "--agent", "p", "--urgency", "mild"),
        ("break", "a", "--agent", "p"),
        ("watch", "--after", "-1"),
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_wrong_usage_is_2_and_changes_nothing(subject: Subject, words: tuple[str, ...]) -> None:
    plain = subject(*words)
    answer = subject(*words, "--json")

    assert (plain.status, plain.out) == (2, ""), plain
    assert plain.err.strip()
    assert (answer.status, answer.code) == (2, "usage"), answer
    assert subject.done("status")["active_locks"] == []


def test_failure_for_people_is_on_standard_error(subject: Subject) -> None:
    subject.lock("src/a.py", agent="planner", reason="split the parser")

    answer = subject("acquire", "src/a.py", "--agent", "builder")

    assert (answer.status, answer.out) == (10, "")
    assert answer.err.startswith("latchboard: ")
    for word in ("src/a.py", "planner", "split the parser"):
        assert word in answer.err


def test_what_others_wrote_cannot_steer_a_terminal(subject: Subject) -> None:
    hostile = "\x1b[2J\r\nlatchboard: all is free"
    subject.lock("src/a.py", agent="planner", reason=hostile)
    subject.done("send", "builder", hostile, "--agent", "planner", "--subject", "\x1b]0;title\x07")
    subject.done("update", hostile, "--agent", "planner")

    for words in (("check", "src/a.py"), ("status",), ("agents",), ("history",), ("inbox", "--agent", "builder")):
        answer = subject(*words)
        shown = answer.out + answer.err
        assert "\x1b" not in shown and "\r" not in shown and "\x07" not in shown, answer
        assert not any(line.startswith("latchboard: all is free") for line in shown.splitlines()), answer


def test_names_of_other_scripts_and_blanks_come_back_whole(subject: Subject) -> None:
    for name in ("grün ✓.py", "a b", "-dash.py", "it's.py", 'quo"te', "ends.", "new\nline"):
        found = subject.done("acquire", "--agent", "planner", "--", name) if name[0] == "-" else None
        found = found or subject.done("acquire", name, "--agent", "planner")
        assert [lock["name"] for lock in found["locks"]] == [name]


def test_unknown_format_is_12_for_readers_and_writers(subject: Subject) -> None:
    path = subject.project / "data" / ".agent_locks" / "FORMAT"
    path.write_text(path.read_text().replace('"format":1', '"format":99'))

    for words in (("check", "a"), ("acquire", "a", "--agent", "p"), ("status",), ("inbox", "--agent", "p")):
        answer = subject(*words, "--json")
        assert (answer.status, answer.code) == (12, "unsupported-version"), answer


def test_record_that_cannot_be_read_is_never_free(subject: Subject) -> None:
    subject.lock("src/a.py", agent="planner")
    record = next((subject.project / "data" / ".agent_locks").glob("*.lock"))
    record.write_text("{")

    for words in (("check", "src/a.py"), ("acquire", "src/a.py", "--agent", "builder"), ("check", "src/")):
        answer = subject(*words, "--json")
        assert answer.status == 12, answer
        assert answer.code == "malformed-record"
        validate("error", answer.json)


@pytest.mark.parametrize("verb", ["init", "acquire", "release", "check", "run", "status", "send", "inbox", "watch"])
def test_help_has_an_example(subject: Subject, verb: str) -> None:
    answer = subject(verb, "--help")

    assert answer.status == 0
    assert f"latchboard {verb}" in answer.out
    for option in ("--root", "--agent", "--json"):
        assert option in answer.out
