"""Mount: whether a folder lies on a network file system, where flock(2) and notifications are not to be trusted.

Protocol: protocol/layout.md, "Where it must not be".
"""

from __future__ import annotations

# fmt: off
NETWORK_TYPES = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.davfs2", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs",
    "fuse.vmhgfs-fuse", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "prl_fs", "smb3", "smbfs", "vboxsf",
    "virtiofs",
})
# fmt: on
_TABLE = "/proc/self/mountinfo"


def network_mount(path: str, table: str) -> tuple[str, str] | None:
    """(mount point, type) of the network file system that `path` lies on; None: a local one, or it cannot be told.

    Args:
        path: Absolute, without symbolic links.
        table: The text of /proc/self/mountinfo; later lines hide earlier ones.
    """
    found = ("", "")
    for line in table.splitlines():
        front, dash, behind = line.partition(" - ")
        fields = front.split(" ")
        if not dash or len(fields) < 5:
            continue
        point = _unescaped(fields[4])
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(found[0]):
            found = (point, behind.split(" ", 1)[0])
    return found if found[1] in NETWORK_TYPES else None


def warn_if_network(path: str) -> None:
    """Warn, and name the mount, when a store lies on a network file system."""
    try:
        with open(_TABLE, encoding="utf-8", errors="surrogateescape") as file:
            mount = network_mount(path, file.read())
    except OSError:
        return  # no such table on this system: nothing is known, and the self-test of the locks goes on
    if mount is not None:
        import warnings  # which a store on a local disk need not load

        point, kind = mount
        warnings.warn(
            f"{path} lies on the network file system {kind} mounted at {point}: locks and notifications are not to be "
            "trusted there; put the project on a local disk",
            RuntimeWarning,
            stacklevel=2,
        )


def _unescaped(text: str) -> str:
    """A mount point as it is: the kernel writes blanks, tabs, newlines and backslashes as octal numbers."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
