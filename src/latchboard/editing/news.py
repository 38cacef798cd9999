"""News: unread mail on its way to an agent between two of its calls; each message once.

A message is taken in the commit in whose midst it is handed over: if the one who asked cannot be written to, nothing is
committed and the message is still unread. What is delivered already and waits for its acknowledgement is not told
again.

Protocol: protocol/editing.md, "News".
"""

from __future__ import annotations

from latchboard.mailbox.reading import Reading, look
from latchboard.mailbox.receipt import Receipt
from latchboard.rules import mailbox as rules
from latchboard.rules.agent import check_agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.clock import Clock
    from latchboard.store.port import Store, View

NEWS_COUNT_MAX = 10


def hand_over_news(
    store: Store,
    clock: Clock,
    agent: str,
    hand_over: Callable[[list[dict[str, Any]]], None],
    *,
    bytes_max: int = 8_000,
) -> int:
    """Take the oldest unread messages of an agent and hand them over.

    Args:
        store: Where mail lies.
        clock: Decides what has expired.
        agent: Whose mail.
        hand_over: Given the messages, in order; runs inside of the commit, so it must not take long, and if it raises
            they stay unread. Not called when there are none.
        bytes_max: Most bytes of all bodies together, for clients cut what is long; the first message is handed over
            whatever its length.

    Returns:
        How many were handed over.

    Raises:
        StoreError: None were.
    """
    check_agent(agent)
    now = clock.now()
    found = look(Reading(store), agent, now)
    unread = [one for one in [*found.own, *found.news] if rules.state(one) == "waiting"]
    chosen = _first(rules.deliveries(unread, now, None)[0], bytes_max)
    if not chosen:
        return 0
    receipt = Receipt(agent, now, None, chosen)
    taken: list[dict[str, Any]] = []

    def take(view: View) -> None:
        # Another call of the agent may have had some of them since: those are gone, or are "redelivered" now.
        taken[:] = [message for message in receipt.take(view) if not message["redelivered"]]

    store.transact(take, who=agent, effect=lambda: hand_over(taken) if taken else None)
    return len(taken)


def _first(messages: list[dict[str, Any]], bytes_max: int) -> list[str]:
    """Ids of the first messages, as many as may be handed over at once."""
    chosen: list[str] = []
    size = 0
    for message in messages[:NEWS_COUNT_MAX]:
        size += len(message["body"].encode()) + len(message["subject"].encode())
        if chosen and size > bytes_max:
            break
        chosen.append(message["id"])
    return chosen
