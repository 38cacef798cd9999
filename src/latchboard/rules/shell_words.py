"""Shell words: a command line read word by word: quotes, expansions, comments, arithmetic; pure.

Reads a text once, from its beginning to its end; what is run inside of a word is left to the reader of commands.

Protocol: protocol/editing.md, "Shell calls".
"""

from __future__ import annotations

from latchboard.rules.written import Word

TYPE_CHECKING = False

CHARS_MAX = 128 * 1024
STEPS_MAX = 16_000
"""A command line with more characters, or more words and operators outside of here-documents, is a file in disguise:
it is not read."""

DEPTH_MAX = 40
ENDS = frozenset(" \t\n;&|<>()")
_SPECIAL = ENDS | frozenset("'\"\\$`#*?[~{}")
_GLOB = frozenset("*?[")
_BLANKS = frozenset(" \t\n;&|")


class NotPlainError(Exception):
    """The text is not one that this grammar knows."""


class Words:
    """A text, and how far it has been read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.size = len(text)
        self.at = 0
        self._depth = 0
        self._steps = 0

    # -- what the reader of commands does -----------------------------------------------------------------------------

    if TYPE_CHECKING:

        def _subshell(self) -> None:
            """Read commands up to `)`, whose `cd` is theirs alone."""

        def _run_text(self, text: str) -> str | None:
            """Read a text that is run where the reading has come to; where it ends up."""

    # -- between words ------------------------------------------------------------------------------------------------

    def _blank(self) -> bool:
        """Pass over blanks, continued lines and comments; whether there is more. Comes before every step."""
        self._step(1)
        text, size = self.text, self.size
        while self.at < size:
            char = text[self.at]
            if char in " \t":
                self.at += 1
            elif char == "\\" and text.startswith("\\\n", self.at):
                self.at += 2
            elif char == "#":
                end = text.find("\n", self.at)
                self.at = size if end < 0 else end
            else:
                return True
        return False

    def _step(self, count: int) -> None:
        self._steps += count
        if self._steps > STEPS_MAX:
            raise NotPlainError

    def _arithmetic(self, depth: int) -> None:
        """Pass over `((...))`, whose `(` have been read."""
        while depth:
            if self.at >= self.size:
                raise NotPlainError
            char = self.text[self.at]
            depth += (char == "(") - (char == ")")
            self.at += 1

    # -- words --------------------------------------------------------------------------------------------------------

    def _word(self) -> Word:
        """The word that begins here; what stands in it is told by `Word`."""
        text, size = self.text, self.size
        at = start = self.at
        while at < size and text[at] not in _SPECIAL:
            at += 1
        word = Word(text[start:at])
        self.at = at
        if at == size or text[at] in _BLANKS:
            return word  # as nearly all are
        parts = word.parts
        while self.at < size:
            char = text[self.at]
            if char not in _SPECIAL:
                start = self.at
                at = start + 1
                while at < size and text[at] not in _SPECIAL:
                    at += 1
                self.at = at
                parts.append(text[start:at])
            elif char in ENDS:
                break
            else:
                self._special(char, word)
        word.text = "".join(parts)
        if word.has_brace and ("," in word.text or ".." in word.text):
            word.is_odd = True
        return word

    def _special(self, char: str, word: Word) -> None:
        if char == "'":
            self._single(word)
        elif char == '"':
            self._double(word)
        elif char == "\\":
            self._escaped(word)
        elif char == "$":
            self._dollar(word, is_quoted=False)
        elif char == "`":
            self._backquoted(word)
            word.is_one = False
        else:
            if char in _GLOB:
                word.is_glob = True
            elif char == "{":
                word.has_brace = True
            elif char == "~" and (not word.parts or word.parts[-1][-1:] in ("=", ":")):
                word.is_odd = True
            word.parts.append(char)
            self.at += 1

    def _single(self, word: Word) -> None:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise NotPlainError
        self._quoted(word, self.text[self.at + 1 : end])
        self.at = end + 1

    def _quoted(self, word: Word, text: str) -> None:
        word.is_quoted = True
        if not _GLOB.isdisjoint(text):
            word.has_quoted_glob = True
        word.parts.append(text)

    def _double(self, word: Word) -> None:
        text, size = self.text, self.size
        self.at += 1
        start = self.at
        word.is_quoted = True
        while self.at < size:
            char = text[self.at]
            if char not in '"\\$`':
                self.at += 1
                continue
            if self.at > start:
                self._quoted(word, text[start : self.at])
            if char == '"':
                self.at += 1
                return
            if char == "$":
                self._dollar(word, is_quoted=True)
            elif char == "`":
                self._backquoted(word)
            else:
                follows = text[self.at + 1 : self.at + 2]
                if follows != "\n":
                    self._quoted(word, follows if follows in ("$", "`", '"', "\\") else f"\\{follows}")
                self.at += 2
            start = self.at
        raise NotPlainError

    def _escaped(self, word: Word) -> None:
        follows = self.text[self.at + 1 : self.at + 2]
        if follows != "\n":
            self._quoted(word, follows)
        self.at += 2

    def _dollar(self, word: Word, *, is_quoted: bool) -> None:
        """An expansion; what it gives cannot be known, but what is run inside can."""
        text = self.text
        follows = text[self.at + 1 : self.at + 2]
        if follows == "(":
            if text.startswith("((", self.at + 1):
                self.at += 3
                self._arithmetic(2)
            else:
                self.at += 2
                self._subshell()
        elif follows == "{":
            self.at += 2
            self._braces(is_quoted=is_quoted)
        elif follows in ("'", '"') and not is_quoted:
            self.at += 1
            if follows == '"':
                return  # a quotation like any other
            self._ansi()
        elif follows == "[":
            raise NotPlainError  # what bash of old takes for arithmetic
        elif follows and (follows.isalnum() or follows in "_@*#?$!-"):
            self.at += 2
            if follows.isalpha() or follows == "_":
                while self.at < self.size and (text[self.at].isalnum() or text[self.at] == "_"):
                    self.at += 1
        else:  # a dollar sign and nothing more
            word.parts.append("$")
            self.at += 1
            return
        word.is_known = False
        word.is_one = word.is_one and is_quoted

    def _braces(self, *, is_quoted: bool) -> None:
        """Pass over `${...}`, whose `${` has been read."""
        word = Word()
        while self.at < self.size:
            char = self.text[self.at]
            if char == "}":
                self.at += 1
                return
            if char == "'" and is_quoted:
                raise NotPlainError  # a quotation or none: it depends on what stands in front of it
            if char in "'\"\\$`":
                self._nested(char, word)
            else:
                self.at += 1
        raise NotPlainError

    def _nested(self, char: str, word: Word) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise NotPlainError
        if char == "$":
            self._dollar(word, is_quoted=True)
        else:
            self._special(char, word)
        self._depth -= 1

    def _ansi(self) -> None:
        """Pass over `$'...'`, whose `$` has been read."""
        self.at += 1
        while self.at < self.size:
            char = self.text[self.at]
            self.at += 2 if char == "\\" else 1
            if char == "'":
                return
        raise NotPlainError

    def _backquoted(self, word: Word) -> None:
        self._step(50)  # a text of its own
        end = self.at + 1
        while end < self.size and self.text[end] != "`":
            end += 2 if self.text[end] == "\\" else 1
        if end >= self.size:
            raise NotPlainError
        inside = self.text[self.at + 1 : end]
        if "\\" not in inside:
            self._run_text(inside)
        self.at = end + 1
        word.is_known = False

    def _array(self) -> None:
        """Pass over the values of `NAME=(...)`."""
        while self._blank():
            char = self.text[self.at]
            if char == ")":
                self.at += 1
                return
            if char == "\n":
                self.at += 1
            elif char in ENDS:
                raise NotPlainError
            else:
                self._word()
        raise NotPlainError

    def _test(self) -> None:
        """Pass over `[[ ... ]]`, in which `<`, `>`, `(` and `&&` are no operators of the shell."""
        while self._blank():
            char = self.text[self.at]
            if char in ENDS:
                self.at += 1
                continue
            word = self._word()
            if word.is_bare and word.text == "]]":
                return
        raise NotPlainError
