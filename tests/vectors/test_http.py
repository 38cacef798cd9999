"""protocol/vectors/http/ against the gate of surface/web, and the chapter against the application."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from latchboard.surface.web import openapi
from latchboard.surface.web.gate import Gate

PROTOCOL = Path(__file__).parents[2] / "protocol"


def cases(name: str) -> list[Any]:
    vector = json.loads((PROTOCOL / "vectors" / "http" / f"{name}.json").read_text(encoding="utf-8"))
    return [pytest.param(case["given"], case["expect"], id=case["description"]) for case in vector["cases"]]


@pytest.mark.parametrize(("given", "expect"), cases("gate"))
def test_gate(given: dict[str, Any], expect: list[Any] | None) -> None:
    served: list[str] = []
    sent: list[Any] = []

    async def app(scope: Any, *_: object) -> None:
        served.append(scope["path"])

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    gate = Gate(
        app,
        token="a" * 64,
        public=("/",),
        allowed_hosts=given.get("allowed_hosts", ()),
        on_activity=lambda: None,
        on_answer=lambda _: None,
    )
    scope = {
        "type": "http",
        "method": given["method"],
        "path": given["path"],
        "raw_path": given["path"].encode(),
        "query_string": b"",
        "server": ("127.0.0.1", 9400),
        "headers": [(name.encode(), value.encode()) for name, value in given["headers"].items()],
    }
    asyncio.run(gate(scope, receive, send))

    if expect is None:
        assert served == [given["path"]] and sent == []
    else:
        assert served == []
        assert [sent[0]["status"], json.loads(sent[1]["body"])["code"]] == expect


def test_the_chapter_names_every_address_and_the_schema_of_its_answer() -> None:
    table = (PROTOCOL / "http.md").read_text(encoding="utf-8").partition("## Addresses")[2].partition("## ")[0]
    named = {method.lower() + " " + path for method, path in re.findall(r"`(GET|POST) (/[\w./-]*)", table)}

    assert {f"get {path}" for path in openapi.GETS} <= named
    assert {f"post /api/{name}" for name in openapi.POSTS} <= named
    for name in re.findall(r"`schema/([\w-]+)\.json`", table):
        assert (PROTOCOL / "schema" / f"{name}.json").exists()
