"""Mailbox: messages between agents, broadcasts, threads and acknowledgements.

Guarantees that an accepted message is delivered to exactly its recipient, in order per sender, and that an
acknowledged one never comes again, whatever crashes. Receiving costs what is undelivered, never what is archived. Does
not bring back a message without a demand for an acknowledgement to a reader that died with it in its hands: it is in
the archive.

Protocol: protocol/mailbox.md.
"""

from __future__ import annotations

from latchboard.mailbox.inbox import Inbox
from latchboard.mailbox.service import Mailbox

__all__ = ["Inbox", "Mailbox"]
