"""Command: what one simple command of a shell plainly writes, told by its words; pure.

A command that is not in the table, an option that is not known, `--help`: nothing. `touch` and `chmod` change no
content, so that nobody loses anything by them: nothing, too.

Protocol: protocol/editing.md, "Shell calls".
"""

from __future__ import annotations

from latchboard.rules.written import Options, Word, Write, joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Found:
    """What a simple command does: writes, texts that it has a shell run, and where it goes (`cd`)."""

    __slots__ = ("moves", "texts", "to", "writes")

    def __init__(self, writes: list[Write] | None = None) -> None:
        self.writes = writes or []
        self.texts: list[str] = []
        self.moves = False
        self.to: str | None = None


def evaluate(words: list[Word], cwd: str | None) -> Found:
    """What a simple command does, run in `cwd` (None: nobody knows where)."""
    rest = _unwrapped(words)
    if not rest or not rest[0].is_plain:
        return Found()
    name = rest[0].text.rpartition("/")[2]
    operands = rest[1:]
    if name == "git":
        from latchboard.rules.git_command import git

        return Found(git(operands, cwd))
    known = _COMMANDS.get(name)
    if known is not None:
        return Found() if _asks_only(operands) else Found(known(operands, cwd))
    if name in ("cd", "pushd", "popd"):
        return _went(name, operands)
    return _ran(name, operands)


def _asks_only(operands: list[Word]) -> bool:
    for word in operands:
        if word.text == "--":
            return False
        if word.text in ("--help", "--version"):
            return True
    return False


# -- what stands in front of a command --------------------------------------------------------------------------------

_WRAPPERS: dict[str, str] = {  # name -> its options that take a word of their own
    "sudo": "ugpCrtThRU",
    "doas": "uC",
    "env": "u",
    "command": "",
    "builtin": "",
    "exec": "a",
    "nohup": "",
    "setsid": "",
    "nice": "n",
    "ionice": "cnp",
    "stdbuf": "ioe",
    "time": "fo",
    "timeout": "ks",
    "noglob": "",
}
_NEVER_RUN = ("--chdir", "--split-string", "--list")
_NOT_RUN = {"command": ("-v", "-V"), "sudo": ("-e", "-l", "-D"), "env": ("-S", "-C"), "doas": ("-L",)}


def _unwrapped(words: list[Word]) -> list[Word]:
    """The words from the command on that is run in the end; none where that cannot be told."""
    at = 0
    while at < len(words):
        word = words[at]
        if _is_assignment(word):
            at += 1
            continue
        name = word.text.rpartition("/")[2]
        if not word.is_plain or name not in _WRAPPERS:
            return words[at:]
        at += 1
        while at < len(words) and words[at].is_one and words[at].text.startswith("-") and words[at].text != "-":
            option = words[at].text
            if option.startswith((*_NOT_RUN.get(name, ()), *_NEVER_RUN)):
                return []
            at += 1
            if option == "--":
                break
            at += not option.startswith("--") and option[-1] in _WRAPPERS[name] and len(option) == 2
        at += name == "timeout" or (name == "env" and at < len(words) and words[at].text == "-")
    return []


def _is_assignment(word: Word) -> bool:
    name, equals, _ = word.text.partition("=")
    return bool(equals) and name.rstrip("+").replace("_", "a").isalnum() and not name[:1].isdigit()


# -- what runs something else -----------------------------------------------------------------------------------------

_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "ash"))


def _went(name: str, operands: list[Word]) -> Found:
    found = Found()
    found.moves = True
    plain = [word for word in operands if word.text not in ("--", "-L", "-P")]
    if name != "popd" and len(plain) == 1 and plain[0].is_plain and plain[0].text and plain[0].text[0] not in "-+":
        found.to = plain[0].text
    return found


def _ran(name: str, operands: list[Word]) -> Found:
    found = Found()
    if name == "eval":
        if operands and all(word.is_plain for word in operands):
            found.texts.append(" ".join(word.text for word in operands))
    elif name in _SHELLS:
        for at, word in enumerate(operands):
            if not word.is_plain or not word.text.startswith(("-", "+")):
                break
            if word.text[0] == "-" and not word.text.startswith("--") and "c" in word.text:
                text = operands[at + 1] if at + 1 < len(operands) else None
                if text is not None and text.is_known:
                    found.texts.append(text.text)
                break
    elif name in ("source", ".", "trap"):
        pass  # what it runs stands elsewhere, or runs later
    return found


# -- commands ---------------------------------------------------------------------------------------------------------


def _each(words: Iterable[Word], cwd: str | None, kind: str = "path") -> list[Write]:
    return [write for word in words for write in Write.of(word, cwd, kind)]


def _rm(words: list[Word], cwd: str | None) -> list[Write]:
    return _each(Options(words, "").operands, cwd, "tree")


def _tee(words: list[Word], cwd: str | None) -> list[Write]:
    return _each((word for word in Options(words, "").operands if word.text != "-"), cwd)


def _shred(words: list[Word], cwd: str | None) -> list[Write]:
    return _each(Options(words, "ns", ("--iterations", "--size", "--random-source")).operands, cwd)


def _truncate(words: list[Word], cwd: str | None) -> list[Write]:
    return _each(Options(words, "sr", ("--size", "--reference")).operands, cwd)


def _sed(words: list[Word], cwd: str | None) -> list[Write]:
    suffix = {at for at, w in enumerate(words) if w.text == "-i" and at + 1 < len(words) and _is_empty(words[at + 1])}
    words = [word for at, word in enumerate(words) if at - 1 not in suffix]  # as BSD has it: -i ''
    options = Options(words, "efl", ("--expression", "--file", "--line-length"), "i")
    if not options.has("-i", "--in-place") or not options.is_sure:
        return []
    has_script = options.has("-e", "-f", "--expression", "--file")
    return _each(options.operands if has_script else options.operands[1:], cwd)


def _is_empty(word: Word) -> bool:
    return word.is_known and word.is_quoted and not word.text


def _perl(words: list[Word], cwd: str | None) -> list[Write]:
    options = Options(words, "eE", (), "iIMmFDCx0l")
    if not options.has("-i") or options.has("-c", "-v", "-h") or not options.is_sure:
        return []
    return _each(options.operands if options.has("-e", "-E") else options.operands[1:], cwd)


_COPY_TAKING = ("--target-directory", "--suffix", "--mode", "--owner", "--group")


def _mv(words: list[Word], cwd: str | None) -> list[Write]:
    options = Options(words, "tS", _COPY_TAKING)
    if options.has("-n", "--no-clobber"):
        return []  # whether anything is moved, the text does not say
    if options.has("-t", "--target-directory"):
        sources = options.operands
    elif len(options.operands) < 2:
        return []
    else:
        sources = options.operands[:-1]
    return _each(sources, cwd, "tree") + _put(options, cwd)


def _cp(words: list[Word], cwd: str | None) -> list[Write]:
    return _put(Options(words, "tS", _COPY_TAKING), cwd)


def _install(words: list[Word], cwd: str | None) -> list[Write]:
    options = Options(words, "tSmog", _COPY_TAKING)
    return [] if options.has("-d", "--directory") else _put(options, cwd)


def _ln(words: list[Word], cwd: str | None) -> list[Write]:
    options = Options(words, "tS", _COPY_TAKING)
    if not options.has("-f", "--force"):
        return []  # it makes a new name, or nothing
    if len(options.operands) == 1 and not options.has("-t", "--target-directory"):
        return _into(".", options.operands, cwd)
    options.given.pop("-n", None)  # of ln it says that a link to a folder is replaced, too
    return _put(options, cwd)


def _put(options: Options, cwd: str | None) -> list[Write]:
    """Where several files go, or one: into a folder, or in the place of a file."""
    if options.has("-n", "--no-clobber"):
        return []  # what is there stays
    into = options.given.get("-t") or options.given.get("--target-directory")
    if into is not None:
        return _into(into.text, options.operands, cwd) if into.is_plain and into.text else []
    if len(options.operands) < 2:
        return []
    *sources, last = options.operands
    if not last.is_plain or not last.text:
        return []
    if len(sources) > 1 or last.text.endswith("/"):
        return _into(last.text, sources, cwd)
    path = joined(cwd, last.text)
    if path is None or path.startswith(("/dev/", "/proc/")):
        return []
    if options.has("-T", "--no-target-directory"):
        return [Write("path", path)]
    leaf = _leaf(sources[0]) if sources[0].is_plain else ""
    is_one_file = sources[0].is_one and not sources[0].is_glob
    return [Write("dest", path, leaf=leaf)] if is_one_file else []


def _into(folder: str, sources: list[Word], cwd: str | None) -> list[Write]:
    path = joined(cwd, folder)
    leaves = [_leaf(word) for word in sources if word.is_plain]
    where = "" if path in (None, ".") else f"{path}".rstrip("/") + "/"
    return [Write("path", where + leaf) for leaf in leaves if leaf] if path is not None else []


def _leaf(word: Word) -> str:
    """The last part of a path; empty where it has no name of its own."""
    leaf = word.text.rstrip("/").rpartition("/")[2]
    return "" if leaf in (".", "..") else leaf


def _dd(words: list[Word], cwd: str | None) -> list[Write]:
    return _each((word.without(3) for word in words if word.text.startswith("of=")), cwd)


_PATCH_TAKING = "pidorBDFgVYz"


def _patch(words: list[Word], cwd: str | None) -> list[Write]:
    options = Options(words, _PATCH_TAKING, ("--input", "--output", "--strip", "--directory", "--reject-file"))
    if options.has("--dry-run", "-C", "--check", "-d", "--directory") or not options.is_sure:
        return []
    output = options.given.get("-o") or options.given.get("--output")
    return _each([output] if output is not None else options.operands[:1], cwd)


_COMMANDS: dict[str, Callable[[list[Word], str | None], list[Write]]] = {
    "rm": _rm,
    "unlink": _rm,
    "shred": _shred,
    "tee": _tee,
    "truncate": _truncate,
    "sed": _sed,
    "gsed": _sed,
    "perl": _perl,
    "mv": _mv,
    "cp": _cp,
    "install": _install,
    "ln": _ln,
    "dd": _dd,
    "patch": _patch,
}
