"""Container: whether a process runs inside one, told by points; pure.

Law 1. Points from anywhere may switch an option on in a generated file; ending a process needs hard evidence besides:
a variable that a tool sets is set on a bare host as well.
Law 2. Every point is explained: what was found is listed, one indicator for each.

Protocol: protocol/daemon.md, "Container".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypedDict

    class Surroundings(TypedDict):
        """What this machine says about where a process runs; whatever cannot be read is absent, empty or false.

        `environment` is that of the asking process, `init_environment` that of process 1; `cgroups` are the lines of
        /proc/PID/cgroup of both; `root` is the project's folder.
        """

        root: str
        has_config_folder: bool
        has_socket: bool
        uid: int | None
        environment: Mapping[str, str]
        init_environment: Mapping[str, str]
        has_dockerenv: bool
        has_containerenv: bool
        cgroups: list[str]

    class Indicator(TypedDict):
        """One thing that speaks for a container."""

        indicator: str
        points: int
        is_hard: bool


THRESHOLD_POINTS = 3
"""So many points are a container."""
VARIABLES = (
    ("CLAUDECODE", ("1",), 3),
    ("CLAUDE_CODE_ENTRYPOINT", ("cli",), 3),
    ("DEVCONTAINER", ("true",), 2),
    ("IS_SANDBOX", ("1",), 2),
    ("container", ("podman", "docker"), 2),
)
"""Name, values, points: variables of the asking process."""
INIT_VARIABLES = ("container", "KUBERNETES_SERVICE_HOST")
"""Variables of process 1 that container managers set (systemd's convention, and Kubernetes')."""
WORKSPACE = "/workspace"
_RUNTIMES = ("docker", "containerd", "kubepods", "libpod", "lxc", "crio", "garden")
_OF_A_HOST = ("snap.", "app-", "lxc.monitor.")
"""How parts of a cgroup begin in which a runtime's own programs run on a host: a snap, a desktop's, a monitor."""


def indicators(found: Surroundings) -> list[Indicator]:
    """Everything that speaks for a container: hard evidence first."""
    return [_indicator(text, 3, True) for text in _evidence(found)] + [
        _indicator(text, points, False) for text, points in _hints(found)
    ]


def score(listed: Iterable[Indicator]) -> int:
    """The points of all of them."""
    return sum(one["points"] for one in listed)


def is_container(listed: Iterable[Indicator]) -> bool:
    """Whether there are points enough."""
    return score(listed) >= THRESHOLD_POINTS


def has_hard_evidence(listed: Iterable[Indicator]) -> bool:
    """Whether something speaks for a container that no tool sets on a bare host."""
    return any(one["is_hard"] for one in listed)


def _indicator(text: str, points: int, is_hard: bool) -> Indicator:
    return {"indicator": text, "points": points, "is_hard": is_hard}


def _evidence(found: Surroundings) -> list[str]:
    listed = []
    if found["has_dockerenv"]:
        listed.append("/.dockerenv")
    if found["has_containerenv"]:
        listed.append("/run/.containerenv")
    runtime = next((name for name in _RUNTIMES if any(_names(line, name) for line in found["cgroups"])), "")
    if runtime:
        listed.append(f"cgroup of {runtime}")
    listed += [f"process 1 has {name}" for name in INIT_VARIABLES if found["init_environment"].get(name)]
    return listed


def _names(line: str, runtime: str) -> bool:
    """Whether a line `4:memory:/docker/0a1b` has the runtime in its path, as a word of its own.

    `/system.slice/docker.service` starts containers, on the host; `docker-<id>.scope` is a container. The path may have
    colons in it. Podman's containers are libpod's; `podman-<pid>.scope` is the program itself, on the host.
    """
    for part in line.partition(":")[2].partition(":")[2].split("/"):
        if part.endswith(".service") or part.startswith(_OF_A_HOST):
            continue
        words = part.replace(".", "-").replace(":", "-").split("-")
        if runtime in words:
            return True
    return False


def _hints(found: Surroundings) -> list[tuple[str, int]]:
    environment = found["environment"]
    listed = [
        (f"{name}={environment[name]}", points) for name, values, points in VARIABLES if environment.get(name) in values
    ]
    if found["root"] == WORKSPACE and found["has_config_folder"]:
        listed.append((f"the project is {WORKSPACE}", 3))
    if found["has_socket"]:
        listed.append(("a socket in the project's environment", 1))
    if found["uid"] == 0:
        listed.append(("user 0", 1))
    return listed
