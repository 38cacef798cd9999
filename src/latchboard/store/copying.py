"""Copying: every record of one store into another that is empty, verified, and told only when it is all there.

Law 1. It is a copy of one revision: the source is read once, and must still be at that revision when everything was
       read back and compared. Whoever commits to the source later is not in the copy, and that is said.
Law 2. Until then the destination is no store: it says so to whoever comes, and another copy begins it anew.
Law 3. The source is not written. Tokens of the destination are greater than the revision that was copied.

Protocol: protocol/etcd.md, "Copying".
"""

from __future__ import annotations

from latchboard.errors import StoreBusy, StoreError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    Part = list[tuple[str, dict[str, Any]]]

    class Source(Protocol):
        """A store that can be read whole."""

        def everything(self) -> Whole: ...

    class Destination(Protocol):
        """What is to become a store."""

        def begin(self, above: int, source: str) -> None:
            """Make it one that nobody can use. Revisions that it gives later are greater than `above`.

            Raises:
                UsageError: It is a store already, or somebody else's.
            """
            ...

        def put(self, part: Part) -> None:
            """Some of the records. Raises StoreBusy: somebody else copies into it now."""
            ...

        def everything(self) -> Whole: ...
        def finish(self) -> None:
            """From now on it is a store."""
            ...


PART_COUNT_MAX = 100
PART_BYTES_MAX = 500_000
_SHOWN_COUNT = 5


class Whole:
    """All that a store keeps, of one revision.

    Attributes:
        revision: Of the last commit; 0: there is none.
        records: By key, without those of presences.
        present: Processes that hold or wait in it, as far as the store knows.
    """

    __slots__ = ("present", "records", "revision")

    def __init__(self, revision: int, records: dict[str, dict[str, Any]], present: list[str] | None = None) -> None:
        self.revision = revision
        self.records = records
        self.present = present or []


def copy(source: Source, destination: Destination, *, name: str, size_of: Callable[[dict[str, Any]], int]) -> Whole:
    """Copy one into the other; returns what was copied.

    Args:
        source: Is read twice, at the beginning and at the end.
        destination: Is empty, or what an earlier copy that did not end has left.
        name: The source's, for people.
        size_of: Bytes of a value.

    Raises:
        StoreBusy: Somebody is present in the source, commits to it, or copies into the same destination. Retryable.
        MalformedRecord: The source has a record that cannot be read. Nothing was changed.
        UsageError: The destination is a store already.
        StoreError: What was read back is not what was written; the destination cannot be used.
    """
    whole = source.everything()
    if not whole.revision:
        raise UsageError(f"there is nothing in {name}", hint="a store that is empty need not be copied")
    _refuse_present(whole, name)
    destination.begin(whole.revision, name)
    for part in parts(whole.records, size_of):
        destination.put(part)
    differing = differences(whole.records, destination.everything().records)
    if differing:
        raise StoreError(
            f"what was read back is not what was copied: {_some(differing)}",
            hint="the destination cannot be used; run `latchboard store copy` again",
            keys=differing[:100],
        )
    after = source.everything()
    if after.revision != whole.revision or after.records != whole.records:
        raise StoreBusy(
            f"somebody committed to {name} meanwhile: it was at revision {whole.revision} and is at {after.revision}",
            hint="end what uses it, then run `latchboard store copy` again; the destination cannot be used yet",
        )
    _refuse_present(after, name)
    destination.finish()
    return whole


def parts(records: dict[str, dict[str, Any]], size_of: Callable[[dict[str, Any]], int]) -> Iterator[Part]:
    """Records in the order of their keys, few enough for a commit."""
    part: Part = []
    size = 0
    for key, value in sorted(records.items()):
        more = size_of(value) + len(key)
        if part and (len(part) >= PART_COUNT_MAX or size + more > PART_BYTES_MAX):
            yield part
            part, size = [], 0
        part.append((key, value))
        size += more
    if part:
        yield part


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Keys of records that are not the same in both."""
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))


def _refuse_present(whole: Whole, name: str) -> None:
    """Who holds something by being there would hold it in the source alone."""
    if whole.present:
        raise StoreBusy(
            f"{len(whole.present)} processes hold or wait for something in {name} as long as they run",
            hint="end them (and the daemon), then run `latchboard store copy` again; a killed one is gone after 15 s",
        )


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN_COUNT} more" if len(keys) > _SHOWN_COUNT else ""
    return f"{', '.join(keys[:_SHOWN_COUNT])}{more}"
