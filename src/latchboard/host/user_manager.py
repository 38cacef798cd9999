"""User manager: the service manager of this user, as far as it can be asked: systemd's, or launchd.

Guarantees that nothing is asked as root for anybody else: everything is the user's own. Where the manager does not run
(a container, a session without one) files are written and enabled all the same; they count from the next log-in on.

Protocol: protocol/supervision.md, "Service units".
"""

from __future__ import annotations

import os
import subprocess

from latchboard.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONFIG_VARIABLE = "XDG_CONFIG_HOME"
_WAIT_S_MAX = 120.0
_STOP_WAIT_S_MAX = 660.0
"""A stop may take as long as the longest drain, and what a unit is given beyond it."""


def home_of(environ: Mapping[str, str]) -> str:
    """The user's folder: HOME where that is one, else what the system has on file.

    Raises:
        HostError: It has none.
    """
    home = environ.get("HOME", "").rstrip("/")
    if home.startswith("/"):
        return home
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir.rstrip("/")
    except KeyError as exc:
        raise HostError(f"user {os.getuid()} has no folder", hint="set HOME") from exc


class Systemd:
    """`systemctl --user`.

    Attributes:
        name: `systemd`.
        folder: Where the user's units lie.
    """

    name = "systemd"

    def __init__(self, environ: Mapping[str, str]) -> None:
        config = environ.get(_CONFIG_VARIABLE, "")
        if not config.startswith("/"):  # as the specification of that variable says
            config = f"{home_of(environ)}/.config"
        self.folder = f"{config}/systemd/user"

    def is_reachable(self) -> bool:
        """Whether it runs, and answers."""
        return _run(["systemctl", "--user", "show", "--property=Version"], may_fail=True) == 0

    def enable(self, units: Sequence[str], *, now: bool) -> None:
        """From the next log-in on, and at once with `now`. Raises HostError."""
        _run(["systemctl", "--user", "enable", *(["--now"] if now else []), *units])

    def disable(self, units: Sequence[str], *, now: bool) -> None:
        """Not any more; ended at once with `now`. Raises HostError."""
        _run(["systemctl", "--user", "disable", *(["--now"] if now else []), *units], wait_s_max=_STOP_WAIT_S_MAX)

    def reload(self) -> None:
        """Read the files anew. Raises HostError."""
        _run(["systemctl", "--user", "daemon-reload"])

    def is_active(self, unit: str) -> bool:
        """Whether it runs now."""
        return _run(["systemctl", "--user", "is-active", "--quiet", unit], may_fail=True) == 0

    def enabled(self) -> list[str]:
        """Every unit of ours that is enabled, of any project."""
        try:
            names = os.listdir(f"{self.folder}/default.target.wants")
        except OSError:
            return []
        return sorted(name for name in names if name.startswith("latchboard-"))


class Launchd:
    """`launchctl`, for this user's session.

    Attributes:
        name: `launchd`.
        folder: Where the user's agents lie.
    """

    name = "launchd"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.folder = f"{home_of(environ)}/Library/LaunchAgents"
        self._domain = f"gui/{os.getuid()}"

    def is_reachable(self) -> bool:
        """Whether there is a session."""
        return _run(["launchctl", "print", self._domain], may_fail=True) == 0

    def enable(self, units: Sequence[str], *, now: bool) -> None:
        """Agents in the folder are loaded at each log-in; at once with `now`. Raises HostError."""
        for unit in units if now else ():
            if not self.is_active(unit):
                _run(["launchctl", "bootstrap", self._domain, f"{self.folder}/{unit}"])

    def disable(self, units: Sequence[str], *, now: bool) -> None:
        """Their files go; ended at once with `now`. Raises HostError."""
        for unit in units if now else ():
            if self.is_active(unit):
                name = unit.removesuffix(".plist")
                _run(["launchctl", "bootout", f"{self._domain}/{name}"], wait_s_max=_STOP_WAIT_S_MAX)

    def reload(self) -> None:
        """It reads files when they are loaded."""

    def is_active(self, unit: str) -> bool:
        """Whether it is loaded now."""
        return _run(["launchctl", "print", f"{self._domain}/{unit.removesuffix('.plist')}"], may_fail=True) == 0

    def enabled(self) -> list[str]:
        """Every agent of ours that lies there, of any project."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return []
        return sorted(name for name in names if name.startswith("latchboard.") and name.endswith(".plist"))


def _run(words: Sequence[str], *, may_fail: bool = False, wait_s_max: float = _WAIT_S_MAX) -> int:
    """The status of a command.

    Raises:
        HostError: It could not be started, took too long, or failed.
    """
    environ = dict(os.environ)
    if not environ.get(_CONFIG_VARIABLE, "/").startswith("/"):
        del environ[_CONFIG_VARIABLE]  # relative to what? nobody but this command would look there
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=wait_s_max,
            check=False,
            env=environ,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        if may_fail:
            return 127
        raise HostError(f"cannot run {words[0]}: {exc}", hint="is this service manager installed?") from exc
    if done.returncode and not may_fail:
        said = done.stderr.strip().splitlines()
        raise HostError(f"`{' '.join(words)}` failed: {said[-1] if said else f'status {done.returncode}'}", hint="")
    return done.returncode
