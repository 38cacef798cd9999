"""Network file systems are named and warned about."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from latchboard import Latchboard
from latchboard.store.files import mount

TABLE = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /net/team rw shared:2 - nfs4 server:/team rw
31 30 254:1 / /net/team/local rw shared:3 - ext4 /dev/vdb rw
32 22 0:41 / /mnt/with\040blank rw - fuse.sshfs host:/ rw
a line that is none
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/srv/project", None),
        ("/net/team/project", ("/net/team", "nfs4")),
        ("/net/team", ("/net/team", "nfs4")),
        ("/net/teamwork", None),
        ("/net/team/local/project", None),
        ("/mnt/with blank/project", ("/mnt/with blank", "fuse.sshfs")),
    ],
)
def test_the_mount_of_a_path_is_the_innermost_one(path: str, expected: tuple[str, str] | None) -> None:
    assert mount.network_mount(path, TABLE) == expected


def test_a_store_on_a_network_mount_is_warned_about__failure_3_7(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"22 1 0:40 / {tmp_path} rw - nfs server:/x rw\n")
    monkeypatch.setattr(mount, "_TABLE", str(table))

    with pytest.warns(RuntimeWarning, match=f"nfs mounted at {tmp_path}"):
        Latchboard(tmp_path, publishes=False).agent("a").lock("x.py")


def test_a_store_on_a_local_disk_is_not_warned_about(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Latchboard(tmp_path, publishes=False).agent("a").lock("x.py")
