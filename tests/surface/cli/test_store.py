"""store status, store check and store copy, over files; over etcd: tests/store/etcd."""

from __future__ import annotations

import os

import pytest

from latchboard.compose import store_desk
from latchboard.errors import UsageError
from latchboard.store.etcd.access import Access
from tests.surface.cli.harness import Cli, validate


def folder(cli: Cli) -> str:
    return f"{cli.project}/data/.agent_locks"


def test_status_of_a_store_in_files(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "a")
    done = cli("store", "status", "--json")

    validate("store-status", done.json)
    assert done.status == 0
    assert (done.json["engine"], done.json["where"], done.json["is_healthy"]) == ("files", folder(cli), True)
    assert done.json["counts"]["locks"] == 1
    assert done.json["members"] == []
    people = cli("store", "status").out
    assert "healthy" in people
    assert "1 locks" in people


def test_status_where_nothing_was_committed(cli: Cli) -> None:
    done = cli("store", "status", "--json").json

    assert (done["revision"], done["record_count"], done["store_id"], done["is_healthy"]) == (0, 0, "", True)
    assert cli("store", "check", "--json").json["findings"] == []


def test_pipe_where_the_format_belongs_is_told_and_not_waited_for(cli: Cli) -> None:
    cli("update", "at work", "--agent", "a")
    os.unlink(f"{folder(cli)}/FORMAT")
    os.mkfifo(f"{folder(cli)}/FORMAT")

    done = cli("store", "status", "--json")

    assert (done.status, done.json["store_id"], done.json["is_healthy"]) == (3, "", False)


def test_record_that_cannot_be_read_is_critical(cli: Cli) -> None:
    cli("update", "at work", "--agent", "a")
    with open(f"{folder(cli)}/agents/a.json", "w", encoding="utf-8") as file:
        file.write("{")

    status, check = cli("store", "status", "--json"), cli("store", "check", "--json")

    validate("store-check", check.json)
    assert (status.status, check.status) == (3, 1)
    assert not status.json["is_healthy"]
    assert [(one["severity"], one["key"]) for one in check.json["findings"]] == [("critical", "agents/a")]
    assert "doctor --fix" in cli("store", "check").out


def findings(cli: Cli) -> dict[str, str]:
    found = cli("store", "check", "--json").json["findings"]
    assert len({one["key"] for one in found}) == len(found)
    return {one["key"]: one["severity"] for one in found}


def test_what_is_told_of_a_record_that_cannot_be_read_is_told_once(cli: Cli) -> None:
    cli("acquire", "src/", "--agent", "a")
    cli("queue", "add", "builder", "Build it", "--id", "it", "--agent", "lead")
    for name in ("wide.json", "queue/active.json"):
        with open(f"{folder(cli)}/{name}", "w", encoding="utf-8") as file:
            file.write("{")

    assert findings(cli) == {"wide": "critical", "queue/active": "critical"}
    counted = cli("store", "check", "--json").json["record_count"]
    assert counted == cli("store", "status", "--json").json["record_count"] + 2


def test_line_that_was_never_finished_is_harmless_and_a_damaged_one_is_not(cli: Cli) -> None:
    cli("update", "at work", "--agent", "a")
    cli("update", "at work still", "--agent", "a")
    (name,) = (one for one in os.listdir(f"{folder(cli)}/journal") if one.endswith(".jsonl"))
    with open(f"{folder(cli)}/journal/{name}", "r+", encoding="utf-8") as file:
        lines = file.read()
        file.write('{"revision":')
        file.flush()
        assert findings(cli) == {f"journal/{name}": "warn"}
        assert cli("store", "check").status == 0
        file.seek(0)
        file.truncate()
        file.write(lines.replace('"at work"', '"at wqrk"'))

    assert findings(cli) == {f"journal/{name}": "critical", "history": "warn"}


def test_sound_store_is_read_to_its_end(cli: Cli) -> None:
    cli("acquire", "src/", "--agent", "a")
    cli("queue", "add", "builder", "Build it", "--id", "it", "--agent", "lead")
    cli("send", "b", "hello", "--agent", "a")
    cli("send", "b", "once more", "--agent", "a")
    done = cli("store", "check", "--json")

    validate("store-check", done.json)
    assert (done.status, done.json["findings"]) == (0, [])
    status = cli("store", "status", "--json").json
    assert done.json["record_count"] == status["record_count"] == sum(status["counts"].values())
    assert status["counts"]["messages"] == 2
    assert done.json["commit_count"] >= 3
    assert "everything is what it must be" in cli("store", "check").out


def test_copy_names_two_stores(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "a")
    (cli.project / "to").mkdir()

    for words in ((".", "."), (".", "nowhere"), ("nowhere", "to"), ("to", "."), (".", ""), ("etcd://h", "to")):
        assert cli("store", "copy", *words).status == 2, words
    done = cli("store", "copy", ".", "to", "--json")
    validate("store-copy", done.json)
    assert done.status == 0
    assert "src/a.py" in cli("status", "--root", "to").out
    told = cli("store", "copy", ".", cli_folder(cli)).out
    assert "nothing was committed" in told
    assert "next: take `store` out of /" in told  # no setting names a folder


def test_store_that_would_lie_inside_the_other_is_refused(cli: Cli) -> None:
    one, other = "etcd://127.0.0.1:1/team", "etcd://127.0.0.1:1,127.0.0.1:2/team/records/x"

    for words in ((one, other), (other, one)):
        done = cli("store", "copy", *words)
        assert (done.status, "lies inside" in done.err) == (2, True)


def test_stores_that_lie_beside_each_other_are_not_refused() -> None:
    for one, other in (("etcd://h/team", "etcd://h/team2"), ("etcd://h/team", "etcd://other/team/x")):
        store_desk._refuse_nested([Access(one), Access(other)])
    with pytest.raises(UsageError):
        store_desk._refuse_nested([Access("etcd://h/team/x"), Access("etcd://other,h/team")])


def cli_folder(cli: Cli) -> str:
    path = cli.project / "people"
    path.mkdir()
    return str(path)
