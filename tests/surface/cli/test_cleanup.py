from __future__ import annotations

from tests.surface.cli.harness import Cli


def test_nothing_to_do_is_said_by_silence(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")

    answer = cli("cleanup")

    assert (answer.status, answer.out, answer.err) == (0, "", "")
    assert cli("check", "src/a.py").status == 10


def test_cleanup_of_nothing_makes_nothing(cli: Cli) -> None:
    assert cli("cleanup", "--dry-run").status == 0
    assert not (cli.project / "data").exists()


def test_expired_hold_goes_and_is_named(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner", "--ttl-s", "10")
    cli.clock.advance(11)

    dry = cli("cleanup", "--dry-run")
    wet = cli("cleanup")

    assert "would remove planner's lock on src/a.py (expired)\n" in dry.out
    assert "removed planner's lock on src/a.py (expired)\n" in wet.out
    assert cli("cleanup").out == ""


def test_json_counts_truly(cli: Cli) -> None:
    cli("acquire", "src/a.py", "src/b.py", "--agent", "planner", "--ttl-s", "10")
    cli.clock.advance(11)

    report = cli("cleanup", "--json").json

    assert [hold["name"] for hold in report["locks"]] == ["src/a.py", "src/b.py"]
    assert cli("cleanup", "--json").json["removed_count"] == 0


def test_damage_is_a_finding(cli: Cli) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")
    record = next((cli.project / "data" / ".agent_locks").glob("*.lock"))
    record.write_text("{", encoding="utf-8")

    answer = cli("cleanup")

    assert answer.status == 3
    assert "which cannot be read" in answer.out
    assert "latchboard break PATH" in answer.out
    assert cli("acquire", "src/a.py", "--agent", "builder").status == 12
