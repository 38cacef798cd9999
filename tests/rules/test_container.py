"""Points of a container: each indicator alone, the threshold, and what a bare host looks like."""

from __future__ import annotations

from typing import Any

import pytest

from latchboard.rules import container

BARE: dict[str, Any] = {
    "root": "/srv/project",
    "has_config_folder": True,
    "has_socket": False,
    "uid": 1000,
    "environment": {},
    "init_environment": {"PATH": "/bin"},
    "has_dockerenv": False,
    "has_containerenv": False,
    "cgroups": ["0::/init.scope", "0::/user.slice/user-1000.slice/session-2.scope"],
}


def judged(**found: Any) -> tuple[int, bool, bool]:
    listed = container.indicators({**BARE, **found})  # type: ignore[typeddict-item]
    assert all(one["indicator"] and one["points"] > 0 for one in listed)
    return container.score(listed), container.is_container(listed), container.has_hard_evidence(listed)


def test_bare_host_has_no_point() -> None:
    assert judged() == (0, False, False)


@pytest.mark.parametrize(
    ("found", "points"),
    [
        ({"environment": {"CLAUDECODE": "1"}}, 3),
        ({"environment": {"CLAUDECODE": "0"}}, 0),
        ({"environment": {"CLAUDE_CODE_ENTRYPOINT": "cli"}}, 3),
        ({"environment": {"CLAUDE_CODE_ENTRYPOINT": "sdk"}}, 0),
        ({"environment": {"DEVCONTAINER": "true"}}, 2),
        ({"environment": {"DEVCONTAINER": "1"}}, 0),
        ({"environment": {"IS_SANDBOX": "1"}}, 2),
        ({"environment": {"IS_SANDBOX": "yes"}}, 0),
        ({"environment": {"container": "podman"}}, 2),
        ({"environment": {"container": "docker"}}, 2),
        ({"environment": {"container": "flatpak"}}, 0),
        ({"root": "/workspace"}, 3),
        ({"root": "/workspace", "has_config_folder": False}, 0),
        ({"root": "/workspace/project"}, 0),
        ({"root": "/workspaces"}, 0),
        ({"has_socket": True}, 1),
        ({"uid": 0}, 1),
        ({"uid": None}, 0),
    ],
)
def test_hint_has_its_points_and_proves_nothing(found: dict[str, Any], points: int) -> None:
    assert judged(**found) == (points, points >= 3, False)


@pytest.mark.parametrize(
    "found",
    [
        {"has_dockerenv": True},
        {"has_containerenv": True},
        {"cgroups": ["12:memory:/docker/0a1b2c"]},
        {"cgroups": ["0::/system.slice/docker-0a1b2c.scope"]},
        {"cgroups": ["0::/", "0::/kubepods/burstable/pod1/0a1b"]},
        {"cgroups": ["0::/kubepods.slice/kubepods-besteffort.slice/cri-containerd-0a1b.scope"]},
        {"cgroups": ["0::/machine.slice/libpod-0a1b.scope/container"]},
        {"cgroups": ["0::/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:0a1b"]},
        {"cgroups": ["0::/lxc/web"]},
        {"cgroups": ["0::/lxc.payload.web"]},
        {"init_environment": {"container": "systemd-nspawn"}},
        {"init_environment": {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}},
    ],
)
def test_hard_evidence_reaches_the_threshold_with_no_variable_of_a_tool(found: dict[str, Any]) -> None:
    assert judged(**found) == (3, True, True)


@pytest.mark.parametrize(
    "line",
    [
        "0::/",
        "0::/system.slice/docker.service",
        "0::/system.slice/containerd.service",
        "1:name=docker:/user.slice",
        "0::/user.slice/user-1000.slice/user@1000.service/user.slice/podman-4242.scope",
        "0::/user.slice/user-1000.slice/user@1000.service/user.slice/podman-pause-0a1b.scope",
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/snap.docker.docker-0a1b.scope",
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-docker-4242.scope",
        "0::/lxc.monitor.web",
        "0::/user.slice/dockerish.scope",
        "garbage",
        "",
    ],
)
def test_cgroup_of_a_host_proves_nothing(line: str) -> None:
    assert judged(cgroups=[line]) == (0, False, False)


def test_empty_variable_of_process_1_proves_nothing() -> None:
    assert judged(init_environment={"container": ""}) == (0, False, False)


def test_threshold_is_inclusive() -> None:
    assert judged(environment={"DEVCONTAINER": "true"}) == (2, False, False)
    assert judged(environment={"DEVCONTAINER": "true"}, uid=0) == (3, True, False)


def test_everything_is_listed_hard_evidence_first() -> None:
    listed = container.indicators(
        {
            **BARE,
            "has_dockerenv": True,
            "has_containerenv": True,
            "cgroups": ["0::/docker/1"],
            "init_environment": {"container": "docker", "KUBERNETES_SERVICE_HOST": "x"},
            "environment": {"IS_SANDBOX": "1", "CLAUDECODE": "1"},
            "has_socket": True,
            "uid": 0,
        }  # type: ignore[typeddict-item]
    )

    assert [(one["indicator"], one["points"], one["is_hard"]) for one in listed] == [
        ("/.dockerenv", 3, True),
        ("/run/.containerenv", 3, True),
        ("cgroup of docker", 3, True),
        ("process 1 has container", 3, True),
        ("process 1 has KUBERNETES_SERVICE_HOST", 3, True),
        ("CLAUDECODE=1", 3, False),
        ("IS_SANDBOX=1", 2, False),
        ("a socket in the project's environment", 1, False),
        ("user 0", 1, False),
    ]
