"""Two agents in one event loop take turns at one file; neither blocks the other's thinking.

Run it in any folder: it makes shared.txt there.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from latchboard import Latchboard
from latchboard.aio import AsyncAgent

SHARED = "shared.txt"


async def work(board: Latchboard, agent_id: str) -> None:
    """Add three lines, one lock for each: waiting is first come, first served."""
    me = AsyncAgent(board.agent(agent_id))
    shared = Path(board.root, SHARED)
    for number in range(3):
        async with me.lock(SHARED, wait_s_max=30, reason="add a line") as hold:
            before = await asyncio.to_thread(shared.read_text)
            await asyncio.sleep(0.01)  # thinking; meanwhile the other one waits in line
            await hold.write(SHARED, f"{before}{agent_id} {number}\n")


async def work_together(board: Latchboard) -> None:
    """Both at once."""
    await asyncio.gather(work(board, "planner"), work(board, "builder"))


if __name__ == "__main__":
    here = Latchboard(".")
    Path(here.root, SHARED).write_text("")
    asyncio.run(work_together(here))
    print(Path(here.root, SHARED).read_text(), end="")
    here.close()
