"""A queue with one live file beside it, and a person who edits that file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from latchboard.host.queue_file import QueueFile
from latchboard.host.queue_shelf import QueueShelf
from latchboard.queue_file import LiveFile, QueueFiles
from tests.services.workqueue.support import Bench


class Desk:
    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.path = folder / "SPRINT_QUEUE.json"
        self.store_folder = folder / "data" / ".agent_locks"
        self.store_folder.mkdir(parents=True, exist_ok=True)
        self.files = QueueFiles(bench.store, bench.clock, bench.locks)
        self.live = self.another()

    def another(self) -> LiveFile:
        """The same file, as another process sees it."""
        folder = str(self.path.parent)
        shelf = QueueShelf(str(self.store_folder), str(self.path), lambda: None)
        return LiveFile(self.files, QueueFile(folder, self.path.name), shelf)

    def killed_at(self, what: str) -> None:
        """Another process syncs, and is killed where it would do this: `write` the file, or `settle` what it noted."""
        assert self.try_killed_at(what)

    def try_killed_at(self, what: str) -> bool:
        """The same; whether it came to that."""
        other = self.another()
        part = "_file" if what == "write" else "_shelf"
        setattr(other, part, Deadly(getattr(other, part), what))
        try:
            other.sync()
        except KeyboardInterrupt:
            return True
        return False

    def write(self, document: Any) -> None:
        self.path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return found

    def task(self, task_id: str) -> dict[str, Any]:
        return {one["id"]: one for one in self.read()["tasks"]}[task_id]

    def edit(self, task_id: str, **fields: Any) -> None:
        document = self.read()
        for one in document["tasks"]:
            if one["id"] == task_id:
                one.update(fields)
        self.write(document)

    def bring(self, *tasks: dict[str, Any], **rest: Any) -> dict[str, Any]:
        data = json.dumps({**rest, "tasks": list(tasks)}).encode()
        prefer = rest.pop("prefer", "")
        return self.files.bring(data, path="queue.json", by="lead", prefer=prefer)

    def export(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.files.export()[0])
        return found


class Deadly:
    """A port of which one call is never come back from."""

    def __init__(self, port: Any, what: str) -> None:
        self._port = port
        self._what = what

    def __getattr__(self, name: str) -> Any:
        return self._die if name == self._what else getattr(self._port, name)

    def _die(self, *_: Any, **__: Any) -> None:
        raise KeyboardInterrupt


def task(task_id: str, **fields: Any) -> dict[str, Any]:
    return {"id": task_id, "title": f"Do {task_id}", "status": "ready", "priority": 5, "dependencies": [], **fields}
