"""Compose: the only place that chooses backends and builds the services from them.

    from latchboard import Latchboard

    board = Latchboard(".")
    me = board.agent("planner")
    with me.lock("src/a.py", wait_s_max=5) as hold:
        hold.write("src/a.py", "...")

Nothing is opened or made before the first call that needs it.
"""

from __future__ import annotations

import os

from latchboard.clock import SystemClock
from latchboard.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.agent import Agent
    from latchboard.board import Board, Publisher, Replay
    from latchboard.board.mirror import Mirror
    from latchboard.cleanup import Cleanup
    from latchboard.clock import Clock
    from latchboard.credential.handle import Credential
    from latchboard.daemon.service import Daemon
    from latchboard.daemon_process import Daemons
    from latchboard.editing.conflicts import Conflicts
    from latchboard.editing.foreign import Foreign
    from latchboard.editing.images import Images
    from latchboard.editing.service import Editing
    from latchboard.editing.shell import Shell
    from latchboard.host.kept import Kept
    from latchboard.host.port import Machine
    from latchboard.locks import Locks
    from latchboard.mailbox import Mailbox
    from latchboard.metrics import Metrics
    from latchboard.queue_file import LiveFile, QueueFiles
    from latchboard.settings import Settings
    from latchboard.singleton import Singletons
    from latchboard.store.etcd.access import Attendant
    from latchboard.store.files.store import FileStore
    from latchboard.store.port import Store
    from latchboard.supervision.service import Agents
    from latchboard.watch import Stream
    from latchboard.workqueue import WorkQueue


class Latchboard:
    """One project's coordination: its services over one store.

    Attributes:
        root: The project's folder, absolute; paths are relative to it.
        settings: Limits and defaults.
        clock: Where time comes from.
        host: Where verdicts about processes come from.
        store: Shared state.
        attendant: Who tells a person what is waited for, where the store is elsewhere; None: nobody.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = ".",
        *,
        settings: Settings | None = None,
        clock: Clock | None = None,
        host: Machine | None = None,
        store: Store | None = None,
        publishes: bool = True,
    ) -> None:
        """Choose the backends; opens nothing.

        Args:
            root: The project's folder itself; `find_root()` finds it from a folder inside.
            settings: Limits; from `latchboard.toml` and the environment otherwise (host/configuration.py).
            clock: For tests; the system's otherwise.
            host: For tests; this machine otherwise.
            store: For tests and other engines; the file store in `<root>/data/.agent_locks` otherwise.
            publishes: Keep status_board.json fresh in the background, after commits of this process. A process that
                ends soon says False and calls `board.publish()` once; a store in etcd it asks through a daemon, if any.

        Raises:
            UsageError: `root` is no folder, or the settings cannot be right.
        """
        from latchboard.host.configuration import read_settings
        from latchboard.host.system import SystemHost
        from latchboard.host.tree import WorkTree

        try:
            self.root = os.path.realpath(root)
        except (TypeError, ValueError) as exc:
            raise UsageError(f"{root!r:.80} is no folder: {exc}", hint="name the project's folder") from exc
        self.settings = settings or read_settings(self.root)
        self.clock: Clock = clock or SystemClock()
        self.attendant: Attendant | None = None
        self.host: Machine = host or SystemHost()
        self._files: FileStore | None = None
        self.store: Store = self._make_store(is_brief=not publishes) if store is None else self._given(store)
        self.tree = WorkTree(self.root)
        self._noting = self.store
        self._publisher: Publisher | None = None
        if publishes and self.files is not None:
            from latchboard.board import Publisher
            from latchboard.compose import ending

            ending.attend(self)
            self._publisher = Publisher(lambda: self.board, self.clock, self.settings)
            self._noting = self._publisher.noting(self.store)
        self._queue_publisher = self._make_queue_publisher() if self._publisher is not None else None
        self._locks: Locks | None = None
        self._board: Board | None = None

    def _make_store(self, *, is_brief: bool) -> Store:
        """The engine that the settings name."""
        if self.settings.store != "files":
            from latchboard.compose import engines

            return engines.build(self.settings, self.clock, through=self.root if is_brief else "")
        from latchboard.store.files.store import FileStore

        self._files = FileStore(self.root, clock=self.clock, settings=self.settings)
        return self._files

    def _given(self, store: Store) -> Store:
        from latchboard.store.files.store import FileStore

        self._files = store if isinstance(store, FileStore) else None
        return store

    @property
    def files(self) -> FileStore | None:
        """The file store; None: shared state is kept by another engine."""
        return self._files

    @property
    def locks(self) -> Locks:
        """Acquire, wait, renew, release, check, guarded writes."""
        if self._locks is None:
            from latchboard.locks import Locks

            self._locks = Locks(self._noting, self.clock, self.host, self.tree, self.settings)
            self._locks.keep = lambda data: self._kept().keep_small(data)
            self._locks.present = getattr(self.store, "present", None)
            self._locks.host_name = os.uname().nodename if self._locks.present else ""
        return self._locks

    @property
    def mailbox(self) -> Mailbox:
        """Send, receive, acknowledge."""
        from latchboard.mailbox import Mailbox

        return Mailbox(self._noting, self.clock, self.host, self.settings)

    @property
    def queue(self) -> WorkQueue:
        """Jobs: submit, claim, renew, complete, fail."""
        from random import random

        from latchboard.workqueue import WorkQueue

        publisher = self._queue_publisher
        store = self._noting if publisher is None else publisher.noting(self._noting)
        return WorkQueue(store, self.settings, self.locks, random)

    @property
    def queue_files(self) -> QueueFiles:
        """The queue, in and out of files of the founding form."""
        from latchboard.queue_file import QueueFiles

        return QueueFiles(self._noting, self.clock, self.locks)

    def live_file(self, path: str | None = None) -> LiveFile:
        """A file that says what the queue says; None: that of the setting `queue_file`.

        Raises:
            UsageError: There is no such setting.
        """
        from latchboard.compose import queue_files

        return queue_files.build(self, path)

    def pick_up_edits(self) -> dict[str, Any] | None:
        """What a person has edited in the queue file comes into the queue; None: nothing was, or there is no such file.

        Costs a look at the file where nothing was. For whoever is about to claim.

        Raises:
            MalformedRecord, StoreError, UsageError: Trouble with that file; the queue can be used all the same.
        """
        return self.live_file().sync_if_edited() if self.settings.queue_file else None

    def follow_queue_file(self) -> None:
        """Sync the queue file if it was edited, or if it may not show the last commit yet: for whoever looks by and by.

        Raises:
            MalformedRecord, StoreError, UsageError: Trouble with that file, or there is no setting `queue_file`.
        """
        self.live_file().publish_if_older(self.store.read("queue/limits").revision)

    def _make_queue_publisher(self) -> Publisher | None:
        """Writes the queue file after commits of this process to the queue; None: there is no such file."""
        if not self.settings.queue_file or self._files is None:
            return None
        from latchboard.board import Publisher

        return Publisher(self.live_file, self.clock, self.settings)

    @property
    def board(self) -> Board:
        """Who does what: agents, holds, waits, history, conflicts."""
        if self._board is None:
            made = self._make_board()
            if self._board is None:  # the publisher's thread may have asked at the same time
                self._board = made
        return self._board

    def mirror(self) -> Mirror | None:
        """Shared state as files of this machine, for who serves the project; None: it is files already."""
        from latchboard.compose import kinds

        return kinds.mirror(self)

    def _make_board(self) -> Board:
        from latchboard.compose import ending, kinds

        ending.attend(self)
        return kinds.board(self, self._noting)

    @property
    def replay(self) -> Replay:
        """The board as it was at an earlier revision."""
        from latchboard.compose import kinds

        return kinds.replay(self)

    @property
    def cleanup(self) -> Cleanup:
        """Remove what is over: holds, leases, waiters, gone agents, old messages, what killed processes left behind."""
        from latchboard.compose import kinds

        return kinds.cleanup(self, self._noting)

    @property
    def daemons(self) -> Daemons:
        """The project's daemon: is it the recorded one, which others are there, and the end of those."""
        from latchboard.daemon_process import Daemons
        from latchboard.host.daemon_entry import DaemonEntry

        return Daemons(self.root, self.clock, self.host, self.settings, DaemonEntry(self.root))

    @property
    def daemon(self) -> Daemon:
        """The project's daemon: see to it that it runs, end it, look at it, sweep what is left of others."""
        from latchboard.compose import serving

        return serving.build(self)

    @property
    def agents(self) -> Agents:
        """The project's workers: see to it that they run, end them, look at them."""
        from latchboard.compose import supervising

        return supervising.agents(self)

    @property
    def images(self) -> Images:
        """What files were when their holders last touched them, with the bytes kept in the store's folder."""
        from latchboard.editing.images import Images

        return Images(self.tree, self._kept())

    def _kept(self) -> Kept:
        from latchboard.host.kept import Kept

        folder = self._files.path if self._files is not None else f"{self.root}/data/.agent_locks"
        return Kept(
            self.root,
            folder,
            bytes_max=self.settings.image_bytes_max,
            hash_bytes_max=self.settings.image_hash_bytes_max,
            make_store=lambda: self.store.transact(lambda _: None, who="latchboard"),
            mode=0o660 if self.settings.shared else 0o600,
        )

    @property
    def editing(self) -> Editing:
        """What happens around the calls of agents: locks before an edit, images and news behind it."""
        from latchboard.editing.service import Editing

        return Editing(self.locks, self.images)

    @property
    def foreign(self) -> Foreign:
        """Held files that somebody else changed: found around shell calls, with both sides kept."""
        from latchboard.editing.foreign import Foreign

        return Foreign(self.locks, self.images)

    @property
    def conflicts(self) -> Conflicts:
        """What foreign changes left: listed, shown, and the holder's bytes put back."""
        from latchboard.editing.conflicts import Conflicts

        return Conflicts(self.locks, self.images)

    @property
    def shell(self) -> Shell:
        """What a command line would write, before it runs."""
        from latchboard.editing.shell import Shell
        from latchboard.host import expansion, git_forecast

        return Shell(self.locks, expansion, git_forecast)

    @property
    def stream(self) -> Stream:
        """One ordered, gapless stream of changes."""
        from latchboard.watch import Stream

        return Stream(self.store, self.clock, self.settings)

    @property
    def singletons(self) -> Singletons:
        """At most one process per agent type: register, tell, release."""
        from latchboard.host import ending
        from latchboard.host.registry import Registry
        from latchboard.host.started import started_s
        from latchboard.singleton import Singletons
        from latchboard.store.files.mount import warn_if_network

        registry = Registry(self.root, wait_s_max=self.settings.guard_wait_s_max, look_at_mount=warn_if_network)
        ports = (registry, self._noting, self.clock, self.host, self.settings)
        present = getattr(self.store, "present", None)
        if present is None:
            return Singletons(*ports, ending=ending, started_s=started_s)
        from latchboard.compose import engines

        everywhere = engines.everywhere(self, present)
        return Singletons(*ports, ending=ending, started_s=started_s, everywhere=everywhere)

    @property
    def metrics(self) -> Metrics:
        """What happened so far, in figures for Prometheus."""
        from latchboard.metrics import Metrics

        return Metrics(self.singletons)

    def credential(self, name: str) -> Credential:
        """One credential of this user, as `[credential.NAME]` of latchboard.toml says.

        Raises:
            UsageError: There is no such table, or it cannot be right.
        """
        from latchboard.compose import credentials

        return credentials.build(self, name)

    def credential_names(self) -> list[str]:
        """Every `[credential.NAME]` of the project's configuration."""
        from latchboard.compose import credentials

        return credentials.names(self.root)

    def trace(self, put: Callable[[Store], None]) -> None:
        """Note something in the store where there is one: it is no reason to make one."""
        if self._files is None or os.path.isdir(self._files.path):
            put(self._noting)

    def agent(self, agent_id: str) -> Agent:
        """The handle of one agent; two handles of one id in one process are the same holder."""
        from latchboard.agent import Agent

        return Agent(self, agent_id)

    def close(self) -> None:
        """Write the board if it is not up to date, and close every descriptor; holds stay as they are."""
        self.publish_last()
        if self._board is not None:
            self._board.close()
        self.store.close()

    def publish_last(self) -> None:
        """Write what is not up to date, and publish no more: `compose.ending` does it at exit."""
        for publisher in self._publishers():
            publisher.close()

    def after_fork(self) -> None:
        """Be a child's, and not its parent's any more: `compose.ending` does it in every child that is forked."""
        for publisher in self._publishers():
            publisher.after_fork()
        if self._board is not None:
            self._board.after_fork()

    def _publishers(self) -> list[Publisher]:
        """The queue's first: what it commits the other one writes."""
        return [one for one in (self._queue_publisher, self._publisher) if one is not None]
