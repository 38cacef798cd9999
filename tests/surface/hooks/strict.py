"""Codex's reader, as strict as it is: an answer with a key that it does not know is none."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

SCHEMA = json.loads((Path(__file__).parent / "codex_output.json").read_text(encoding="utf-8"))


def answer_fits_codex(event: str, stdout: str) -> None:
    schema = {"$ref": f"#/$defs/{event}", "$defs": SCHEMA["$defs"]}
    jsonschema.Draft202012Validator(schema).validate(json.loads(stdout))
