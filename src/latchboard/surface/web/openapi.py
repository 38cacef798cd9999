"""OpenAPI: the document that says what every address takes and answers; it is made from protocol/schema.

`openapi.json` beside this module is what is served, and what bodies are held to: an installed daemon has no folder
`protocol`. It is generated (`python -m latchboard.surface.web.openapi protocol/schema`), and a test holds it to its
source.

Protocol: protocol/http.md, "Addresses".
"""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from typing import TYPE_CHECKING

from starlette.responses import Response

from latchboard import __version__
from latchboard.surface.web.query import REVISION_MAX, Query
from latchboard.workqueue.columns import CARDS_COUNT, CARDS_COUNT_MAX

if TYPE_CHECKING:
    from typing import Any

    from starlette.requests import Request

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "openapi.json")
THREADS_COUNT_MAX = 1000
COMMITS_COUNT_MAX = 1000

_REVISION = {"type": "integer", "minimum": 0, "maximum": REVISION_MAX}


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _count(most: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": default}


_ID = {"type": "string", "minLength": 1, "maxLength": 200}

# address: (what it is, schema of the answer, parameters, further statuses)
GETS: dict[str, tuple[str, str, list[dict[str, Any]], tuple[int, ...]]] = {
    "/api/health": ("Which program answers here", "health", [], ()),
    "/api/board": (
        "Who does what, now or at a revision",
        "http-board",
        [_query("at", _REVISION, "As it was at this revision; 0: at the oldest that is kept.")],
        (410,),
    ),
    "/api/history": (
        "Commits that are kept, oldest first",
        "http-history",
        [
            _query("after", _REVISION, "Later than this revision; 0: from the oldest."),
            _query("limit", _count(COMMITS_COUNT_MAX, 200), "At most so many."),
        ],
        (410,),
    ),
    "/api/timeline": (
        "Commits spread over everything that is kept",
        "http-timeline",
        [_query("count", _count(COMMITS_COUNT_MAX, 200), "At most so many.")],
        (410,),
    ),
    "/api/messages": (
        "Conversations, the newest first; or one of them",
        "http-messages",
        [
            _query("thread", _ID, "This one, with its messages."),
            _query("limit", _count(THREADS_COUNT_MAX, 100), "At most so many threads, or messages."),
        ],
        (),
    ),
    "/api/conflicts": (
        "Held files that somebody else changed; or one of them, with its diffs",
        "http-conflicts",
        [_query("id", _ID, "This one.")],
        (),
    ),
    "/api/queue": (
        "The work queue by status, with its limits",
        "http-queue",
        [_query("limit", _count(CARDS_COUNT_MAX, CARDS_COUNT), "At most so many jobs of each status.")],
        (),
    ),
}
POSTS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "release": ("Give locks of an agent back", "release", (409,)),
    "break": ("End somebody's lock before its time", "break", (409,)),
    "send": ("Send a message to an agent, or to all of them", "send", (409,)),
    "handoff": ("Ask for a lock, grant or decline", "http-handoff", (409,)),
    "stop": ("End the daemon", "http-stop", ()),
}
_STATUSES = {
    400: "What was asked cannot be right; nothing was changed",
    401: "The token is missing or wrong",
    403: "A page of another origin asked",
    408: "The body did not come in time",
    409: "Somebody else's right stands in the way; nothing was changed",
    410: "It is not kept any more",
    413: "The body is too large",
    415: "The body is said to be no JSON",
    421: "The Host is no name of this daemon",
    500: "A record is damaged, or a mistake of the daemon's own",
    503: "Not just now: the store is busy, or too many pages are open",
    507: "The disk is full",
}
_USUAL = (400, 403, 421, 500, 503)


@cache
def text() -> str:
    """The document as it is served."""
    with open(FILE, encoding="utf-8") as file:
        return file.read()


@cache
def _parsed() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text())
    return document


def schema(name: str) -> dict[str, Any]:
    """One schema of the document, such as that of a body."""
    found: dict[str, Any] = _parsed()["components"]["schemas"][name]
    return found


async def get(request: Request) -> Response:
    """`/api/openapi.json`."""
    Query(request, ())
    return Response(text(), media_type="application/json")


# -- making it --------------------------------------------------------------------------------------------------------


def document(folder: str) -> dict[str, Any]:
    """The document, from the folder of schemas."""
    paths: dict[str, Any] = {}
    for address, (summary, answer, parameters, more) in GETS.items():
        paths[address] = {"get": _operation(summary, 200, _json(answer), parameters, _with_token(address, more))}
    paths["/api/events"] = {"get": _operation(*_EVENTS)}
    paths["/api/openapi.json"] = {
        "get": _operation("This document", 200, {"application/json": {"schema": {"type": "object"}}}, [], (401,))
    }
    plain = {"text/plain": {"schema": {"type": "string"}}}
    paths["/metrics"] = {"get": _operation("Figures for Prometheus", 200, plain, [], ())}
    for name, (summary, answer, more) in POSTS.items():
        status = 202 if name == "stop" else 200
        operation = _operation(summary, status, _json(answer), [], (401, 408, 413, 415, 507, *more))
        operation["requestBody"] = {"required": True, "content": _json(f"post-{name}")}
        paths[f"/api/{name}"] = {"post": operation}
    for address in ("/api/health", "/metrics"):
        paths[address]["get"]["security"] = []
    return {
        "openapi": "3.1.0",
        "info": {"title": "Latchboard daemon", "version": __version__, "summary": "protocol/http.md, as a document"},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(folder, paths),
        },
    }


_EVENTS: tuple[str, int, dict[str, Any], list[dict[str, Any]], tuple[int, ...]] = (
    "Every commit from now on, or behind a revision",
    200,
    {"text/event-stream": {"schema": {"type": "string"}}},
    [
        _query("after", _REVISION, "Behind this revision."),
        {"name": "Last-Event-ID", "in": "header", "required": False, "schema": _REVISION},
    ],
    (401,),
)


def _with_token(address: str, more: tuple[int, ...]) -> tuple[int, ...]:
    return more if address == "/api/health" else (401, *more)


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _operation(
    summary: str, status: int, content: dict[str, Any], parameters: list[dict[str, Any]], more: tuple[int, ...]
) -> dict[str, Any]:
    responses = {str(status): {"description": "As asked", "content": content}}
    for one in sorted({*_USUAL, *more}):
        responses[str(one)] = {"description": _STATUSES[one], "content": _json("error")}
    return {"summary": summary, **({"parameters": parameters} if parameters else {}), "responses": responses}


def _schemas(folder: str, paths: dict[str, Any]) -> dict[str, Any]:
    """The schemas that are referred to, and those that they refer to, under the names of their files."""
    found: dict[str, Any] = {}
    wanted = sorted(_references(paths))
    while wanted:
        name = wanted.pop(0)
        if name in found:
            continue
        with open(os.path.join(folder, f"{name}.json"), encoding="utf-8") as file:
            loaded = json.load(file)
        for field in ("$schema", "$id"):
            loaded.pop(field, None)
        found[name] = _moved(loaded, name)
        wanted += sorted(_references(found[name]) - found.keys())
    return dict(sorted(found.items()))


_PLACE = "#/components/schemas/"


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = value.get("$ref")
        name = {own.removeprefix(_PLACE).partition("/")[0]} if isinstance(own, str) else set()
        return name.union(*(_references(one) for one in value.values()))
    return set().union(*(_references(one) for one in value)) if isinstance(value, list) else set()


def _moved(value: Any, name: str) -> Any:
    """References between files, as references within the document."""
    if isinstance(value, list):
        return [_moved(one, name) for one in value]
    if not isinstance(value, dict):
        return value
    moved = {field: _moved(one, name) for field, one in value.items()}
    if isinstance(to := value.get("$ref"), str):
        file, _, inside = to.partition("#")
        moved["$ref"] = f"{_PLACE}{file.removesuffix('.json') or name}{inside}"
    return moved


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(sys.argv[1]), indent=1, ensure_ascii=False) + "\n")
