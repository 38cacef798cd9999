"""Finder: loads the modules of this package from their compiled files, without looking around for them.

Python looks through a list of finders and lists folders for every module; for the sixty small ones that a hook needs,
that is a tenth of its time. Here each is where its parent package says that it is, and nowhere else.

Law 1. A compiled file is used exactly where Python would use it: of this interpreter, for a source of this time and
size. Everything else (no compiled file, a stale one, one that is checked by hash, a package from an archive) is left to
Python, which compiles it and keeps that.
Law 2. It is put in front by a process that does nothing but handle an event; nobody else's imports change.
"""

from __future__ import annotations

import os
import sys
from _frozen_importlib_external import MAGIC_NUMBER  # importlib.util takes it from there too
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

_PACKAGE = "latchboard."
_FILE_BYTES_MAX = 128 * 1024
_HEAD_BYTES = 16
_START = MAGIC_NUMBER + b"\0\0\0\0"  # flags 0: checked by the time and the size of the source
_TAG = f".{sys.implementation.cache_tag}.pyc"


class Finder:
    """An entry of sys.meta_path, and the loader of what it finds."""

    __slots__ = ("_spec_type",)

    def __init__(self, spec_type: type[ModuleSpec]) -> None:
        self._spec_type = spec_type

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Where a module of this package is; None: Python may look for it."""
        if not name.startswith(_PACKAGE) or not path:
            return None
        folder, last = path[0], name[name.rindex(".") + 1 :]
        try:
            source, package = f"{folder}/{last}.py", ""
            try:
                status = os.stat(source)
            except FileNotFoundError:
                package = f"{folder}/{last}"
                source, folder, last = f"{package}/__init__.py", package, "__init__"
                status = os.stat(source)
            compiled = f"{folder}/__pycache__/{last}{_TAG}"
            data = _read(compiled)
        except OSError:
            return None
        stamp = (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
        head = _START + stamp[0].to_bytes(4, "little") + stamp[1].to_bytes(4, "little")
        if data[:_HEAD_BYTES] != head or len(data) >= _FILE_BYTES_MAX:
            return None
        spec = self._spec_type(name, self, origin=source, loader_state=data)  # type: ignore[arg-type]  # it loads
        spec.has_location = True
        spec.cached = compiled
        if package:
            spec.submodule_search_locations = [package]
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """An ordinary module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the compiled code."""
        spec = module.__spec__
        assert spec is not None
        data: bytes = spec.loader_state
        code: CodeType = loads(memoryview(data)[_HEAD_BYTES:])
        exec(code, module.__dict__)


def put_in_front() -> None:
    """Use it in this process, where Python keeps compiled files in their usual places."""
    spec = sys.modules["latchboard"].__spec__
    if spec is not None and not sys.flags.optimize and sys.pycache_prefix is None:
        sys.meta_path.insert(0, Finder(type(spec)))


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _FILE_BYTES_MAX)
    finally:
        os.close(fd)
