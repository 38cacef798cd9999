"""Units: has the user's service manager run a project's workers and its daemon, and takes that back.

Law 1. A file that is not ours, or that somebody changed, is left and told.
Law 2. To install twice changes nothing; to uninstall takes away what an installation of this project made, and what
all projects share when no other one uses it.

Protocol: protocol/supervision.md, "Service units".
"""

from __future__ import annotations

from latchboard.errors import UsageError
from latchboard.rules import unit as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Protocol

    class Files(Protocol):
        """The files of the manager's folder (installation/port.py)."""

        def read(self, name: str) -> bytes | None:
            """Its bytes; None: there is none. Raises UsageError: it must not be changed."""
            ...

        def write(self, name: str, data: bytes, *, instead_of: bytes | None) -> None:
            """Put it in the place of the old one, whole."""
            ...

        def delete(self, name: str, *, instead_of: bytes) -> None:
            """Remove it."""
            ...

        def prune(self, folders: tuple[str, ...]) -> None:
            """Remove folders that are empty."""
            ...

        def has(self, name: str) -> bool:
            """Whether something lies there."""
            ...

    class Manager(Protocol):
        """The service manager (host/user_manager.py)."""

        @property
        def name(self) -> str:
            """`systemd` or `launchd`."""
            ...

        def is_reachable(self) -> bool:
            """Whether it runs and answers."""
            ...

        def enable(self, units: Sequence[str], *, now: bool) -> None:
            """From the next log-in on, or `now`."""
            ...

        def disable(self, units: Sequence[str], *, now: bool) -> None:
            """Not any more."""
            ...

        def reload(self) -> None:
            """Read the files anew."""
            ...

        def is_active(self, unit: str) -> bool:
            """Whether it runs."""
            ...

        def enabled(self) -> list[str]:
            """Every unit of ours, of any project."""
            ...

    Dump = Any
    Workers = Mapping[str, tuple[int, float]]
    """Of each role that the project configures: how many workers, and how long one drains, seconds."""


class Report:
    """What became of each file, and how the units stand.

    Attributes:
        manager: `systemd` or `launchd`.
        is_reachable: It runs and answers.
        files: `name`, `what` (`made`, `replaced`, `removed`, `as-is`, `missing`, `outdated`, `surplus`,
            `left`), `why`.
        units: `name`, `role`, `number`, `is_enabled`, `is_active`, `is_wanted` (False: it is too much, or is to go).
    """

    def __init__(self, manager: str, *, is_reachable: bool) -> None:
        self.manager = manager
        self.is_reachable = is_reachable
        self.files: list[dict[str, Any]] = []
        self.units: list[dict[str, Any]] = []

    @property
    def left(self) -> list[dict[str, Any]]:
        """Files that were left."""
        return [one for one in self.files if one["what"] == "left"]

    @property
    def is_complete(self) -> bool:
        """Whether every file is as it should be, every unit enabled, and none is too much."""
        is_all = all(one["what"] == "as-is" for one in self.files)
        return is_all and all(one["is_enabled"] and one["is_wanted"] for one in self.units)

    def to_json(self) -> dict[str, Any]:
        """As `--json` has it."""
        return {name: getattr(self, name) for name in ("manager", "is_reachable", "files", "units")}


class Units:
    """The service units of one project.

    Args:
        root: The project's folder, absolute.
        files: The manager's folder.
        manager: The service manager.
        home: The user's.
        folder: Where this installation's `latchboard` lies, if no unit looks there; "" if one does.
        dump: Makes a property list of a table.
    """

    def __init__(self, root: str, *, files: Files, manager: Manager, home: str, folder: str, dump: Dump) -> None:
        if "\n" in root:
            raise UsageError("no service manager takes a path with a line end in it", hint="rename the folder")
        self._root = root
        self._files = files
        self._manager = manager
        self._home = home
        self._folder = folder
        self._dump = dump

    # -- acting -------------------------------------------------------------------------------------------------------

    def install(
        self, workers: Workers, roles: Iterable[str], *, is_all: bool = True, now: bool, dry_run: bool
    ) -> Report:
        """Write what is missing, enable the units of these roles and of the daemon, and take away what is too much.

        Too much is a worker that is enabled, and that the configuration does not want any more: it is ended, too.

        Args:
            workers: What the project configures.
            roles: Of these; founding ones without a configuration get a template, and are not enabled.
            is_all: These are all roles there are: units of others are too much as well.
            now: Start them, too.
            dry_run: Only say so.

        Raises:
            HostError: The manager failed.
            StoreError: A file cannot be written.
        """
        report, roles = self._report(), list(roles)
        for name, data in self._wanted(workers, roles).items():
            report.files.append(self._put(name, data, dry_run=dry_run))
        surplus = self._surplus(workers, roles, is_all=is_all)
        units = [name for name, _, _ in surplus]
        stale = self._stale(workers, roles, units)
        if units and not dry_run:
            self._manager.disable(units, now=report.is_reachable)
        report.files += [self._take(name, dry_run=dry_run) for name in stale]
        wanted = self._instances(workers, [role for role in roles if role in workers])
        if not dry_run:
            self._prune(report)
            self._enable(wanted, report, now=now and report.is_reachable)
        report.units = self._standing(wanted, report) + self._standing(surplus, report, is_wanted=False)
        return report

    def _enable(self, wanted: Iterable[tuple[str, str, int]], report: Report, *, now: bool) -> None:
        """Those whose files are ours."""
        left = {one["name"] for one in report.left}
        units = [name for name, role, number in wanted if not self._files_of(role, number) & left]
        if report.is_reachable:
            self._manager.reload()
        if new := [name for name in units if now or name not in self._manager.enabled()]:
            self._manager.enable(new, now=now)

    def uninstall(self, workers: Workers, roles: Iterable[str], *, dry_run: bool) -> Report:
        """Take away what an installation of this project made, for any role. Raises as `install`."""
        report = self._report()
        mine = [name for name in self._manager.enabled() if self._is_mine(name) and not self._is_foreign(name)]
        others = [name for name in self._manager.enabled() if not self._is_mine(name)]
        if mine and not dry_run:
            self._manager.disable(mine, now=report.is_reachable)
        for name in self._ours_there(list(self._wanted(workers, roles)), mine):
            if not self._is_shared(name) or not others:
                report.files.append(self._take(name, dry_run=dry_run))
        if not dry_run:
            self._prune(report)
            if report.is_reachable:
                self._manager.reload()
        report.units = [self._unit(name, "", 0, report) for name in mine] if dry_run else []
        return report

    def status(self, workers: Workers, roles: Iterable[str]) -> Report:
        """How files and units stand; changes nothing."""
        report, roles = self._report(), list(roles)
        for name, data in self._wanted(workers, roles).items():
            report.files.append(self._look(name, data))
        surplus = self._surplus(workers, roles, is_all=True)
        for name in self._stale(workers, roles, [name for name, _, _ in surplus]):
            report.files.append(self._look(name, None))
        report.units = self._standing(self._instances(workers, [role for role in roles if role in workers]), report)
        report.units += self._standing(surplus, report, is_wanted=False)
        return report

    # -- what there is too much ---------------------------------------------------------------------------------------

    def _surplus(self, workers: Workers, roles: Iterable[str], *, is_all: bool) -> list[tuple[str, str, int]]:
        """Name, role and number of each enabled unit of these roles, or of one that is gone, that is not wanted now."""
        found = []
        for name in self._enabled_workers():
            role, number = rules.worker_of(name) or ("", 0)
            if (is_all or role in roles) and number > workers.get(role, (0, 0.0))[0]:
                found.append((name, role, number))
        return found

    def _enabled_workers(self) -> list[str]:
        """Every enabled unit of a worker of this project."""
        mine = [name for name in self._manager.enabled() if self._is_mine(name) and rules.worker_of(name)]
        return [name for name in mine if not self._is_foreign(name)]

    def _stale(self, workers: Workers, roles: Iterable[str], surplus: Sequence[str]) -> list[str]:
        """Every file of these units, and of units of these roles, that an installation would not make now."""
        wanted = self._wanted(workers, roles)
        used = {self._template_of(name) for name in self._manager.enabled() if name not in surplus}
        kept = [name for name in self._enabled_workers() if (rules.worker_of(name) or ("", 0))[0] in roles]
        found = []
        for name in self._ours_there(list(wanted), [*surplus, *kept]):
            unit = name.partition(".d/")[0]
            if name not in wanted and (unit in wanted or unit not in used):
                found.append(name)
        return found

    def _prune(self, report: Report) -> None:
        """Remove the folders that a removal has left empty."""
        self._files.prune(tuple(sorted({one["name"].rpartition("/")[0] for one in report.files if "/" in one["name"]})))

    # -- what there should be -----------------------------------------------------------------------------------------

    def _report(self) -> Report:
        return Report(self._manager.name, is_reachable=self._manager.is_reachable())

    def _instances(self, workers: Workers, roles: Iterable[str]) -> list[tuple[str, str, int]]:
        """Name, role and number of each unit of this project."""
        found = [(rules.BOARD, 1)]
        found += [(role, number) for role in roles for number in range(1, workers[role][0] + 1)]
        return [(self._unit_name(role, number), role, number) for role, number in found]

    def _unit_name(self, role: str, number: int) -> str:
        if self._manager.name == "launchd":
            return f"{rules.label(role, number, self._root)}.plist"
        return rules.instance_name(role, number, self._root)

    def _wanted(self, workers: Workers, roles: Iterable[str]) -> dict[str, bytes]:
        """Each file, by its name in the manager's folder."""
        roles = list(roles)
        if self._manager.name == "launchd":
            configured = [role for role in roles if role in workers]
            return {name: self._agent(role, n, workers) for name, role, n in self._instances(workers, configured)}
        found: dict[str, bytes] = {}
        for role in (rules.BOARD, *roles):
            for number in range(1, max(workers.get(role, (1, 0.0))[0], 1) + 1):
                name = rules.template_name(role, number)
                found[name] = rules.stamped(rules.template(role, number))
                if self._folder:
                    found[f"{name}.d/10-path.conf"] = rules.stamped(rules.path_drop_in(self._folder))
                if role in workers and rules.needs_stop_drop_in(workers[role][1]):
                    drop_in = f"{rules.instance_name(role, number, self._root)}.d/10-stop.conf"
                    found[drop_in] = rules.stamped(rules.stop_drop_in(workers[role][1]))
        return found

    def _agent(self, role: str, number: int, workers: Workers) -> bytes:
        stop_s = workers.get(role, (1, 0.0))[1]
        table = rules.agent(role, number, self._root, home=self._home, stop_s=stop_s, folder=self._folder)
        return rules.stamped(self._dump(table).decode(), is_xml=True)

    def _files_of(self, role: str, number: int) -> set[str]:
        """The file without which a unit must not be enabled."""
        is_launchd = self._manager.name == "launchd"
        return {self._unit_name(role, number) if is_launchd else rules.template_name(role, number)}

    def _is_mine(self, unit: str) -> bool:
        if self._manager.name == "launchd":
            return unit.removesuffix(".plist").endswith(rules.label("", 1, self._root).rpartition(".")[2])
        return unit.endswith(f"@{rules.escape(self._root)}.service")

    def _is_foreign(self, unit: str) -> bool:
        """Whether an enabled unit of this project runs something that is not of our making, and is only called so."""
        try:
            data = self._files.read(self._template_of(unit))
        except UsageError:  # no plain file: nothing that we have written
            return True
        return data is not None and rules.mark_of(data) == "foreign"

    def _template_of(self, unit: str) -> str:
        """The file that an enabled unit, of any project, is made of."""
        if self._manager.name == "launchd":
            return unit
        before, at, _ = unit.partition("@")
        return f"{before}{at}.service"

    def _is_shared(self, name: str) -> bool:
        """Whether a file is for all projects of this user."""
        return "@." in name

    def _ours_there(self, names_known: Iterable[str], mine: Sequence[str]) -> list[str]:
        """Every file of these, and of those that an installation of these units may have made, that is there."""
        names = dict.fromkeys(names_known)
        for unit in mine:
            if self._manager.name == "launchd":
                names[unit] = None
                continue
            template = self._template_of(unit)
            names |= dict.fromkeys([template, f"{template}.d/10-path.conf", f"{unit}.d/10-stop.conf"])
        for name in list(names):
            if name.endswith("@.service"):
                names[f"{name}.d/10-path.conf"] = None
        return [name for name in names if self._files.has(name)]

    # -- one file -----------------------------------------------------------------------------------------------------

    def _put(self, name: str, data: bytes, *, dry_run: bool) -> dict[str, Any]:
        before, why = self._before(name)
        if why:
            return {"name": name, "what": "left", "why": why}
        if before == data:
            return {"name": name, "what": "as-is", "why": ""}
        if not dry_run:
            self._files.write(name, data, instead_of=before)
        return {"name": name, "what": "made" if before is None else "replaced", "why": ""}

    def _take(self, name: str, *, dry_run: bool) -> dict[str, Any]:
        before, why = self._before(name)
        if why or before is None:
            return {"name": name, "what": "left", "why": why or "it is gone"}
        if not dry_run:
            self._files.delete(name, instead_of=before)
        return {"name": name, "what": "removed", "why": ""}

    def _look(self, name: str, data: bytes | None) -> dict[str, Any]:
        """How a file stands that should have this content; None: that should not be there."""
        before, why = self._before(name)
        if why:
            return {"name": name, "what": "left", "why": why}
        what = "as-is" if before == data else "missing" if before is None else "outdated"
        return {"name": name, "what": "surplus" if data is None else what, "why": ""}

    def _before(self, name: str) -> tuple[bytes | None, str]:
        """What stands there, and why it must be left."""
        try:
            data = self._files.read(name)
        except UsageError as exc:
            return None, exc.message
        mark = rules.mark_of(data) if data is not None else "ours"
        why = {"ours": "", "changed": "somebody changed it", "foreign": "it was not made by latchboard"}[mark]
        return data, why

    # -- units --------------------------------------------------------------------------------------------------------

    def _standing(
        self, units: Iterable[tuple[str, str, int]], report: Report, *, is_wanted: bool = True
    ) -> list[dict[str, Any]]:
        return [self._unit(name, role, number, report, is_wanted=is_wanted) for name, role, number in units]

    def _unit(self, name: str, role: str, number: int, report: Report, *, is_wanted: bool = False) -> dict[str, Any]:
        return {
            "name": name,
            "role": role,
            "number": number,
            "is_enabled": name in self._manager.enabled(),
            "is_active": report.is_reachable and self._manager.is_active(name),
            "is_wanted": is_wanted,
        }
