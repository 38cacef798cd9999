from __future__ import annotations

import pytest

from latchboard.store.files import records
from tests.surface.cli.harness import Cli


@pytest.mark.parametrize("data", [b"", b"{", b"[]"])
def test_record_that_cannot_be_read_is_named_once(cli: Cli, data: bytes) -> None:
    cli("acquire", "src/a.py", "--agent", "planner")
    store = cli.project / "data" / ".agent_locks"
    (path,) = store.glob("*a.py*.lock")
    path.write_bytes(data)

    for name in ("src/a.py", "src/", "glob:src/*.py"):
        answer = cli("acquire", name, "--agent", "builder")

        assert answer.status == 12
        assert answer.err.splitlines()[0].count(path.name) == 1, answer


def test_name_that_is_the_path_is_not_said_twice() -> None:
    assert records.malformed("locks/a.json", "locks/a.json", "why").message == (
        "the record locks/a.json cannot be read: why"
    )
    assert records.malformed("locks/a", "locks/a.json", "why").message == (
        "the record locks/a in locks/a.json cannot be read: why"
    )
