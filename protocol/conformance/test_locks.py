"""lock.md through acquire, release, renew, check."""

from __future__ import annotations

import os

import pytest

from .conftest import Subject

pytestmark = pytest.mark.locks


def test_exclusive_lock_keeps_others_out_until_it_is_released(subject: Subject) -> None:
    subject.lock("src/a.py", agent="planner")

    refused = subject.ask("acquire", "src/a.py", "--agent", "builder")
    assert (refused.status, refused.code) == (10, "lock-held")
    assert refused.json["retryable"] is True
    assert [held["agent"] for held in refused.json["holders"]] == ["planner"]

    assert subject.done("release", "src/a.py", "--agent", "planner")["released"] == ["src/a.py"]
    subject.lock("src/a.py", agent="builder")


def test_check_says_who_and_since_when(subject: Subject) -> None:
    token = subject.lock("src/a.py", agent="planner", reason="why", ttl_s="100")

    answer = subject.ask("check", "src/a.py")

    assert answer.status == 10
    held = answer.json["held"][0]
    assert (held["agent"], held["token"], held["reason"], held["mode"]) == ("planner", token, "why", "exclusive")
    assert held["bound"] == "agent"
    assert 0 < held["remaining_s"] <= 100


def test_own_lock_is_not_in_the_way(subject: Subject) -> None:
    subject.lock("src/a.py", agent="planner")

    assert subject.ask("check", "src/a.py", "--agent", "planner").status == 0


def test_taking_again_is_idempotent(subject: Subject) -> None:
    assert subject.lock("a", agent="planner") == subject.lock("a", agent="planner")

    subject.done("release", "a", "--agent", "planner")

    assert subject.holder("a") is None


def test_tokens_of_a_name_grow(subject: Subject) -> None:
    tokens = []
    for agent in ("p", "q", "p", "q"):
        tokens.append(subject.lock("a", agent=agent))
        subject.done("release", "a", "--agent", agent)

    assert tokens == sorted(set(tokens))


def test_all_or_nothing(subject: Subject) -> None:
    subject.lock("b", agent="planner")

    assert subject.ask("acquire", "a", "b", "c", "--agent", "builder").status == 10

    assert (subject.holder("a"), subject.holder("b"), subject.holder("c")) == (None, "planner", None)


def test_shared_holders_share_and_keep_an_exclusive_one_out(subject: Subject) -> None:
    subject.done("acquire", "a", "--shared", "--agent", "planner")
    subject.done("acquire", "a", "--shared", "--agent", "builder")

    assert subject.ask("acquire", "a", "--agent", "tester").status == 10
    assert subject.ask("check", "a", "--shared").status == 0

    subject.done("release", "a", "--agent", "planner")
    assert subject.ask("acquire", "a", "--agent", "tester").status == 10
    subject.done("release", "a", "--agent", "builder")
    subject.lock("a", agent="tester")


@pytest.mark.parametrize(
    ("held", "asked", "is_free"),
    [
        ("src/", "src/a.py", False),
        ("src/a.py", "src/", False),
        ("src/", "src2/a.py", True),
        ("glob:src/**/*.py", "src/x/y.py", False),
        ("glob:src/*.py", "src/x/y.py", True),
        ("glob:src/*.py", "docs/", True),
        ("./", "any/thing", False),
        ("a/b_c", "a_b/c", True),
        ("x.py", "src/x.py", True),
        ("README.md", "readme.txt", True),
    ],
)
def test_overlap_of_files_folders_and_patterns(subject: Subject, held: str, asked: str, is_free: bool) -> None:
    subject.lock(held, agent="planner")

    assert (subject.ask("check", asked).status == 0) is is_free
    assert (subject.ask("acquire", asked, "--agent", "builder").status == 0) is is_free


def test_every_spelling_of_a_path_is_one_lock(subject: Subject) -> None:
    (subject.project / "link.py").symlink_to("src/a.py")
    subject.lock("./src/../src/a.py", agent="planner")

    for spelling in ("src/a.py", str(subject.project / "src" / "a.py"), "link.py", "src//a.py"):
        assert subject.ask("check", spelling).json["names"] == ["src/a.py"]
        assert subject.ask("acquire", spelling, "--agent", "builder").status == 10
    assert subject.ask("check", "a.py", cwd=subject.project / "src").status == 10
    assert subject.ask("check", "src/a.py", "--root", str(subject.project), cwd=subject.project.parent).status == 10


def test_unicode_forms_of_a_name_are_one_lock(subject: Subject) -> None:
    subject.lock("caf\u00e9", agent="planner")

    assert subject.ask("acquire", "cafe\u0301", "--agent", "builder").status == 10


def test_hard_links_are_one_file(subject: Subject) -> None:
    os.link(subject.project / "src" / "a.py", subject.project / "other.py")
    subject.lock("src/a.py", agent="planner")

    assert subject.ask("acquire", "other.py", "--agent", "builder").status == 10


def test_expired_hold_is_over_whether_or_not_somebody_took_it(subject: Subject) -> None:
    old = subject.lock("a", agent="planner", ttl_s="1")
    subject.until(lambda: subject.holder("a") is None)

    late = subject.ask("renew", "a", "--agent", "planner", "--ttl-s", "1")
    assert (late.status, late.json["lost"]) == (11, ["a"])
    release = subject.ask("release", "a", "--agent", "planner")
    assert (release.status, release.json["not_held"]) == (11, ["a"])
    assert subject.lock("a", agent="builder") > old


def test_renewal_keeps_a_hold(subject: Subject) -> None:
    """Where a call takes a busy machine longer than the lease lasts, the hold is over by right: then it is longer."""
    import time

    is_kept = False
    for ttl_s in (2, 6, 20):
        subject.lock("a", agent="planner", ttl_s=str(ttl_s))
        deadline, is_kept = time.monotonic() + 1.75 * ttl_s, True
        while is_kept and time.monotonic() < deadline:
            is_kept = subject.ask("renew", "a", "--agent", "planner", "--ttl-s", str(ttl_s)).status == 0
            time.sleep(0.2)
        if is_kept:
            break

    assert is_kept
    assert subject.holder("a") == "planner"


def test_release_by_a_former_holder_changes_nothing(subject: Subject) -> None:
    subject.lock("a", agent="planner", ttl_s="1")
    subject.until(lambda: subject.holder("a") is None)
    subject.lock("a", agent="builder")

    assert subject.ask("release", "a", "--agent", "planner").status == 11
    assert subject.holder("a") == "builder"


def test_release_all_releases_what_the_agent_holds_and_nothing_else(subject: Subject) -> None:
    subject.lock("a", "src/", agent="planner")
    subject.lock("b", agent="builder")

    assert sorted(subject.done("release", "--all", "--agent", "planner")["released"]) == ["a", "src/"]
    assert subject.holder("b") == "builder"
    assert subject.done("release", "--all", "--agent", "planner")["released"] == []


def test_eight_processes_at_once_have_one_winner(subject: Subject) -> None:
    for _ in range(3):
        started = [subject.start("acquire", "a", "--agent", f"agent-{number}") for number in range(8)]

        statuses = sorted(process.wait() for process in started)

        assert statuses == [0] + [10] * 7
        subject.done("release", "a", "--agent", str(subject.holder("a")))
