from __future__ import annotations

from tests.surface.cli.harness import Cli


def test_bench_measures_beside_the_floor(cli: Cli) -> None:
    answer = cli("bench", "--rounds", "3", "--json").json

    assert answer["rounds"] == 3
    assert [row["what"] for row in answer["measured"]][1:] == ["acquire + release", "check", "renew"]
    assert answer["acquire_release_per_floor"] > 0
    assert not (cli.project / "data").exists()


def test_bench_for_people(cli: Cli) -> None:
    out = cli("bench", "--rounds", "3").out

    assert "acquire + release" in out
    assert "times the floor" in out


def test_rounds_have_a_limit(cli: Cli) -> None:
    assert cli("bench", "--rounds", "100001").status == 2
