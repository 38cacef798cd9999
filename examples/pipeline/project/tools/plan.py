"""The planner: finds out who uses the old name, writes PLAN.md, and puts a job for each file into the queue."""

import json
import os
import re
import sys
from pathlib import Path

from latchboard import Latchboard
from latchboard.errors import UsageError

job = json.load(sys.stdin)
old, new = job["payload"]["old"], job["payload"]["new"]
users = sorted(str(path) for path in Path().glob("*/*.py") if re.search(rf"\b{old}\b", path.read_text()))
users = [path for path in users if not path.startswith("tools/")]

lines = [f"# Rename `{old}` to `{new}`", "", *(f"- {path}" for path in users), "", "Then test, mend what fails, merge."]
Path("PLAN.md").write_text("\n".join(lines) + "\n")

edits = [
    {"id": f"{job['id']}-{n}", "title": f"{path}: {old} becomes {new}", "role": "builder", "files": [path]}
    | {"payload": job["payload"]}
    for n, path in enumerate(users, 1)
]
test = {
    "id": f"{job['id']}-test",
    "title": f"Nothing is called {old} any more, and all tests pass",
    "role": "tester",
    "dependencies": [edit["id"] for edit in edits],
    "then": ["integrator"],
    "files": ["stats/", "tests/"],
    "payload": job["payload"],
}
board = Latchboard(os.environ["LATCHBOARD_ROOT"], publishes=False)
try:
    board.queue.submit([*edits, test], by=os.environ["AGENT_ID"])
except UsageError:  # an attempt before this one got that far: all of them are there, or none
    board.queue.show(test["id"])
print(f"{len(edits)} files use {old}")
