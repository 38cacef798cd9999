"""Pictures of who waits for whom: Mermaid and DOT, from the same graph; pure.

Law. A title is text, whatever is in it: it ends no label, begins no other statement, and runs nothing.

Protocol: protocol/workqueue.md, "Graph".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TITLE_CHARS = 60
_FILLS = {"done": "#d7f0dd", "dead": "#f6d5d5", "cancelled": "#e4e4e4", "blocked": "#f6e7c4"}
_WORK_FILL = "#d5e4f7"
_WORK = ("planning", "in_progress", "testing", "adapting", "integrating")


def mermaid(graph: dict[str, Any]) -> list[str]:
    """Lines of a Mermaid flowchart. An arrow leads to who waits; a dotted one is not waited for any more."""
    names = _names(graph)
    lines = ["flowchart LR"]
    lines += [f'    {names[job["id"]]}["{_entities(_label(job, " - "))}"]' for job in graph["jobs"]]
    for edge in _known(graph, names):
        arrow = "-->" if edge["is_open"] else "-.->"
        part = "|part of|" if edge["kind"] == "sub-task" else ""
        lines.append(f"    {names[edge['from']]} {arrow}{part} {names[edge['to']]}")
    for status, fill in _styles(graph):
        ids = ",".join(names[job["id"]] for job in graph["jobs"] if _style(job["status"]) == status)
        lines += [f"    classDef {status} fill:{fill},color:#1c1c1c", f"    class {ids} {status}"]
    return lines


def dot(graph: dict[str, Any]) -> list[str]:
    """Lines of a DOT digraph, for graphviz. Arrows as in `mermaid`."""
    names = _names(graph)
    lines = ["digraph queue {", "    rankdir=LR;", '    node [shape=box, style="rounded,filled", fillcolor="#ffffff"];']
    fills = dict(_styles(graph))
    for job in graph["jobs"]:
        style = _style(job["status"])
        fill = f', fillcolor="{fills[style]}"' if style else ""
        lines.append(f'    {names[job["id"]]} [label="{_escaped(_label(job, chr(10)))}"{fill}];')
    for edge in _known(graph, names):
        marks = ['label="part of"'] if edge["kind"] == "sub-task" else []
        marks += [] if edge["is_open"] else ["style=dotted"]
        said = f" [{', '.join(marks)}]" if marks else ""
        lines.append(f"    {names[edge['from']]} -> {names[edge['to']]}{said};")
    return [*lines, "}"]


def _names(graph: dict[str, Any]) -> dict[str, str]:
    """A word for each job: an id may be what the language means something else by."""
    return {job["id"]: f"n{at}" for at, job in enumerate(graph["jobs"])}


def _known(graph: dict[str, Any], names: dict[str, str]) -> list[dict[str, Any]]:
    return [edge for edge in graph["edges"] if edge["from"] in names and edge["to"] in names]


def _style(status: str) -> str:
    return "work" if status in _WORK else status if status in _FILLS else ""


def _styles(graph: dict[str, Any]) -> list[tuple[str, str]]:
    found = dict.fromkeys(style for job in graph["jobs"] if (style := _style(job["status"])))
    return [(style, _FILLS.get(style, _WORK_FILL)) for style in found]


def _label(job: dict[str, Any], between: str) -> str:
    title = "".join(c if c.isprintable() else " " for c in job["title"])
    title = title if len(title) <= _TITLE_CHARS else f"{title[: _TITLE_CHARS - 3]}..."
    return f"{job['id']}: {title}{between}{job['status']}, {job['role']}"


def _entities(text: str) -> str:
    """Text in a label of Mermaid: whatever could be markup, there or in the page around it, as a number."""
    return "".join(c if c.isalnum() or c in " .,:-_/" else f"#{ord(c)};" for c in text)


def _escaped(text: str) -> str:
    """Text between the quotation marks of DOT, where an entity or an escape would be read as one."""
    return text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
