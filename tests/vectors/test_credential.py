"""protocol/vectors/credential/ and the tables of protocol/credential.md against rules/credential.py and the record."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from latchboard.credential.grant import Grant, decode_if_any, encode
from latchboard.credential.secret import Secret
from latchboard.errors import MalformedRecord, ProtocolError, UnsupportedVersion
from latchboard.rules import credential

PROTOCOL = Path(__file__).parents[2] / "protocol"
CHAPTER = (PROTOCOL / "credential.md").read_text(encoding="utf-8")
SCHEMA = json.loads((PROTOCOL / "schema/credential.json").read_text(encoding="utf-8"))
ERRORS: dict[str, type[ProtocolError]] = {"malformed": MalformedRecord, "unsupported": UnsupportedVersion}


def cases(name: str) -> list[Any]:
    vector = json.loads((PROTOCOL / "vectors/credential" / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


@pytest.mark.parametrize(("given", "expect"), cases("decisions"))
def test_what_is_done(given: dict[str, Any], expect: dict[str, Any]) -> None:
    event, times = given["event"], {key: given[key] for key in ("now_s", "valid_s_min")}

    do, outcome = credential.decide(event, given["reference"], given["current"], **times)

    assert {"do": do, "outcome": outcome or None} == expect


@pytest.mark.parametrize(("given", "expect"), cases("versions"))
def test_version(given: dict[str, Any], expect: str) -> None:
    access, refresh = (Secret(given[key]) if given[key] else None for key in ("access_token", "refresh_token"))

    grant = Grant(
        generation=given["generation"], token_endpoint="https://x", access_token=access, refresh_token=refresh
    )

    assert grant.version == expect
    assert credential.parse_version(expect) == {key: grant.face[key] for key in ("generation", "fingerprint")}


@pytest.mark.parametrize(("given", "expect"), cases("records"))
def test_record(given: dict[str, Any], expect: str) -> None:
    data = json.dumps(given).encode()

    if expect != "good":
        with pytest.raises(ERRORS[expect]):
            decode_if_any(data, "somewhere")
        return
    grant = decode_if_any(data, "somewhere")

    assert grant is not None
    jsonschema.validate(given, SCHEMA)
    written = json.loads(encode(grant))
    jsonschema.validate(written, SCHEMA)
    assert {key: written[key] for key in given} == given


def test_the_table_of_the_chapter_is_the_one_of_the_rules() -> None:
    lines = CHAPTER.partition("## Decisions")[2].partition("## Outcomes")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    relations = rows[0][1:]

    written = {row[0]: dict(zip(relations, row[1:], strict=True)) for row in rows[2:]}

    assert written == {
        event: {relation: f"{do}: {outcome}" if outcome else do for relation, (do, outcome) in cells.items()}
        for event, cells in credential.TABLE.items()
    }


def test_the_chapter_lists_the_six_outcomes_and_every_field() -> None:
    outcomes = CHAPTER.partition("## Outcomes")[2].partition("## ")[0]
    record = CHAPTER.partition("## Record")[2].partition("## ")[0]
    fields = [name for row in re.findall(r"^\| (`[^|]*`) \|", record, re.MULTILINE) for name in row.split("`")[1::2]]

    assert tuple(re.findall(r"^\| `(\w+)`", outcomes, re.MULTILINE)) == credential.OUTCOMES
    assert set(fields) == set(SCHEMA["properties"])
    reached = {outcome for cells in credential.TABLE.values() for _, outcome in cells.values() if outcome}
    assert reached == set(credential.OUTCOMES)
