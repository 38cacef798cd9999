"""Written: the words of a command line as a shell leaves them, the options among them, and what a command writes; pure.

Protocol: protocol/editing.md, "Shell calls".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Word:
    """One word of a command line.

    Attributes:
        parts, text: What it says, quotes removed.
        is_known: No variable and no substitution is in it.
        is_one: It is one word, whatever a variable in it is.
        is_glob: An unquoted `*`, `?` or `[` is in it.
        has_quoted_glob: A quoted one is in it.
        is_quoted: Some of it was quoted.
        has_brace: An unquoted brace is in it.
        is_odd: A tilde or braces that a shell may expand.
    """

    # Of the class, so that a word of which nothing need be said is made quickly: a command line may have thousands.
    is_known = True
    is_one = True
    is_glob = False
    has_quoted_glob = False
    is_quoted = False
    has_brace = False
    is_odd = False

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.parts = [text] if text else []

    @property
    def is_plain(self) -> bool:
        """Whether it says what it says."""
        return self.is_known and not self.is_glob and not self.is_odd

    @property
    def is_bare(self) -> bool:
        """Whether it is plain and unquoted: only so is a word one of the grammar."""
        return self.is_known and not self.is_quoted

    def without(self, count: int) -> Word:
        """The word without its first characters, as what stands behind `of=`."""
        word = Word(self.text[count:])
        for field in ("is_known", "is_one", "is_glob", "has_quoted_glob", "is_quoted", "is_odd"):
            setattr(word, field, getattr(self, field))
        return word


class Write:
    """One thing that a command writes.

    Attributes:
        kind: `path`: this file. `tree`: this file, or this folder with everything in it. `glob`: every file that the
            pattern finds. `dest`: this file, or the file `leaf` in it where it is a folder. `git-...`: what git says
            (rules/git_command.py).
        path: Where; for git the folder that it is called in, empty for that of the call.
        leaf: Of `dest`.
        words: Of git: what it is asked about.
    """

    __slots__ = ("kind", "leaf", "path", "words")

    def __init__(self, kind: str, path: str, *, leaf: str = "", words: Iterable[str] = ()) -> None:
        self.kind = kind
        self.path = path
        self.leaf = leaf
        self.words = tuple(words)

    @classmethod
    def of(cls, word: Word, cwd: str | None, kind: str = "path") -> list[Write]:
        """A write of the file that a word names; none if it names none plainly."""
        if not word.is_known or word.is_odd or not word.text or word.text.startswith(("/dev/", "/proc/")):
            return []
        path = joined(cwd, word.text)
        if path is None:
            return []
        if word.is_glob:
            is_plain = not word.has_quoted_glob and "**" not in word.text
            return [cls("glob", path)] if is_plain else []
        return [cls(kind, path)]

    def _fields(self) -> tuple[object, ...]:
        return self.kind, self.path, self.leaf, self.words

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Write) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        more = [self.leaf] if self.leaf else list(self.words)
        return " ".join([self.kind, self.path or ".", *more])


def joined(cwd: str | None, path: str) -> str | None:
    """A path seen from `cwd`; None where that cannot be known."""
    if path.startswith("/"):
        return path
    if cwd is None:
        return None
    return f"{cwd.rstrip('/') or '/'}/{path}".replace("//", "/", 1) if cwd else path


class UnknownOptionError(Exception):
    """A command has an option that is not known: what else it says may mean anything."""


class Options:
    """The words behind a command, told apart: options, and operands."""

    __slots__ = ("given", "is_sure", "operands")

    def __init__(self, words: list[Word], short: str = "", long: str = "", *, stops: bool = False) -> None:
        """Tell them apart.

        Args:
            words: What stands behind the command.
            short: The letters that are known, as of getopt: `:` behind one that takes a word, `?` behind one to which
                the rest of its word belongs, and only that.
            long: The long ones, with blanks between: `=` behind one that takes a word, `?` behind one that may have a
                value behind an equals sign.
            stops: The first operand ends the options, as of a command that runs another.

        Raises:
            UnknownOptionError: One is none of these.
        """
        self.given: dict[str, Word] = {}
        self.operands: list[Word] = []
        self.is_sure = True  # the place of every operand is known
        known: frozenset[str] = frozenset()
        at = 0
        while at < len(words):
            word = words[at]
            if word.text == "--" and word.is_plain:
                at += 1
                break
            if not word.text.startswith("-") or word.text == "-":
                if stops:
                    break
                self.operands.append(word)
                took = 0
            elif word.text.startswith("--"):
                known = known or frozenset(long.split())  # few commands have a long one
                took = self._long(word, words[at + 1 : at + 2], known)
            else:
                took = self._cluster(word, words[at + 1 : at + 2], short)
            if not word.is_one or (took and not words[at + 1].is_one):
                self.is_sure = False
            at += 1 + took
        for word in words[at:]:
            self.operands.append(word)
            self.is_sure = self.is_sure and word.is_one

    def _long(self, word: Word, follows: list[Word], known: frozenset[str]) -> int:
        """A long option; 1 if the word behind it belongs to it."""
        name, equals, _ = word.text.partition("=")
        bare = name[2:]
        if not known & {f"{bare}=", f"{bare}?", "" if equals else bare}:
            raise UnknownOptionError
        is_taking = not equals and f"{bare}=" in known and bool(follows)
        self.given[name] = follows[0] if is_taking else word.without(len(name) + 1)
        return int(is_taking)

    def _cluster(self, word: Word, follows: list[Word], short: str) -> int:
        """Short options in one word; 1 if the word behind it belongs to the last of them."""
        for at, letter in enumerate(word.text[1:], 1):
            _, is_known, behind = short.partition(letter)
            if not is_known or letter in ":?":
                raise UnknownOptionError
            self.given[f"-{letter}"] = Word()
            if behind[:1] not in (":", "?"):
                continue
            rest = word.without(at + 1)
            is_taking = behind[0] == ":" and not rest.text and rest.is_known and bool(follows)
            self.given[f"-{letter}"] = follows[0] if is_taking else rest
            return int(is_taking)
        return 0

    def has(self, *names: str) -> bool:
        """Whether one of these options was given."""
        return not self.given.keys().isdisjoint(names)
