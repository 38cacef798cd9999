"""Metrics: families of figures, and the text that Prometheus reads; pure.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/, "Text-based format", version 0.0.4.

Protocol: protocol/singleton.md, "Metrics".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    Family: TypeAlias = dict[str, Any]
    """`name`, `type` ("counter" or "gauge"), `help`, `samples`: a list of {"labels": {..}, "value": number}."""

PREFIX = "latchboard_"


def family(name: str, kind: str, help: str, samples: Iterable[tuple[dict[str, str], int]]) -> Family:
    """One family; a counter's name ends in `_total`."""
    full = PREFIX + name + ("_total" if kind == "counter" else "")
    return {
        "name": full,
        "type": kind,
        "help": help,
        "samples": [{"labels": labels, "value": value} for labels, value in samples],
    }


def exposition(families: Iterable[Family]) -> list[str]:
    """The lines of the text format; a family without a sample is shown by its head alone."""
    lines = []
    for one in families:
        lines.append(f"# HELP {one['name']} {_escaped(one['help'])}")
        lines.append(f"# TYPE {one['name']} {one['type']}")
        for sample in one["samples"]:
            labels = ",".join(f'{name}="{_quoted(text)}"' for name, text in sample["labels"].items())
            lines.append(
                f"{one['name']}{{{labels}}} {sample['value']}" if labels else f"{one['name']} {sample['value']}"
            )
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
