"""Patch: every file that the text of an `apply_patch` call can write; pure.

Law 1. Never fewer files than the headers say: a line that any reader of the format takes for a header is one here,
indented or not, in capitals or not, inside the patch or behind its end.
Law 2. What is plainly a patch and cannot be read is never "writes nothing": it has a fault, and the call is denied.

A patch has a fault when its files may be more than those found: no header at all, a header without a path that a file
can have, or a line at the margin that begins with `***` and is no header known here, for a later version may write a
file by it. Codex refuses such a patch today, so that the denial costs nothing. What else may be wrong with it (no end,
a context that is not there) is Codex's to say: the files are known, and claimed.

Does not say whether the patch would apply, and reads no shell: of a script it finds the patch, not what else is done.

Protocol: protocol/editing.md, "Clients". The format is that of Codex's apply_patch, as its parsers of 2025 and 2026
read it: leniently about blanks, an `EOF` wrapper and the lines around the patch.
"""

from __future__ import annotations

BEGIN = "*** Begin Patch"
END = "*** End Patch"

_HEADERS = ("add file:", "update file:", "delete file:", "move to:")
_OTHERS = ("begin patch", "end patch", "end of file")  # whole lines without a file
_ENVIRONMENT = "environment id:"  # where Codex applies it; no file
# What Rust's `trim` takes off, for Codex is written in it. Python's `strip` takes U+001C to U+001F too, which would
# turn one file name into another.
_BLANKS = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_SHOWN_MAX = 120  # characters of a line that a fault repeats
_NAMES = ("apply_patch", "applypatch")
# In an unquoted word these mean something to the shell; what they make of it is not known here.
_SPECIAL = frozenset("\t\n \"'$&()*;<>?[\\]`{|}~!#")


class Patch:
    """What a patch writes.

    Attributes:
        paths: Its files, as written there, in order, each once. A rename has both names. A name with blanks at its ends
            that readers do not agree about is there with and without them.
        fault: Why it may write others too, as the end of a sentence; empty when these are all.
    """

    __slots__ = ("fault", "paths")

    def __init__(self, paths: tuple[str, ...], fault: str) -> None:
        self.paths = paths
        self.fault = fault


class Script:
    """A shell script with a patch in it.

    Attributes:
        folder: Where the patch applies, relative to where the script starts; empty: there.
        patch: The patch.
        is_whole: Whether the script does nothing else: `[cd FOLDER &&] apply_patch <<'EOF'`, which Codex runs itself.
    """

    __slots__ = ("folder", "is_whole", "patch")

    def __init__(self, folder: str, patch: Patch, *, is_whole: bool) -> None:
        self.folder = folder
        self.patch = patch
        self.is_whole = is_whole


def read(text: str) -> Patch:
    """The files of the patch `text`.

    Protocol: protocol/editing.md, "Clients".
    """
    paths: dict[str, None] = {}
    fault = ""
    is_header_seen = False
    for number, line in enumerate(text.split("\n"), 1):  # `splitlines` would cut names at U+2028 and the like
        bare = line.strip(_BLANKS)
        if not bare.startswith("***"):
            continue
        names = _names(line)
        if names is None:
            if line.startswith("***") and not _is_known(bare):
                fault = fault or f"line {number} of it, {_shown(bare)}, is no header that is known here"
            continue
        is_header_seen = True
        for name in names:
            paths[name] = None
        if not names:
            fault = fault or f"line {number} of it, {_shown(bare)}, names no file"
    if not is_header_seen:
        fault = fault or "it has no header that names a file"
    return Patch(tuple(paths), fault)


def in_script(command: str) -> Script | None:
    """The patch that a shell script hands to `apply_patch`; None where it plainly does no such thing.

    Protocol: protocol/editing.md, "Clients".
    """
    start, stop = command.find(BEGIN), command.rfind(END)
    if start < 0:
        return None
    stop = stop if stop > start else len(command)
    if not any(name in command[:start] or name in command[stop:] for name in _NAMES):
        return None
    lines = command.strip(_BLANKS).split("\n")
    folder, rest = _changed_folder(lines[0])
    end = _here_document(rest)
    if end and lines[-1].strip(_BLANKS) == end and all(line.strip(_BLANKS) != end for line in lines[1:-1]):
        return Script(folder, read("\n".join(lines[1:-1])), is_whole=True)
    return Script(folder, read(command[start:stop]), is_whole=False)


def _names(line: str) -> list[str] | None:
    """The files that a line names as a header, none if it is one without a name; None if it is no header."""
    rest = line.lstrip(_BLANKS)[3:].lstrip(_BLANKS)
    low = rest[:16].lower()
    header = next((one for one in _HEADERS if low.startswith(one)), None)
    if header is None:
        return None
    name = rest[len(header) :].removesuffix("\r").removeprefix(" ")
    # Codex takes blanks off the end of a header, not off the start of the name, and of `Move to` neither in its older
    # parser: all of these are names that the patch can mean.
    spellings = (name.rstrip(_BLANKS), name.strip(_BLANKS), name if header == "move to:" else "")
    return [one for one in dict.fromkeys(spellings) if one.strip(_BLANKS) and _can_be_path(one)]


def _is_known(bare: str) -> bool:
    low = bare[3:].strip(_BLANKS).lower()
    return low in _OTHERS or low.startswith(_ENVIRONMENT)


def _can_be_path(name: str) -> bool:
    return "\0" not in name and not any("\ud800" <= char <= "\udfff" for char in name)


def _shown(text: str) -> str:
    kept = "".join(char if char.isprintable() else "?" for char in text[:_SHOWN_MAX])
    return f"`{kept}`" if len(text) <= _SHOWN_MAX else f"`{kept}...`"


def _changed_folder(line: str) -> tuple[str, str]:
    """The folder that a line changes to first, and what it does then; empty and the whole line where it does not."""
    if not line.startswith("cd "):
        return "", line
    folder, sign, rest = line[3:].partition("&&")
    folder = _word(folder.strip(_BLANKS))
    return (folder, rest) if folder and sign else ("", line)


def _word(text: str) -> str:
    """The one word that `text` is to a shell; empty where it is none, or not plainly."""
    if len(text) > 2 and text[0] == text[-1] and text[0] in "'\"":
        inner = text[1:-1]
        return "" if set(inner) & set("'" if text[0] == "'" else '"$`\\!') else inner
    return "" if set(text) & _SPECIAL else text


def _here_document(line: str) -> str:
    """The word that ends the here-document of a line that runs `apply_patch` alone; empty where it is another line."""
    words = line.strip(_BLANKS)
    name = next((one for one in _NAMES if words.startswith(one)), "")
    rest = words[len(name) :].lstrip(_BLANKS)
    return _word(rest[2:].removeprefix("-").strip(_BLANKS)) if name and rest.startswith("<<") else ""
