"""A machine as the doctor's ports show it, of which each test says how it stands."""

from __future__ import annotations

from typing import Any

from latchboard.credential.grant import Grant
from latchboard.store.files.damage import DECIDING, Health

ROOT = "/srv/x"
STORE = f"{ROOT}/data/.agent_locks"
ME = 1000
FOLDER = (0o700, ME, "folder")


class Room:
    """Files, kernel locks and limits; what is not named is not there."""

    def __init__(self, **known: Any) -> None:
        self.modes: dict[str, tuple[int, int, str]] = {ROOT: FOLDER}
        self.files: dict[str, bytes] = {}
        self.locked: dict[str, list[int] | None] = {}
        self.closed: set[str] = set()
        self.net: tuple[str, str] | None = None
        self.why_silent = ""
        self.read_only = False
        self.limits: dict[str, int] = {}
        self.stopped: set[int] = set()
        self.free: dict[str, int] = {}
        self.asked: list[str] = []
        for name, value in known.items():
            setattr(self, name, value)

    def mode(self, path: str) -> tuple[int, int, str] | None:
        return self.modes.get(path)

    def may_use(self, path: str) -> bool:
        return path not in self.closed

    def is_read_only(self, path: str) -> bool:
        return self.read_only

    def space(self, path: str) -> dict[str, int]:
        self.asked.append(path)
        plenty = {"free_bytes": 1 << 40, "total_bytes": 1 << 41, "free_files": 1 << 30, "total_files": 1 << 31}
        return {**plenty, **self.free}

    def network(self, path: str) -> tuple[str, str] | None:
        return self.net

    def silence(self, folder: str) -> str:
        self.asked.append(folder)
        return self.why_silent

    def limit(self, name: str) -> int:
        return self.limits.get(name, 0)

    def lockers(self, path: str) -> list[int] | None:
        return self.locked.get(path, [])

    def is_stopped(self, pid: int) -> bool:
        return pid in self.stopped

    def names(self, folder: str) -> list[str]:
        return [path.removeprefix(f"{folder}/") for path in self.files if path.startswith(f"{folder}/")]

    def read(self, path: str, bytes_max: int) -> bytes | None:
        return self.files.get(path)

    def here(self) -> dict[str, Any]:
        return {"host": "m", "uid": ME, "pid": 7}


class Shelf:
    """The store's folder."""

    path = STORE
    deciding = DECIDING

    def __init__(self, health: Health | None = None, *, is_shared: bool = False, last_s: float | None = None) -> None:
        self.health = health or Health()
        self.is_shared = is_shared
        self.last_s = last_s
        self.left: list[str] = []
        self.refusal: OSError | None = None

    def file_of(self, key: str) -> str:
        return f"{STORE}/{key}"

    def look(self, stop_at_s: float) -> Health:
        if self.refusal is not None:
            raise self.refusal
        return self.health

    def last_commit_s(self) -> float | None:
        return self.last_s

    def leftovers(self) -> list[str]:
        return self.left


class Kept:
    """A credential, with a grant or with what keeps it from being read."""

    where = path = "/srv/me/c.json"
    login_command = "log in"
    valid_s_min = 0.0

    def __init__(self, name: str = "c", grant: Grant | Exception | None = None, **known: Any) -> None:
        self.name = name
        self.lock_path = f"{self.path}.lock"
        self.trouble = ""
        self.grant = grant
        for field, value in known.items():
            setattr(self, field, value)

    def load(self) -> Grant | None:
        if isinstance(self.grant, Exception):
            raise self.grant
        return self.grant

    def set_aside(self, name: str) -> str:
        return f"{self.path}.damaged-{name}"
