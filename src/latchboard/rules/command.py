"""Command: what one simple command of a shell plainly writes, told by its words; pure.

A command that is not in the table, an option that is not known, `--help`: nothing. `touch` and `chmod` change no
content, so that nobody loses anything by them: nothing, too.

Protocol: protocol/editing.md, "Shell calls".
"""

from __future__ import annotations

from latchboard.rules.written import Options, UnknownOptionError, Word, Write, joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Found:
    """What a simple command does: writes, texts that it has a shell run, and where it goes (`cd`)."""

    __slots__ = ("is_here", "moves", "texts", "to", "writes")

    def __init__(self, writes: list[Write] | None = None) -> None:
        self.writes = writes or []
        self.texts: list[str] = []
        self.is_here = False  # the shell that runs the texts is the same one: its `cd` lasts
        self.moves = False
        self.to: str | None = None


def evaluate(words: list[Word], cwd: str | None) -> Found:
    """What a simple command does, run in `cwd` (None: nobody knows where)."""
    try:
        rest, is_here = _unwrapped(words)
        if not rest or not rest[0].is_plain:
            return Found()
        name = rest[0].text.rpartition("/")[2]
        operands = rest[1:]
        if name == "git":
            from latchboard.rules.git_command import git

            return Found(git(operands, cwd))
        known = _COMMANDS.get(name)
        if known is not None:
            return Found(known(operands, cwd))
    except UnknownOptionError:
        return Found()
    if name in _SHELLS:
        return _shell(operands)
    if not is_here:
        return Found()  # these are of the shell itself
    return _went(name, operands) if name in ("cd", "pushd", "popd") else _eval(name, operands)


# -- what stands in front of a command --------------------------------------------------------------------------------

_WRAPPERS: dict[str, tuple[str, str]] = {  # name -> its options with which a command is still run, where it stands
    "sudo": (
        "AbBEHnPSksu:g:p:C:r:t:T:",
        "background non-interactive preserve-env? set-home stdin prompt= user= group=",
    ),
    "doas": ("nu:C:", ""),
    "env": ("ivu:", "ignore-environment debug unset="),
    "command": ("p", ""),
    "builtin": ("", ""),
    "exec": ("cla:", ""),
    "nohup": ("", ""),
    "setsid": ("cfw", "ctty fork wait"),
    "nice": ("n:0123456789", "adjustment="),
    "ionice": ("c:n:t", "class= classdata= ignore"),
    "stdbuf": ("i:o:e:", "input= output= error="),
    "time": ("f:pv", "format= portability verbose"),
    "timeout": ("fpvk:s:", "foreground preserve-status verbose kill-after= signal="),
}


def _unwrapped(words: list[Word]) -> tuple[list[Word], bool]:
    """The words from the command on that is run in the end, and whether the shell itself runs it.

    There are no words where that cannot be told.
    """
    is_here = assigns = True
    splits = False
    while words:
        word = words[0]
        if assigns and _is_assignment(word) and (word.is_one or not splits):
            words = words[1:]
            continue
        name = word.text.rpartition("/")[2]
        if not word.is_plain or name not in _WRAPPERS:
            return words, is_here
        rest = Options(words[1:], *_WRAPPERS[name], stops=True).operands
        if name == "timeout" or (name == "env" and rest and rest[0].text == "-"):
            rest = rest[1:]
        if not all(one.is_one for one in words[: len(words) - len(rest)]):
            break
        words = rest
        is_here = is_here and name in ("command", "builtin")
        assigns = name in ("env", "sudo")
        splits = True  # only in front of a command is the value of a variable one word
    return [], is_here


def _is_assignment(word: Word) -> bool:
    name, equals, _ = word.text.partition("=")
    return bool(equals) and name.rstrip("+").replace("_", "a").isalnum() and not name[:1].isdigit()


# -- what runs something else -----------------------------------------------------------------------------------------

_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "ash"))
_SHELL_OPTIONS = frozenset("abcefhiklmprstuvxBCEHPT")
_SHELL_LONG = ("--login", "--noprofile", "--norc", "--posix")


def _went(name: str, operands: list[Word]) -> Found:
    found = Found()
    found.moves = True
    plain = [word for word in operands if word.text not in ("--", "-L", "-P")]
    if name != "popd" and len(plain) == 1 and plain[0].is_plain and plain[0].text and plain[0].text[0] not in "-+":
        found.to = plain[0].text
    return found


def _eval(name: str, operands: list[Word]) -> Found:
    """`eval`; what any other command does (`source`, `trap`) stands elsewhere, or is done later."""
    found = Found()
    if name == "eval" and all(word.is_plain for word in operands):
        found.is_here = True
        found.texts.append(" ".join(word.text for word in operands))
    return found


def _shell(operands: list[Word]) -> Found:
    """A shell that is given a text with `-c`."""
    found = Found()
    at = 0
    while at < len(operands) and operands[at].is_plain and operands[at].text[:1] in ("-", "+"):
        word = operands[at].text
        at += 1
        if word in _SHELL_LONG:
            continue
        letters = word[1:]
        if letters[-1:] in ("o", "O"):  # `-euo pipefail`
            letters = letters[:-1]
            at += 1
        if not _SHELL_OPTIONS.issuperset(letters):
            break
        if word[0] == "-" and "c" in letters:
            found.texts += [text.text for text in operands[at : at + 1] if text.is_plain]
            break
    return found


# -- commands ---------------------------------------------------------------------------------------------------------


def _each(words: Iterable[Word], cwd: str | None, kind: str = "path") -> list[Write]:
    return [write for word in words for write in Write.of(word, cwd, kind)]


_ASKING = "interactive? no-clobber update?"
_RM = f"{_ASKING} dir force one-file-system preserve-root? recursive verbose"


def _rm(words: list[Word], cwd: str | None) -> list[Write]:
    options = Options(words, "dfiIrRvPWx", _RM)
    return [] if _asks(options) else _each(options.operands, cwd, "tree")


def _tee(words: list[Word], cwd: str | None) -> list[Write]:
    options = Options(words, "aip", "append ignore-interrupts output-error?")
    return _each((word for word in options.operands if word.text != "-"), cwd)


def _shred(words: list[Word], cwd: str | None) -> list[Write]:
    long = "exact force iterations= random-source= remove? size= verbose zero"
    return _each(Options(words, "fn:s:uvxz", long).operands, cwd)


def _truncate(words: list[Word], cwd: str | None) -> list[Write]:
    return _each(Options(words, "cor:s:", "no-create io-blocks reference= size=").operands, cwd)


_SED = """debug expression= file= follow-symlinks in-place? line-length= null-data posix quiet regexp-extended sandbox
separate silent unbuffered zero-terminated"""


def _sed(words: list[Word], cwd: str | None) -> list[Write]:
    suffix = {at for at, w in enumerate(words) if w.text == "-i" and at + 1 < len(words) and _is_suffix(words[at + 1])}
    words = [word for at, word in enumerate(words) if at - 1 not in suffix]  # as BSD has it: -i ''
    options = Options(words, "nErsuzbe:f:i?", _SED)
    if not options.has("-i", "--in-place") or not options.is_sure:
        return []
    has_script = options.has("-e", "-f", "--expression", "--file")
    return _each(options.operands if has_script else options.operands[1:], cwd)


def _is_suffix(word: Word) -> bool:
    """Whether a word is what BSD's `-i` has behind it: nothing, or what no script begins with."""
    return word.is_known and (word.text[:1] in ("", "."))


def _perl(words: list[Word], cwd: str | None) -> list[Write]:
    options = Options(words, "nplasStTuUwWX01234567e:E:I:i?M?m?F?C?D?x?d?", stops=True)
    if not options.has("-i") or not options.has("-n", "-p") or not options.is_sure:
        return []  # without a loop around it the program itself says what is read, and written
    return _each(options.operands if options.has("-e", "-E") else options.operands[1:], cwd)


_PUT = f"{_ASKING} backup? context? debug force no-target-directory suffix= target-directory= verbose"


def _asks(options: Options) -> bool:
    """Whether it depends on the files, or on an answer, what is done: then the text does not say."""
    return options.has("-n", "-i", "-I", "-u", "--no-clobber", "--interactive", "--update")


def moved(words: list[Word], cwd: str | None) -> list[Write]:
    """What `mv` writes with these arguments; `git mv`, too."""
    options = Options(words, "bfinuvTZt:S:", f"{_PUT} no-copy strip-trailing-slashes")
    if _asks(options):
        return []
    sources = options.operands if options.has("-t", "--target-directory") else options.operands[:-1]
    return _each(sources, cwd, "tree") + _put(options, cwd)


_CP = """archive copy-contents dereference link no-dereference no-preserve= one-file-system preserve? recursive reflink?
remove-destination sparse= strip-trailing-slashes symbolic-link"""


def _cp(words: list[Word], cwd: str | None) -> list[Write]:
    options = Options(words, "abdfHiLlnPpRrsuvxTZt:S:", f"{_PUT} {_CP}")
    links = options.has("-l", "-s", "--link", "--symbolic-link")
    if _asks(options) or (links and not options.has("-f", "--force", "--remove-destination")):
        return []
    return _put(options, cwd)


_INSTALL = "compare directory group= mode= owner= preserve-context preserve-timestamps strip strip-program="


def _install(words: list[Word], cwd: str | None) -> list[Write]:
    options = Options(words, "bcCdDpsTvZt:S:m:o:g:", f"{_PUT} {_INSTALL}")
    return [] if options.has("-d", "--directory") else _put(options, cwd)


_LN = "directory logical no-dereference physical relative symbolic"


def _ln(words: list[Word], cwd: str | None) -> list[Write]:
    options = Options(words, "bdFfiLnPrsvTt:S:", f"{_PUT} {_LN}")
    if not options.has("-f", "--force") or options.has("-i", "--interactive"):
        return []  # it makes a new name, or nothing
    if len(options.operands) == 1 and not options.has("-t", "--target-directory"):
        return _into(".", options.operands, cwd)
    return _put(options, cwd)


def _put(options: Options, cwd: str | None) -> list[Write]:
    """Where several files go, or one: into a folder, or in the place of a file."""
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
    if path is None or last.text.startswith(("/dev/", "/proc/")):
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
    if any(word.text.startswith("-") for word in words):
        return []  # `--help`: it has no other options
    return _each([word.without(3) for word in words if word.text.startswith("of=")][-1:], cwd)


_PATCH = """backup basename-prefix= batch binary context ed force forward fuzz= get= ifdef= ignore-whitespace input=
merge? normal output= posix prefix= quiet reject-file= remove-empty-files reverse silent strip= suffix= unified verbose
version-control="""


def _patch(words: list[Word], cwd: str | None) -> list[Write]:
    options = Options(words, "bceEflnNRstTuZp:i:o:r:B:D:F:g:V:Y:z:", _PATCH)
    if not options.is_sure:
        return []
    output = options.given.get("-o") or options.given.get("--output")
    found = [output] if output is not None else options.operands[:1]
    return _each((word for word in found if word.text != "-"), cwd)


_COMMANDS: dict[str, Callable[[list[Word], str | None], list[Write]]] = {
    "rm": _rm,
    "unlink": _rm,
    "shred": _shred,
    "tee": _tee,
    "truncate": _truncate,
    "sed": _sed,
    "gsed": _sed,
    "perl": _perl,
    "mv": moved,
    "cp": _cp,
    "install": _install,
    "ln": _ln,
    "dd": _dd,
    "patch": _patch,
}
