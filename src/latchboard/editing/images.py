"""Images, the service: taken of files before and after their holder's calls, and compared with what is there now.

Files are read outside of the transaction; the record goes into the transaction that makes the hold, so that whoever
sees the hold sees the image.

Protocol: protocol/editing.md, "Images".
"""

from __future__ import annotations

from latchboard.errors import MalformedRecord
from latchboard.rules import image as rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from typing import Any, Protocol

    from latchboard.host.tree import WorkTree
    from latchboard.rules.image import Image, ImageRecord
    from latchboard.store.port import Snapshot, View

    class Bytes(Protocol):
        """What images need of the machine (host/kept.py)."""

        def shows(self, path: str, image: Any) -> bool:
            """Whether a look at a path shows the stamp of an image (None: nothing there)."""
            ...

        def take(self, path: str, *, keep: bool = True) -> Any:
            """What is at a path, read, its bytes kept; None: nothing."""
            ...

        def keep(self, data: bytes, digest: str = "") -> str:
            """Keep bytes; their SHA-256."""
            ...

        def keep_named(self, name: str, data: bytes) -> str:
            """Keep bytes under a name of their own; the path below the store's folder."""
            ...

        def read(self, digest: str) -> bytes | None:
            """Kept bytes; None: not there."""
            ...

        def read_named(self, name: str) -> bytes | None:
            """What was kept under a name of its own; None: not there."""
            ...

        def set_mode(self, path: str, mode: int) -> None:
            """Give a file the mode it had."""
            ...

        def sweep(self, referred: Container[str], *, dry_run: bool) -> list[str]:
            """Remove what is old and not referred to; the names of it."""
            ...


class Changed:
    """A file that is not its image.

    Attributes:
        record: The image, and whose it is.
        now: What is there; None: nothing. Its bytes are kept, if they are few enough.
    """

    __slots__ = ("now", "record")

    def __init__(self, record: ImageRecord, now: Image | None) -> None:
        self.record = record
        self.now = now

    @property
    def name(self) -> str:
        """The canonical name of the file."""
        return self.record["name"]

    def __repr__(self) -> str:
        return f"Changed({self.name!r}, holder={self.record['agent']!r})"


class Images:
    """Images of the files of one project. Threads may share one; it remembers nothing."""

    __slots__ = ("kept", "tree")

    def __init__(self, tree: WorkTree, kept: Bytes) -> None:
        self.tree = tree
        self.kept = kept

    def take(self, name: str) -> Image | None:
        """Read a file and keep its bytes by their SHA-256; None: there is no such file, which is an image too.

        Args:
            name: Canonical. Of a folder, a glob or a hard link it is None, and `put` passes them over.

        Raises:
            StoreError: It cannot be read, or its bytes cannot be kept.
        """
        return self._take(self.path(name)) if rules.is_imaged(name) else None

    def _take(self, path: str) -> Image | None:
        found = self.kept.take(path)
        if found is None:
            return None
        seen_ns, is_steady = found.pop("seen_ns"), found.pop("steady")
        found["settled"] = is_steady and rules.is_settled(found["mtime_ns"], found["ctime_ns"], seen_ns)
        image: Image = found
        return image

    def shows(self, name: str, image: Image | None) -> bool:
        """Whether a look at the file of a name, without reading it, shows this image."""
        return not rules.is_imaged(name) or self.kept.shows(self.path(name), image)

    def path(self, name: str) -> str:
        """How the disk spells the file of a name: relative to the root, or absolute outside it."""
        real = self.tree.real(name)
        root = self.tree.root.rstrip("/") + "/"
        return real[len(root) :] if real.startswith(root) else real

    def put(self, view: View, name: str, agent: str, token: int, image: Image | None) -> None:
        """Write the image of a file that `agent` holds under `token`; a name that can have none is passed over."""
        if rules.is_imaged(name):
            path = self.path(name)
            place = {} if path == name else {"path": path}
            view.put(rules.key(name), {"name": name, **place, "agent": agent, "token": token, "file": image})

    @staticmethod
    def put_again(view: View, record: ImageRecord, image: Image | None) -> None:
        """Write another image of the same file, for the same hold."""
        view.put(rules.key(record["name"]), {**record, "file": image})

    def forget(self, view: View, names: Iterable[str]) -> None:
        """Delete the images of names that were given back. Their bytes go with the next cleanup."""
        for name in names:
            if rules.is_imaged(name) and view.get(rules.key(name)) is not None:
                view.delete(rules.key(name))

    def get(self, source: View | Snapshot, name: str) -> ImageRecord | None:
        """The stored image of a name.

        Raises:
            MalformedRecord: It cannot be read.
        """
        return checked(rules.key(name), source.get(rules.key(name)))

    def changed(
        self, source: View | Snapshot, names: Iterable[str] | None = None, *, of: str | None = None
    ) -> list[Changed]:
        """Those whose file is not its image; of what may have changed the bytes are read, and kept.

        A file whose look is that of a settled image is not read. One that was only touched is not changed.

        Args:
            source: Has the images: `store.read("images/")`, or of `names` alone.
            names: Canonical names; None: every image there is.
            of: Of this holder alone.

        Raises:
            MalformedRecord: An image that was asked for by name cannot be read. Of all images, such a one is passed
                over: the doctor and the cleanup name it.
            StoreError: A file cannot be read.
        """
        if names is None:
            stored: Iterable[tuple[str, Any]] = source.scan(rules.KEY, damaged=[])
        else:
            stored = [(key, source.get(key)) for key in map(rules.key, names)]
        found = []
        for key, value in stored:
            if value is None or (of is not None and value.get("agent") != of) or self._is_plainly_same(value):
                continue
            try:
                record = checked(key, value)
            except MalformedRecord:
                if names is None:
                    continue
                raise
            assert record is not None
            now = self._take(rules.path_of(record))
            if not rules.is_same_content(record["file"], now):
                found.append(Changed(record, now))
        return found

    def _is_plainly_same(self, value: Any) -> bool:
        """Whether a look is enough (rules/image.py, law 2). On the path of every shell call, for every held file."""
        try:
            image = value["file"]
            return (image is None or image["settled"] is True) and self.kept.shows(rules.path_of(value), image)
        except (KeyError, TypeError):  # not the shape of an image: `checked` says what is wrong
            return False

    @staticmethod
    def has_any(source: View | Snapshot) -> bool:
        """Whether there is an image at all."""
        return bool(source.scan(rules.KEY, damaged=[]))

    def records(self, source: View | Snapshot) -> list[ImageRecord]:
        """Every image that can be read."""
        found = []
        for key, value in source.scan(rules.KEY, damaged=[]):
            try:
                record = checked(key, value)
            except MalformedRecord:
                continue
            if record is not None:
                found.append(record)
        return found


def checked(key: str, value: Any) -> ImageRecord | None:
    """A stored image, if it is one.

    Raises:
        MalformedRecord: It is not.
    """
    if value is None:
        return None
    wrong = rules.check_record(value)
    if wrong or rules.key(value["name"]) != key:
        raise MalformedRecord(
            f"the image {key} cannot be read: {wrong or 'it has another name inside'}",
            hint="the next edit of its holder takes it anew; until then nobody is told of changes of that file",
            key=key,
            reason=wrong,
        )
    record: ImageRecord = value
    return record
