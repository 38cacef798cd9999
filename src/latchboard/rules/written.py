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


class Options:
    """The words behind a command, told apart: options, and operands."""

    __slots__ = ("given", "is_sure", "operands")

    def __init__(self, words: list[Word], taking: str, long_taking: Iterable[str] = (), joining: str = "") -> None:
        """Tell them apart.

        Args:
            words: What stands behind the command.
            taking: Short options that take a word.
            long_taking: Long ones.
            joining: Short options behind which the rest of the word is theirs, and only that.
        """
        self.given: dict[str, Word] = {}
        self.operands: list[Word] = []
        self.is_sure = True  # the place of every operand is known
        at = 0
        while at < len(words):
            word = words[at]
            at += 1
            if not word.is_one:
                self.is_sure = False
            if word.text == "--" and word.is_plain:
                self.operands += words[at:]
                self.is_sure = self.is_sure and all(w.is_one for w in words[at:])
                break
            if not word.text.startswith("-") or word.text == "-":
                self.operands.append(word)
            elif word.text.startswith("--"):
                name, equals, _ = word.text.partition("=")
                self.given[name] = word.without(len(name) + 1) if equals else Word()
                if not equals and name in long_taking and at < len(words):
                    self.given[name] = words[at]
                    at += 1
            else:
                at += self._cluster(word, words[at] if at < len(words) else None, taking, joining)

    def _cluster(self, word: Word, follows: Word | None, taking: str, joining: str) -> int:
        """Short options in one word; 1 if the word behind it belongs to the last of them."""
        for at, letter in enumerate(word.text[1:], 1):
            self.given.setdefault(f"-{letter}", Word())
            if letter in joining:
                self.given[f"-{letter}"] = word.without(at + 1)
                return 0
            if letter in taking:
                if at + 1 < len(word.text):
                    self.given[f"-{letter}"] = word.without(at + 1)
                    return 0
                if follows is not None:
                    self.given[f"-{letter}"] = follows
                    return 1
        return 0

    def has(self, *names: str) -> bool:
        """Whether one of these options was given."""
        return any(name in self.given for name in names)
