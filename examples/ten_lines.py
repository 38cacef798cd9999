"""The ten lines of the README: rename something in a file that others edit too, and tell an agent about it.

Run it in any folder that has a file src/a.py.
"""

# ruff: noqa: SIM115 - as short as in the README
from __future__ import annotations

from latchboard import Latchboard

board = Latchboard(".")
me = board.agent("planner")
with me.lock("src/a.py", wait_s_max=5, reason="rename Foo") as hold:
    text = open("src/a.py").read()
    hold.write("src/a.py", text.replace("Foo", "Bar"))  # replaced only while the lock is ours
board.mailbox.send("planner", "builder", "Foo is called Bar now")
for message in board.mailbox.receive("planner").messages:
    print(message["from"], message["body"])
