"""Doctoring: the doctor's ports on this machine, its checks in order, and what it does when it is told to."""

from __future__ import annotations

import os
import time

from latchboard.clock import iso
from latchboard.compose import credentials, setting_up
from latchboard.credential.building import store_of
from latchboard.credential.profile import Profile
from latchboard.doctor import coordination, daemon, identity, mending, refresh_lock, storage, tokens
from latchboard.doctor.report import DEADLINE_S, DoctorReport, assemble, begin
from latchboard.errors import CoordinationError, UsageError
from latchboard.host import place as place_of_host
from latchboard.host.configuration import read_tables
from latchboard.host.registry import FOLDER as REGISTRY
from latchboard.host.secret_file import SecretFile
from latchboard.rules import doctor as rules
from latchboard.rules.credential import check_name
from latchboard.rules.daemon import state_of
from latchboard.store.files import damage, health, journal_end, layout, mount, repair
from latchboard.store.files.glance import Glance
from latchboard.workqueue import repairing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from latchboard.compose import Latchboard
    from latchboard.credential.grant import Grant
    from latchboard.doctor.check import Check
    from latchboard.doctor.mending import Deed
    from latchboard.rules.serving import Health, State
    from latchboard.store.files.store import FileStore

_LOOPBACK = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "")
_SPARES = ("spare.", "old.")
_SCAN_S = 1.0
"""Of the doctor's 2.5 s for all that listens on the daemons' ports."""


class _Place(place_of_host.Place):
    """This machine; with what the store knows of mounts."""

    __slots__ = ()

    def network(self, path: str) -> tuple[str, str] | None:
        return mount.network_mount(os.path.realpath(path), self.mounts())


class _Shelf:
    """The store's folder, for who only looks."""

    deciding: tuple[str, ...] = damage.DECIDING

    def __init__(self, board: Latchboard, store: FileStore) -> None:
        self.path = store.path
        self.is_shared = board.settings.shared
        self._store = store
        self._boot = board.clock.now().boot

    def look(self, stop_at_s: float | None = None) -> Any:
        return health.Inspector(self.path, boot=self._boot, stop_at_s=stop_at_s).look()

    def last_commit_s(self) -> float | None:
        return journal_end.last_commit_s(self.path)

    def leftovers(self) -> list[str]:
        from latchboard.store.files.sweep import Sweeper

        found = Sweeper(self._store).sweep(dry_run=True)
        return [one for one in found if not one.rpartition("/")[2].startswith(_SPARES)]

    def file_of(self, key: str) -> str:
        return f"{self.path}/{layout.record(key)}"


class _Shop:
    """Where the store is repaired."""

    def __init__(self, board: Latchboard, store: FileStore) -> None:
        self._shelf = _Shelf(board, store)
        self._repairer = repair.Repairer(store, board.clock, board.settings)

    def look(self) -> Any:
        return self._shelf.look()

    def plan(self, found: list[damage.Damage]) -> list[repair.Step]:
        return repair.plan(found)

    def apply(self, steps: list[repair.Step], name: str) -> tuple[str, list[repair.Step]]:
        return self._repairer.apply(steps, name)

    def keep(self, keys: list[str], name: str) -> str:
        return self._repairer.apply([repair.Step("keep", layout.record(key), key) for key in keys], name)[0]


class _Queue:
    """The work queue, for who repairs it."""

    def __init__(self, board: Latchboard) -> None:
        self._board = board

    def look(self) -> list[str]:
        return [*repairing.look(self._board.store, iso(self._board.clock.now().wall_s)).faults]

    def repair(self) -> list[str]:
        return [*repairing.repair(self._board.store, by=repair.WHO).faults]


class _Kept:
    """A configured credential, for who only looks. A keyring is not opened: it may ask its user something."""

    def __init__(self, name: str, table: dict[str, Any], root: str) -> None:
        self.name, self.where, self.path, self.lock_path = name, "", "", ""
        self.login_command, self.valid_s_min, self.trouble = "", 0.0, ""
        try:
            self._profile = Profile(name, table)
        except UsageError:
            self.name = _printed(name)
            self.trouble = "`credential status` says why"
            return
        path = credentials.file_of(self._profile, root)
        is_file = self._profile.store == "file"
        self.where = path if is_file else "the keyring of this user"
        self.path = path if is_file else ""
        self.lock_path = f"{path}.lock"
        self.login_command = self._profile.login_command
        self.valid_s_min = self._profile.limits.valid_s_min

    def load(self) -> Grant | None:
        return store_of(self._profile, self.path).load()

    def set_aside(self, name: str) -> str:
        """Rename the record, if it still cannot be read; where it is now."""
        from latchboard.errors import MalformedRecord

        def is_damaged() -> bool:
            try:
                self.load()
            except MalformedRecord:
                return True
            return False

        to = f"{self.path}.damaged-{name}"
        return to if SecretFile(self.path).set_aside(to, still=is_damaged) else ""


class _Server:
    """The project's daemon, for who only looks."""

    def __init__(self, board: Latchboard) -> None:
        from latchboard.daemon.state import TOKEN, StateFile

        self._board = board
        self._file = StateFile(board.root)
        self.token_path = f"{board.root}/{REGISTRY}/{TOKEN}"

    def record(self) -> tuple[bool, State | None]:
        return self._file.read_bytes() is not None, self._file.read()

    def standing(self, state: State) -> str:
        return state_of(self._board.daemons.why_not_recorded(state.pid, state.process))

    def registered(self) -> int | None:
        found = self._board.daemons.verify()
        return found.pid if found.state == "running" else None

    def is_near(self, state: State) -> bool:
        return state.host in _LOOPBACK or state.host.startswith("127.")

    def ask(self, state: State, within_s: float) -> Health | None:
        from latchboard.daemon.probe import probe

        host = "127.0.0.1" if state.host == "localhost" else state.host
        return probe([state.port], self._board.clock, host=host, within_s=within_s)[state.port].health

    def orphans(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        found = self._board.daemon.scan(within_s=_SCAN_S)
        return [one.to_json() for one in found.orphans], found.skipped


def patient(root: str) -> tuple[Latchboard, bool]:
    """The services of a project for its doctor; and whether its settings cannot be read, so that these are defaults.

    Raises:
        UsageError: `root` is no folder.
    """
    from latchboard.compose import Latchboard
    from latchboard.settings import Settings

    if not os.path.isdir(root):
        raise UsageError(f"{root!r:.200} is no folder", hint="name the project's folder")
    try:
        return Latchboard(root, publishes=False), False
    except CoordinationError:
        return Latchboard(root, settings=Settings(), publishes=False), True


def kept(root: str) -> list[_Kept]:
    """Every credential that the project configures; none where its settings cannot be read."""
    try:
        tables = read_tables(root, "credential")
    except CoordinationError:
        return []
    return [_Kept(name, table, root) for name, table in tables.items()]


def checks(
    board: Latchboard, folder: str, *, agent: str | None = None, trouble: bool = False, threshold_s: float
) -> list[Check]:
    """Everything that is looked at, in the order of a report.

    Args:
        board: The project.
        folder: The project's folder, or a work tree that shares its board: where the clients' files are.
        agent: Who asks.
        trouble: The settings cannot be read, and defaults stand in their place.
        threshold_s: When a machine lock is stuck, seconds.
    """
    root, clock, host, settings = board.root, board.clock, board.host, board.settings
    place, known, server = _Place(), kept(root), _Server(board)
    found = [
        identity.project(root, agent, trouble),
        identity.machine(root, host, place),
        identity.registry(root, settings.singleton_types, host, place),
        identity.hooks(root, lambda: setting_up.hooks_in_place(board, folder)),
        tokens.credentials(root, known, clock, place),
        tokens.secret(root, server.token_path, place),
        storage.mount(root, place),
        refresh_lock.refresh_locks(root, known, clock, place, threshold_s=threshold_s),
        daemon.daemon(root, server),
        daemon.orphans(root, server),
    ]
    store = board.files
    if store is None and settings.store == "files":
        return found  # somebody's own, which nobody here knows
    if store is None:
        from latchboard.compose import doctoring_engine

        return [*found, *doctoring_engine.checks(board)]
    shelf = _Shelf(board, store)

    def make() -> Any:
        return Glance(store.path, settings)

    within = [
        storage.leftovers(root, shelf),
        coordination.over(root, make, clock, host, settings, file_of=shelf.file_of),
        coordination.mail(root, make, clock, host, settings),
        coordination.conflicts(root, make),
        coordination.queue(root, make, clock, file_of=shelf.file_of),
    ]
    return [
        *found,
        identity.clock(root, clock, shelf),
        storage.store(root, shelf, place),
        storage.permissions(root, shelf, place),
        storage.disk(root, shelf, place),
        storage.notification(shelf, place),
        *(storage.in_a_folder(one, shelf, place) for one in within),
    ]


def report(
    board: Latchboard,
    folder: str = "",
    *,
    agent: str | None = None,
    trouble: bool = False,
    threshold_s: float = rules.STUCK_S,
    deadline_s: float = DEADLINE_S,
) -> DoctorReport:
    """Look at everything; see `checks`. Never raises for anything that is found."""
    patient_of = lambda: (board, folder or board.root, trouble)  # noqa: E731
    return examine(patient_of, board.root, agent=agent, threshold_s=threshold_s, deadline_s=deadline_s)


def examine(
    find: Callable[[], tuple[Latchboard, str, bool]],
    root: str,
    *,
    agent: str | None = None,
    threshold_s: float = rules.STUCK_S,
    deadline_s: float = DEADLINE_S,
) -> DoctorReport:
    """As `report`, for a project that must be found first, which may hang as well.

    Args:
        find: Finds it: its services, the folder of its clients' files, whether its settings cannot be read.
        root: What is told of it where it is not found in time.
        agent: Who asks.
        threshold_s: When a machine lock is stuck, seconds.
        deadline_s: For all of it.

    Raises:
        CoordinationError: As `find`.
    """
    found: list[Latchboard] = []

    def prepare() -> list[Check]:
        board, folder, trouble = find()
        found.append(board)
        return checks(board, folder, agent=agent, trouble=trouble, threshold_s=threshold_s)

    at = iso(time.time())
    hung, made, left_s = begin(root, at, prepare, deadline_s=deadline_s)
    if hung is not None:
        return hung
    return assemble(found[0].root, iso(found[0].clock.now().wall_s), made, deadline_s=left_s)


def mend(board: Latchboard, kind: str, *, threshold_s: float = rules.STUCK_S, dry_run: bool) -> list[Deed]:
    """Do one thing, or say what would be done: nothing where there is no finding for it.

    Args:
        board: The project.
        kind: `reset`, `unstick-lock` or `fix`.
        threshold_s: When a machine lock is stuck, seconds.
        dry_run: Only say it.
    """
    from latchboard.machine_lock.record import force_release

    clock, now = board.clock, board.clock.now()
    name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now.wall_s))}-{os.urandom(2).hex()}"
    if kind == "reset":
        return mending.reset(kept(board.root), clock, lambda one: one.set_aside(name), dry_run=dry_run)
    if kind == "unstick-lock":
        release = lambda path, age_s: force_release(path, only_if_age_s=age_s, clock=clock)  # noqa: E731
        known = kept(board.root)
        return mending.unstick(known, clock, _Place(), release, threshold_s=threshold_s, dry_run=dry_run)
    if board.files is None:
        from latchboard.compose.doctoring_engine import keeping

        return mending.fix_queue(keeping(board), _Queue(board), f"{name}-queue", dry_run=dry_run)
    shop = _Shop(board, board.files)
    deeds = mending.fix(shop, name, dry_run=dry_run)
    return [*deeds, *mending.fix_queue(shop.keep, _Queue(board), f"{name}-queue", dry_run=dry_run)]


def _printed(name: object) -> str:
    """A name that may be shown: what can be none may be anything, a secret too."""
    try:
        return check_name(name)
    except UsageError:
        return "(a name that can be none)"
