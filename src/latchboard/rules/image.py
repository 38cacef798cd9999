"""Image: what a file was when its holder last touched it; pure.

Law 1. An image speaks for one hold: of the agent and the token in it. Without that hold it says nothing.
Law 2. A file is taken for unchanged without reading it only where its stamp is the same and the image is settled: it
was not taken so soon after the last change that another one could have the same stamp.
Law 3. What has no bytes kept says so (`kept`): then its old content cannot be shown again, and nobody is told it could.

Record `images/<name>`: {"name", "agent", "token", "file"}; `file` is None where there was no file. `path` stands beside
the name where the disk spells it otherwise. It is short: before every shell call all of them are read.

Protocol: protocol/editing.md, "Images".
"""

from __future__ import annotations

from latchboard.rules.holding import is_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, NotRequired, TypedDict

    Kind = Literal["file", "folder", "other"]

    class Image(TypedDict):
        """What was there. `kind`, `size`, `mtime_ns`, `ctime_ns` and `inode` are the stamp: what a look at it shows."""

        kind: Kind
        size: int
        mtime_ns: int
        ctime_ns: int
        inode: int
        mode: int
        sha256: str
        kept: bool
        settled: bool

    class ImageRecord(TypedDict):
        """An image, and whose it is. `path` is how the disk spells the name: relative to the root, or absolute."""

        name: str
        path: NotRequired[str]
        agent: str
        token: int
        file: Image | None


KINDS = ("file", "folder", "other")
KEY = "images/"
SETTLED_NS = 20_000_000
"""Longest time, in nanoseconds, that a file system of today may give two changes one time: two ticks of 10 ms."""
SETTLED_COARSE_NS = 2_000_000_000
"""The same for a file system that keeps whole seconds (or, as FAT, every other one)."""


def key(name: str) -> str:
    """The key of the image of a name."""
    return KEY + name


def path_of(record: Any) -> Any:
    """How the disk spells the file of an image: relative to the root, or absolute outside it."""
    return record.get("path", record.get("name"))


def is_imaged(name: str) -> bool:
    """Whether a name that is locked can have an image: a file has one; a folder, a glob, a hard link has none."""
    return not name.endswith("/") and not name.startswith(("glob:", "hardlink:"))


def of_bytes(data: bytes, digest: str, *, kept: bool) -> Image:
    """The image of a file that is about to be these bytes. Its stamp is not known yet: the next look reads it."""
    return {
        "kind": "file",
        "size": len(data),
        "mtime_ns": 0,
        "ctime_ns": 0,
        "inode": 0,
        "mode": 0o644,
        "sha256": digest,
        "kept": kept,
        "settled": False,
    }


def is_settled(mtime_ns: int, ctime_ns: int, taken_ns: int) -> bool:
    """Whether a later change of the file is sure to show in its stamp."""
    newest = max(mtime_ns, ctime_ns)
    coarse = newest % 1_000_000_000 == 0
    return taken_ns - newest > (SETTLED_COARSE_NS if coarse else SETTLED_NS)


def is_same_content(image: Image | None, seen: Image | None) -> bool:
    """Whether two images are of one content. Where one was too large to be read, its size and time speak for it."""
    if image is None or seen is None:
        return image is seen
    if image["kind"] != "file" or seen["kind"] != "file":
        return image["kind"] == seen["kind"]
    if image["sha256"] and seen["sha256"]:
        return image["sha256"] == seen["sha256"]
    return image["size"] == seen["size"] and image["mtime_ns"] == seen["mtime_ns"]


def check_record(value: Any) -> str:
    """What is wrong with a stored image; empty: nothing."""
    if not isinstance(value, dict):
        return "no object"
    if not is_word(value.get("name")) or not is_word(path_of(value)) or not is_word(value.get("agent")):
        return "name, path or agent is no word"
    if type(value.get("token")) is not int:
        return "token is no number"
    return check_image(value["file"]) if "file" in value else "file is missing"


def check_image(value: Any) -> str:
    """What is wrong with the image in a record; empty: nothing."""
    if value is None:
        return ""
    if not isinstance(value, dict) or value.get("kind") not in KINDS:
        return "file is no object of a known kind"
    if any(type(value.get(field)) is not int for field in ("size", "mtime_ns", "ctime_ns", "inode", "mode")):
        return "a number of file is wrong"
    if not is_digest(value.get("sha256")) and value.get("sha256") != "":
        return "sha256 is no digest"
    if type(value.get("kept")) is not bool or type(value.get("settled")) is not bool:
        return "kept or settled is wrong"
    return "" if value["sha256"] or not value["kept"] else "kept without a digest"


def is_digest(value: object) -> bool:
    """Whether `value` is a SHA-256 as records write it: it becomes the name of a file."""
    return type(value) is str and len(value) == 64 and not set(value) - set("0123456789abcdef")
