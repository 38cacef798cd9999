"""Pictures of the graph: every job a node, every edge an arrow, and a title is nothing but text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from latchboard.rules import workqueue_picture as pictures

HOSTILE = 'a"] --> n9["<script>alert(1)</script>\n%%{init: {}}%% click n0 "javascript:x" \\" \u202e \x1b[31m ;]'


def graph(*titles: str) -> dict[str, Any]:
    statuses = ("ready", "in_progress", "done", "dead", "cancelled", "blocked", "testing")
    jobs = [
        {"id": f"j{at}", "title": title, "role": "builder", "status": statuses[at % len(statuses)]}
        for at, title in enumerate(titles)
    ]
    edges = [{"from": "j0", "to": "j1", "kind": "dependency", "is_open": True}]
    edges += [{"from": "j2", "to": "j1", "kind": "sub-task", "is_open": False}]
    edges += [{"from": "gone", "to": "j1", "kind": "dependency", "is_open": True}]
    return {"jobs": jobs, "edges": edges}


NODE = re.compile(r'    n\d+\["(?:[^"\[\]<>&;\n\x00-\x1f]|#\d+;)*"\]')
STATEMENTS = (
    NODE,
    re.compile(r"    n\d+ (?:-->|-\.->)(?:\|part of\|)? n\d+"),
    re.compile(r"    classDef [a-z]+ fill:#[0-9a-f]{6},color:#1c1c1c"),
    re.compile(r"    class n\d+(?:,n\d+)* [a-z]+"),
)


@pytest.mark.parametrize("title", ["plain", HOSTILE, "x" * 500, "ünï", "end", "#quot;"])
def test_mermaid_has_nothing_but_its_own_statements(title: str) -> None:
    lines = pictures.mermaid(graph(title, "b", "c", "d", "e", "f", "g"))

    assert lines[0] == "flowchart LR"
    assert all(any(one.fullmatch(line) for one in STATEMENTS) for line in lines[1:]), "\n".join(lines)
    assert sum(1 for line in lines if NODE.fullmatch(line)) == 7
    assert [line for line in lines if "->" in line] == ["    n0 --> n1", "    n2 -.->|part of| n1"]


@pytest.mark.parametrize("title", ["plain", HOSTILE, "x" * 500, "back\\slash", 'end\\"'])
def test_dot_has_nothing_but_its_own_statements(title: str) -> None:
    lines = pictures.dot(graph(title, "b", "c", "d", "e", "f", "g"))

    text = r'"(?:[^"\\\n]|\\.)*"'
    node = re.compile(rf"    n\d+ \[label={text}(?:, fillcolor=\"#[0-9a-f]{{6}}\")?\];")
    edge = re.compile(r'    n\d+ -> n\d+(?: \[(?:label="part of")?(?:, )?(?:style=dotted)?\])?;')
    assert (lines[0], lines[-1]) == ("digraph queue {", "}")
    assert all(node.fullmatch(line) or edge.fullmatch(line) for line in lines[3:-1]), "\n".join(lines)
    assert sum(1 for line in lines if edge.fullmatch(line)) == 2


def test_an_entity_in_a_title_is_its_letters() -> None:
    assert '"j0: a &amp;lt; b \\\\N' in "\n".join(pictures.dot(graph("a &lt; b \\N", "b", "c")))


def test_an_empty_queue_is_an_empty_picture() -> None:
    empty: dict[str, Any] = {"jobs": [], "edges": []}

    assert pictures.mermaid(empty) == ["flowchart LR"]
    assert pictures.dot(empty)[-1] == "}"


def test_dot_shows_an_entity_as_it_stands_in_the_title() -> None:
    assert any("R&amp;D &amp;lt;" in line for line in pictures.dot(graph("R&D &lt;", "b", "c")))
