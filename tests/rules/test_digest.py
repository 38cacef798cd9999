"""The digest is the same whatever the interpreter has of its own."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import pytest

from latchboard.rules import digest


@pytest.mark.parametrize("there", ["_sha256", "_sha2", "hashlib"])
def test_a_digest_is_the_same_wherever_it_comes_from(there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_sha256", "_sha2"):
        stand_in = SimpleNamespace(sha256=digest.sha256) if name == there else None
        monkeypatch.setitem(sys.modules, name, stand_in)  # None: it cannot be imported
    spec = importlib.util.spec_from_file_location("digest_anew", digest.__file__)
    assert spec is not None and spec.loader is not None
    anew = importlib.util.module_from_spec(spec)

    spec.loader.exec_module(anew)

    assert anew.sha256(b"abc").hexdigest().startswith("ba7816bf8f01cfea")
