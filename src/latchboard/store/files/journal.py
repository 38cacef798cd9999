"""Journal lines: pack and unpack, pure. A line is one commit; its checksum says whether it is whole.

    {"revision":R,"at":"...","who":"...","puts":{key:value,...},"deletes":[key,...],"crc":"0123abcd"}

The checksum is the CRC-32 of every byte before `,"crc"`. A line that is not whole was never committed. The first line
of a journal names its base, the last revision before it, and the store it belongs to. A revision is the base plus the
offset at which its line begins: it costs nothing, grows for ever, and lets a reader seek.

Protocol: protocol/store.md, "Journal".
"""

from __future__ import annotations

from binascii import crc32

from latchboard.codec import decode, encode, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_TAIL_BYTES = len(',"crc":"01234567"}')


def seal(text: str) -> bytes:
    """Add checksum and newline to the text of an object that still lacks its closing brace."""
    body = text.encode()
    return b'%s,"crc":"%08x"}\n' % (body, crc32(body))


def commit_line(revision: int, at: str, who: str, puts: dict[str, str], deletes: list[str]) -> bytes:
    """The line of one commit. `puts` maps keys to values that are JSON text already."""
    written = ",".join([f"{quote(key)}:{text}" for key, text in puts.items()])
    deleted = ",".join([quote(key) for key in deletes])
    return seal(f'{{"revision":{revision},"at":"{at}","who":{quote(who)},"puts":{{{written}}},"deletes":[{deleted}]')


def first_line(*, base: int, previous: int, store_id: str, boot: str, marks: dict[str, int], at: str) -> bytes:
    """The line that opens a journal; `marks` tells the folder it was written in from any copy of it.

    `records` says that its writer kept what the records were (`beginning`), if there was room for it.
    """
    head = {"format": 1, "base": base, "previous": previous, "store_id": store_id, "boot": boot, **marks, "at": at}
    return seal(encode({**head, "records": True})[:-1])


def unpack(line: bytes) -> dict[str, Any] | None:
    """The object in one line without its newline; None when the line is not whole."""
    tail = line[-_TAIL_BYTES:]
    if not tail.startswith(b',"crc":"') or not tail.endswith(b'"}'):
        return None
    if b"%08x" % crc32(line[:-_TAIL_BYTES]) != tail[8:16]:
        return None
    try:
        return decode(line)
    except ValueError:
        return None


def whole_lines(data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """(offset behind the line, object) of every whole line from the start of `data`, up to one that is not whole."""
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        entry = unpack(data[start:end])
        if entry is None:
            return
        yield end + 1, entry
        start = end + 1


def commits(data: bytes) -> Iterator[dict[str, Any]]:
    """Every commit in `data`, also behind lines that are damaged; a line without its newline is none."""
    for line in data.split(b"\n")[:-1]:
        entry = unpack(line)
        if entry is not None and "revision" in entry:
            yield entry
