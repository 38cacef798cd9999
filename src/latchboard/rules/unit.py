"""Unit: the files by which a user's service manager runs a project's workers and its daemon; pure.

Law 1. A template has no path of one machine in it: the user's home and the project's root come from the manager.
Law 2. Each file says by a checksum that it is ours and as it was made: only such a file is replaced or removed.
Law 3. A stop is given more time than a drain takes.

Protocol: protocol/supervision.md, "Service units". systemd.unit(5), systemd.service(5), systemd.exec(5),
launchd.plist(5).
"""

from __future__ import annotations

from latchboard.rules.agent import sha256
from latchboard.rules.workqueue import is_role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, TypeAlias

    Mark: TypeAlias = Literal["ours", "changed", "foreign"]

BOARD = "board"
"""In the place of a role: the project's daemon."""
STOP_S = 30.0
"""What a template gives a process to end: above the drain time of a role with the default grace."""
STOP_MARGIN_S = 10.0
WANTS = "default.target.wants"
FOLDERS = ("%h/.local/bin", "%f/.venv/bin", "/usr/local/bin", "/usr/bin", "/bin")
"""Where a unit looks for `latchboard`, and for what workers run."""
_MARK = "made by latchboard, sha256 "
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.")

_WORKER = """\
[Unit]
Description=Latchboard {what} of %f
ConditionPathIsDirectory=%f
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
WorkingDirectory=%f
Environment="PATH={path}"
ExecStart=:/usr/bin/env latchboard {words}
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=2 10
WatchdogSec=60
TimeoutStartSec=60
TimeoutStopSec={stop_s:g}
KillMode=mixed
OOMPolicy=continue
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
{more}
[Install]
WantedBy=default.target
"""
_OF_THE_BOARD = """\
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
"""


# -- systemd ----------------------------------------------------------------------------------------------------------


def escape(path: str) -> str:
    """A path as the instance of a unit, as `systemd-escape --path` says; the path is absolute and normal."""
    parts = [part for part in path.split("/") if part]
    if not parts:
        return "-"
    found = []
    for place, byte in enumerate("/".join(parts).encode("utf-8", "surrogateescape")):
        letter = chr(byte)
        is_safe = letter in _SAFE and not (letter == "." and place == 0)
        found.append("-" if letter == "/" else letter if is_safe else f"\\x{byte:02x}")
    return "".join(found)


def template_name(role: str, number: int = 1) -> str:
    """The file of a role's first worker, or of a further one; of the daemon for `BOARD`.

    No role has a dot in it: the second worker of `builder` is never the first one of `builder-2`.
    """
    return f"latchboard-{role}{'' if number == 1 else f'.{number}'}@.service"


def instance_name(role: str, number: int, root: str) -> str:
    """The unit of one project."""
    return template_name(role, number).replace("@.", f"@{escape(root)}.")


def worker_of(unit: str) -> tuple[str, int] | None:
    """Role and number of a unit or of an agent of launchd, ours by its name; None: it is none of a worker."""
    words = unit.partition("@")[0].removeprefix("latchboard-").split(".")
    if unit.endswith(".plist"):
        words = unit.split(".")[1:-2]
    role, number = "".join(words[:1]), "".join(words[1:2]) or "1"
    is_one = len(words) <= 2 and is_role(role) and role != BOARD and number.isascii() and number.isdecimal()
    return (role, int(number)) if is_one else None


def template(role: str, number: int = 1) -> str:
    """What stands in it."""
    if role == BOARD:
        what, words, more = "board", "serve --root %f", _OF_THE_BOARD
    else:
        what, words, more = f"{role} {number}", f"worker --root %f --role {role}", ""
    return _WORKER.format(what=what, words=words, more=more, path=":".join(FOLDERS), stop_s=STOP_S)


def path_drop_in(folder: str) -> str:
    """What tells a template of a machine whose `latchboard` lies elsewhere."""
    return f'[Service]\nEnvironment="PATH={":".join([_literal(folder), *FOLDERS])}"\n'


def stop_drop_in(stop_s: float) -> str:
    """What tells an instance whose role drains for longer than the template allows."""
    return f"[Service]\nTimeoutStopSec={stop_s + STOP_MARGIN_S:g}\n"


def needs_stop_drop_in(stop_s: float) -> bool:
    """Whether a role's drain time does not fit."""
    return stop_s + STOP_MARGIN_S > STOP_S


def _literal(path: str) -> str:
    return path.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')


# -- launchd ----------------------------------------------------------------------------------------------------------


def label(role: str, number: int, root: str) -> str:
    """What launchd calls it."""
    digest = sha256(root.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"latchboard.{role}{'' if number == 1 else f'.{number}'}.{digest}"


def agent(role: str, number: int, root: str, *, home: str, stop_s: float, folder: str = "") -> dict[str, Any]:
    """What stands in its property list: every path below the home is named by `$HOME`."""
    words = f"serve --root {_quoted(root, home)}" if role == BOARD else f"worker --root {_quoted(root, home)}"
    if role != BOARD:
        words += f" --role {role}"
    folders = [_quoted(one, home) for one in (folder, f"{home}/.local/bin", f"{root}/.venv/bin") if one]
    path = ":".join([*folders, '"${HOMEBREW_PREFIX:-/opt/homebrew}"/bin', "/usr/local/bin:/usr/bin:/bin"])
    return {
        "Label": label(role, number, root),
        "ProgramArguments": ["/bin/sh", "-c", f"PATH={path} exec latchboard {words}"],
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 30,
        "ExitTimeOut": int(max(STOP_S, stop_s + STOP_MARGIN_S)),
        "ProcessType": "Background",
    }


def _quoted(path: str, home: str) -> str:
    """A path as a word for a shell."""
    is_below = bool(home) and (path == home or path.startswith(f"{home.rstrip('/')}/"))
    rest = path[len(home.rstrip("/")) :] if is_below else path
    quoted = "'" + rest.replace("'", "'\\''") + "'" if rest else ""
    return f'"$HOME"{quoted}' if is_below else quoted


# -- whose a file is --------------------------------------------------------------------------------------------------


def stamped(body: str, *, is_xml: bool = False) -> bytes:
    """A file of ours: its body, and a comment that says so, with the body's checksum."""
    data = body.encode("utf-8", "surrogateescape")
    mark = f"{_MARK}{sha256(data).hexdigest()}"
    if is_xml:
        return data + f"<!-- {mark} -->\n".encode()
    return f"# {mark}\n".encode() + data


def mark_of(data: bytes) -> Mark:
    """Whose a file is: ours as it was made, ours and changed by somebody, or somebody else's."""
    first, _, rest = data.partition(b"\n")
    if first.startswith(f"# {_MARK}".encode()):
        body, said = rest, first[len(f"# {_MARK}") :]
    elif f"<!-- {_MARK}".encode() in data:
        body, _, end = data.rpartition(f"<!-- {_MARK}".encode())
        said, is_whole, more = end.partition(b" -->\n")
        if not is_whole or more:
            return "changed"
    else:
        return "foreign"
    return "ours" if sha256(body).hexdigest().encode() == said.strip() else "changed"
