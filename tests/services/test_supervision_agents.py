"""Ending workers by hand, where no supervisor does it; on a fake machine, with real records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from latchboard.daemon_process import Daemons
from latchboard.errors import DaemonError
from latchboard.host.daemon_entry import DaemonEntry
from latchboard.rules import supervision as rules
from latchboard.settings import Settings
from latchboard.supervision.record import ObservedFile, WantedFile
from latchboard.supervision.service import Agents
from tests.services.test_supervision import PYTHON
from tests.services.test_supervision_looking import Watched


class Ended(Watched):
    """The scene, and somebody who ends workers; the supervisor is dead."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.supervisor.state = "none"
        self.agents = Agents(
            self.root,
            clock=self.clock,
            machine=self.machine,
            supervisors=self.supervisor,  # type: ignore[arg-type]
            workers=Daemons(self.root, self.clock, self.machine, Settings(), DaemonEntry(self.root), verb=rules.WORKER),
            wanted_file=WantedFile(self.root),
            observed_file=ObservedFile(self.root),
            looking=self.looking,
            tables=lambda: {"builder": {"grace_s": 5}},
            make_folder=lambda: None,
            is_place_taken=lambda: False,
        )


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    made = Ended(tmp_path)
    yield made
    made.close()


def test_who_survives_is_told(scene: Ended) -> None:
    worker = scene.worker("builder", 1)
    scene.machine.dress(worker, on_term="survives", argv=None)

    with pytest.raises(DaemonError, match=f"worker 1 of builder .process {worker['pid']}. could not be ended"):
        scene.agents.stop()


def test_who_becomes_another_program_before_the_signal_is_left(scene: Ended) -> None:
    worker = scene.worker("builder", 1)
    looks: list[str] = []

    def before(name: str) -> None:
        if name == "grip":  # found and judged; what it is now is asked once more, and last
            scene.machine.dress(worker, argv=["sleep", "300"], exe=PYTHON)
        looks.append(name)

    scene.machine.interfere(before)
    with pytest.raises(DaemonError):
        scene.agents.stop()

    assert "grip" in looks and scene.machine.signals == []
