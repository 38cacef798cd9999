"""Mailbox, the service: what agents call. Rules meet the store, the clock and the host here.

A message is one record under its recipient; receiving moves it from `messages/` to `archive/` in one commit, so that it
is in exactly one of them at any instant. A broadcast is one record for everybody; it becomes a message of each reader's
own when that reader receives it.

Protocol: protocol/mailbox.md.
"""

from __future__ import annotations

from itertools import count

from latchboard.errors import CoordinationError, UsageError
from latchboard.host.identity import is_identity, tag
from latchboard.mailbox import looking, sweeping
from latchboard.mailbox.inbox import Inbox
from latchboard.mailbox.reading import Reading, broadcast_to, get, look, put_broadcast, thread_of
from latchboard.mailbox.receipt import BATCH_COUNT, Receipt
from latchboard.rules import mailbox as rules
from latchboard.rules.agent import check_agent
from latchboard.rules.message import check_draft, check_id
from latchboard.store.parts import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any

    from latchboard.clock import Clock, Now
    from latchboard.host.port import Host
    from latchboard.settings import Settings
    from latchboard.store.port import Store, View

_sent = count(1)  # of this process, whatever mailbox objects it makes: two messages never have one id


class Mailbox:
    """Every agent's mail. Threads may share one; it remembers nothing between calls."""

    __slots__ = ("clock", "host", "settings", "store")

    def __init__(self, store: Store, clock: Clock, host: Host, settings: Settings) -> None:
        self.store = store
        self.clock = clock
        self.host = host
        self.settings = settings

    # -- sending ------------------------------------------------------------------------------------------------------

    def send(  # noqa: PLR0913 - the fields of a message, all by keyword
        self,
        sender: str,
        to: str,
        body: str,
        *,
        subject: str = "",
        thread: str | None = None,
        reply_to: str | None = None,
        urgency: str = "normal",
        ack: str = "none",
        ack_by_s: float | None = None,
        expires_s: float | None = None,
        durable: bool = True,
    ) -> dict[str, Any]:
        """Put a message into the mailbox of exactly one agent, which need not exist yet.

        Args:
            sender: Agent id.
            to: Agent id, compared exactly.
            body: Any text that UTF-8 can write, up to `settings.body_bytes_max` bytes.
            subject: Up to 200 characters.
            thread: Which conversation it belongs to; its own by default, that of the message replied to in a reply.
            reply_to: Id of a message that `sender` has got, or has sent to `to`.
            urgency: `low`, `normal`, `high` or `urgent`; for the reader, it changes no order.
            ack: `required`: delivered again until it is acknowledged.
            ack_by_s: From now, seconds; later it is told by `overdue`.
            expires_s: From now, seconds; later it is not delivered any more.
            durable: Return when it is on the disk, so that not even a power cut loses it.

        Returns:
            The message, with its id, thread and revision.

        Raises:
            UsageError: It cannot be sent; nothing was.
            StoreError: It was not accepted, unless the message says that the outcome is unknown.

        Protocol: protocol/mailbox.md, "Send".
        """
        check_agent(to)
        draft = {
            "body": body,
            "subject": subject,
            "thread": thread,
            "reply_to": reply_to,
            "urgency": urgency,
            "ack": ack,
            "ack_by_s": ack_by_s,
            "expires_s": expires_s,
        }
        return self._send(sender, to, draft, durable, lambda view, message: view.put(rules.key(message), message))

    def broadcast(  # noqa: PLR0913 - the fields of a message, all by keyword
        self,
        sender: str,
        body: str,
        *,
        subject: str = "",
        thread: str | None = None,
        reply_to: str | None = None,
        urgency: str = "normal",
        ack: str = "none",
        ack_by_s: float | None = None,
        expires_s: float | None = None,
        durable: bool = True,
    ) -> dict[str, Any]:
        """Tell every agent but the sender, once each; who first reads later gets it too, until it expires.

        Args:
            sender: Agent id.
            body: As for `send`, and so are the others.
            subject: See `send`.
            thread: See `send`.
            reply_to: See `send`.
            urgency: See `send`.
            ack: `required`: every reader is asked for its own acknowledgement.
            ack_by_s: See `send`.
            expires_s: From now, seconds; `settings.broadcast_ttl_s` by default.
            durable: See `send`.

        Raises:
            UsageError: It cannot be sent; nothing was.
            StoreError: As for `send`.

        Protocol: protocol/mailbox.md, "Broadcast".
        """
        draft = {
            "body": body,
            "subject": subject,
            "thread": thread,
            "reply_to": reply_to,
            "urgency": urgency,
            "ack": ack,
            "ack_by_s": ack_by_s,
            "expires_s": self.settings.broadcast_ttl_s if expires_s is None else expires_s,
        }
        return self._send(sender, None, draft, durable, put_broadcast)

    def _send(
        self,
        sender: str,
        to: str | None,
        draft: dict[str, Any],
        durable: bool,
        put: Callable[[View, dict[str, Any]], None],
    ) -> dict[str, Any]:
        check_agent(sender)
        check_draft(draft, self.settings.body_bytes_max)
        me = self.host.me()
        process_tag = tag(me) if is_identity(me) else "p"
        now = self.clock.now()

        def decide(view: View) -> dict[str, Any] | None:
            thread = draft["thread"]
            if draft["reply_to"] is not None:
                thread = thread_of(view, sender, to, draft["reply_to"], thread)
            fields = {**draft, "thread": thread}
            message = rules.compose(new_id, sender=sender, to=to, now=now, revision=view.revision, **fields)
            place = rules.broadcast_key(new_id) if to is None else rules.key(message)
            if view.get(place) is not None:
                return None
            put(view, message)
            return message

        while True:
            new_id = rules.message_id(now, process_tag, next(_sent))
            done = self.store.transact(decide, who=sender, durable=durable)
            if done.value is not None:
                return rules.shown({**done.value, "revision": done.revision})

    # -- receiving ----------------------------------------------------------------------------------------------------

    def receive(
        self, agent: str, *, limit: int | None = None, only: Collection[str] | None = None, durable: bool = False
    ) -> Inbox:
        """Deliver what waits for an agent, in the order of revisions.

        A message without a demand for an acknowledgement is taken: it moves to the archive in the same commit. One that
        has it stays, and is delivered again by each receive, with `"redelivered": true`, until `ack`. What has expired
        moves to the archive as a dead letter and is not delivered.

        Args:
            agent: Whose mail.
            limit: Most messages, 1 or more; new ones go before redelivered ones. None: all of them.
            only: Ids of the messages to take, as `peek` showed them in this order: for a reader that hands them on
                first, and takes them when they have arrived. None: whatever waits.
            durable: Return when the move is on the disk. Otherwise a power cut soon after may deliver it again.

        Raises:
            UsageError: A bad agent id or limit.
            StoreError: Nothing was taken. If some were, those are returned instead; `left_count` says how many wait.

        Protocol: protocol/mailbox.md, "Receive".
        """
        check_agent(agent)
        _check_limit(limit)
        batch_count = count_of(self.store, BATCH_COUNT, keys_each=2)
        receipt = Receipt(agent, self.clock.now(), limit, only, batch_count=batch_count)
        while not receipt.is_finished:
            try:
                receipt.took(self.store.transact(receipt.take, who=agent, durable=durable).value)
            except CoordinationError:
                if not receipt.messages:
                    raise
                break  # what was taken must reach its reader; the next call meets the trouble first
        return receipt.inbox()

    def peek(self, agent: str, *, limit: int | None = None) -> Inbox:
        """What `receive` would deliver now; changes nothing."""
        check_agent(agent)
        _check_limit(limit)
        now = self.clock.now()
        found = look(Reading(self.store), agent, now)
        waiting = [*found.own, *found.news]
        deliver, dead = rules.deliveries(waiting, now, limit)
        messages = [rules.shown(m, redelivered=rules.state(m) == "delivered") for m in deliver]
        return Inbox(messages, found.damaged, len(waiting) - len(dead) - len(deliver))

    def unread(self, agent: str) -> int:
        """How many messages wait that were never delivered; changes nothing."""
        return sum(1 for message in self.peek(agent) if not message["redelivered"])

    def ack(self, agent: str, message_id: str, *, durable: bool = True) -> bool:
        """Acknowledge a message: it is never delivered again.

        Returns:
            True: done now. False: it needed none any more; it was acknowledged, taken or a dead letter already.

        Raises:
            UsageError: This agent never got such a message.
            MalformedRecord: It cannot be read; nothing was changed.

        Protocol: protocol/mailbox.md, "Acknowledge".
        """
        check_agent(agent)
        check_id(message_id)
        now = self.clock.now()

        def decide(view: View) -> bool:
            own = {"to": agent, "id": message_id}
            message = get(view, rules.key(own))
            if message is not None:
                view.delete(rules.key(own))
            elif view.get(rules.archive_key(own)) is not None:
                return False
            else:
                message = broadcast_to(view, agent, message_id, now)
            if message is None:
                raise UsageError(
                    f"{agent} has no message {message_id}",
                    hint=f"`latchboard inbox --agent {agent}` shows what is there",
                )
            acked = rules.step(message, "ack", now)
            assert acked is not None
            view.put(rules.archive_key(own), acked)
            return True

        return self.store.transact(decide, who=agent, durable=durable).value

    # -- looking and sweeping -----------------------------------------------------------------------------------------

    def thread(self, agent: str, thread_id: str) -> Inbox:
        """Both sides of a conversation, as far as it is kept, in order; changes nothing.

        What `agent` sent or got, delivered or not. Costs what is kept of everybody's mail, archive included.
        """
        return looking.thread(Reading(self.store), check_agent(agent), thread_id)

    def conversations(self, *, limit: int = 100) -> dict[str, Any]:
        """Everybody's mail by threads, the newest first; changes nothing. Costs what is kept of everybody's mail.

        Returns:
            See `conversations.threads`.

        Protocol: protocol/http.md, "Conversations".
        """
        from latchboard.mailbox import conversations

        _check_limit(limit)
        return conversations.threads(Reading(self.store), limit)

    def conversation(self, thread_id: str, *, limit: int = 200) -> dict[str, Any]:
        """One thread, whoever takes part in it; as `conversations`.

        Returns:
            See `conversations.thread`.
        """
        from latchboard.mailbox import conversations

        _check_limit(limit)
        return conversations.thread(Reading(self.store), check_id(thread_id), limit)

    def overdue(self, now: Now | None = None) -> list[dict[str, Any]]:
        """Acknowledgements that are past their deadline, the longest first; changes nothing.

        Returns:
            `{"id", "from", "to", "subject", "thread", "urgency", "sent_at", "ack_by_at", "delivered_at", "overdue_s"}`;
            `delivered_at` is None where the reader has not even received it. For a broadcast, one for each agent that
            is known: on the board, or a reader of mail.
        """
        return looking.overdue(Reading(self.store), now or self.clock.now())

    def sweep(self, now: Now | None = None, *, dry_run: bool = False) -> dict[str, int]:
        """Remove what is old: archived messages after `settings.archive_ttl_s`, broadcasts after their expiry.

        Messages that expired in a mailbox nobody reads become dead letters. What cannot be read stays.

        Returns:
            `{"archived", "broadcasts", "dead_letters", "damaged"}`: how many were removed, removed, moved, left. With
            `dry_run`, how many would be.

        Protocol: protocol/mailbox.md, "Sweep".
        """
        return sweeping.sweep(self.store, now or self.clock.now(), self.settings.archive_ttl_s, dry_run=dry_run)


def _check_limit(limit: object) -> None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise UsageError(f"limit is a whole number of messages, 1 or more, not {limit!r:.80}")
