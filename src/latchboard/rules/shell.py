"""Shell: which files a command line plainly writes; pure, and of the text alone.

Law 1. What is not plain is nothing: a variable, a substitution, a word that this grammar does not know says of no file
that it is written. A command that cannot be read as a whole says it of none.
Law 2. Any text has an answer, in time that grows with its length.
Law 3. What may be run is taken as run: behind `&&` and `||`, in `if` and in loops.

Knows the grammar of POSIX shells and of bash where agents use it: quotes, here-documents, subshells, substitutions,
redirections, `cd`. What a command writes is in rules/command.py and rules/git_command.py.

Protocol: protocol/editing.md, "Shell calls".
"""

from __future__ import annotations

from latchboard.rules.command import Word, Write, evaluate, joined

__all__ = ["CHARS_MAX", "Write", "writes"]

CHARS_MAX = 128 * 1024
STEPS_MAX = 16_000
"""A command line with more characters, or more words and operators outside of here-documents, is a file in disguise:
it is not read."""

_DEPTH_MAX = 40
_TEXTS_DEPTH_MAX = 4
_ENDS = frozenset(" \t\n;&|<>()")
_SPECIAL = _ENDS | frozenset("'\"\\$`#*?[~{}")
_WRITING = ("&>>", "&>", ">>", ">|", ">")
_GLOB = frozenset("*?[")
_BLANKS = frozenset(" \t\n;&|")
_OPENING = frozenset(("if", "while", "until", "for", "select", "case"))
_CLOSING = frozenset(("fi", "done", "esac"))
_PASSED = frozenset(("if", "while", "until", "then", "else", "elif", "do", "fi", "done", "esac", "{", "}", "!", "time"))


class _NotPlainError(Exception):
    """The text is not one that this grammar knows."""


def writes(command: str, cwd: str = "") -> list[Write]:
    """What a command line plainly writes, in the order of the text, each once.

    Args:
        command: The text that a shell would be given.
        cwd: What stands in front of relative paths; empty: they stay relative.
    """
    return _of_text(command, cwd, 0)


def _of_text(text: str, cwd: str | None, depth: int) -> list[Write]:
    if len(text) > CHARS_MAX or depth > _TEXTS_DEPTH_MAX or "\0" in text:
        return []
    parser = _Parser(text, cwd, depth)
    try:
        parser.commands("")
    except _NotPlainError:
        return []
    return list(dict.fromkeys(parser.found))


class _Parser:
    """Reads one text once, from its beginning to its end."""

    def __init__(self, text: str, cwd: str | None, depth: int) -> None:
        self.text = text
        self.size = len(text)
        self.at = 0
        self.cwd = cwd  # None: somewhere that cannot be known
        self.found: list[Write] = []
        self._depth = 0
        self._steps = 0
        self._texts_depth = depth
        self._here: list[tuple[str, bool]] = []  # ends of here-documents whose text follows the line
        self._blocks: list[str | None] = []  # where each open `if`, loop or `case` began
        self._cases = 0

    # -- commands -----------------------------------------------------------------------------------------------------

    def commands(self, end: str) -> None:
        """Commands up to `end`, which is consumed: `)`, or nothing for the end of the text."""
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise _NotPlainError
        before = ""
        while self._blank():
            char = self.text[self.at]
            if char == ")":
                self.at += 1
                before = ";"
                if not self._cases:  # else it is the end of a pattern
                    if not end:
                        raise _NotPlainError
                    self._depth -= 1
                    return
            elif char == "(":
                self._parenthesis()
                before = ""
            elif char in ";&|\n":
                before = self._operator()
            else:
                before = self._simple(before)
        if end:
            raise _NotPlainError
        self._depth -= 1

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
            raise _NotPlainError

    def _operator(self) -> str:
        text = self.text
        if text[self.at] == "\n":
            self.at += 1
            self._skip_here()
            return ";"
        for operator in (";;&", "&&", "||", "|&", ";;", ";&"):
            if text.startswith(operator, self.at):
                self.at += len(operator)
                return "|" if operator == "|&" else operator
        self.at += 1
        return text[self.at - 1]

    def _skip_here(self) -> None:
        """Pass over the texts of the here-documents of the line that has just ended."""
        for word, is_indented in self._here:
            while self.at < self.size:
                end = self.text.find("\n", self.at)
                end = self.size if end < 0 else end
                line = self.text[self.at : end]
                self.at = min(end + 1, self.size)
                if (line.lstrip("\t") if is_indented else line) == word:
                    break
        self._here = []

    def _parenthesis(self) -> None:
        if self.text.startswith("((", self.at):
            self.at += 2
            self._arithmetic(2)
            return
        self.at += 1
        self._subshell()

    def _subshell(self) -> None:
        """Commands up to `)`, whose `cd` is theirs alone."""
        cwd, blocks, cases = self.cwd, self._blocks, self._cases
        self._blocks, self._cases = [], 0
        self.commands(")")
        self.cwd, self._blocks, self._cases = cwd, blocks, cases

    def _arithmetic(self, depth: int) -> None:
        """Pass over `((...))`, whose `(` have been read."""
        while depth:
            if self.at >= self.size:
                raise _NotPlainError
            char = self.text[self.at]
            depth += (char == "(") - (char == ")")
            self.at += 1

    def _simple(self, before: str) -> str:
        """One simple command, or a word of the grammar; the operator before the next one."""
        words: list[Word] = []
        targets: list[Word] = []
        while self._blank():
            char = self.text[self.at]
            if char in "<>" or self._is_redirection():
                self._redirection(targets)
            elif char == "(":
                self._after_a_word(words)
            elif char in _ENDS:
                break
            else:
                word = self._word()
                if not words and word.is_bare and self._is_grammar(word.text):
                    continue
                words.append(word)
                if word.is_bare and word.text == "[[" and len(words) == 1:
                    self._test()
        return self._end(words, targets, before)

    def _after_a_word(self, words: list[Word]) -> None:
        """A parenthesis inside a command: the values of an array, or `for ((...))`."""
        last = words[-1].text if words else ""
        if last == "for" and len(words) == 1 and self.text.startswith("((", self.at):
            self.at += 2
            self._arithmetic(2)
        elif last.endswith("="):
            self.at += 1
            self._array()
        elif words and words[0].text == "case" and last == "in":
            self.at += 1  # the first pattern has a parenthesis in front, too
        else:
            raise _NotPlainError  # a function, or nothing that this grammar knows

    def _end(self, words: list[Word], targets: list[Word], before: str) -> str:
        """A simple command has been read: what it writes."""
        operator = ""
        if self.at < self.size and self.text[self.at] in ";&|\n":
            operator = self._operator()
        self._evaluate(words, targets, before, operator)
        return operator

    def _evaluate(self, words: list[Word], targets: list[Word], before: str, after: str) -> None:
        for target in targets:
            self.found += Write.of(target, self.cwd)
        if words and words[0].is_bare and words[0].text in ("for", "select", "case", "function", "coproc", "[["):
            if words[0].text in ("function", "coproc"):
                raise _NotPlainError
            return
        found = evaluate(words, self.cwd)
        for text in found.texts:
            self.found += _of_text(text, self.cwd, self._texts_depth + 1)
        self.found += found.writes
        if found.moves and before != "|" and after not in ("|", "&"):
            self.cwd = None if before == "||" or found.to is None else joined(self.cwd, found.to)

    def _is_grammar(self, text: str) -> bool:
        """Whether the word where a command could stand belongs to the grammar; keeps account of blocks."""
        if text in _OPENING:
            self._blocks.append(self.cwd)
            self._cases += text == "case"
        elif text in _CLOSING and self._blocks:
            if self._blocks.pop() != self.cwd:
                self.cwd = None  # it went somewhere if it came there
            self._cases -= text == "esac" and self._cases > 0
        return text in _PASSED

    # -- redirections -------------------------------------------------------------------------------------------------

    def _is_redirection(self) -> bool:
        """Whether a redirection with a number, or `&>`, stands here."""
        text, at = self.text, self.at
        if text[at] == "&":
            return text.startswith("&>", at)
        while at < self.size and text[at] in "0123456789":
            at += 1
        return at > self.at and at < self.size and text[at] in "<>"

    def _redirection(self, targets: list[Word]) -> None:
        text = self.text
        while text[self.at] in "0123456789":
            self.at += 1
        for operator in ("&>>", "<<<", "<<-", "&>", ">>", ">|", ">&", "<<", "<&", "<>", ">", "<"):
            if text.startswith(operator, self.at):
                break
        self.at += len(operator)
        if operator in (">", "<") and self.at < self.size and text[self.at] == "(":
            self.at += 1
            self._subshell()  # a process substitution
            return
        if not self._blank() or text[self.at] in _ENDS:
            if self.at < self.size and text[self.at] in "<>" and text.startswith("(", self.at + 1):
                self.at += 2
                self._subshell()  # `< <(...)`
                return
            raise _NotPlainError
        word = self._word()
        if operator in ("<<", "<<-"):
            self._here.append((word.text, operator == "<<-"))
        elif operator in _WRITING or (operator == ">&" and not f"0{word.text}".rstrip("-").isdecimal()):
            targets.append(word)

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
            elif char in _ENDS:
                if char in "<>" and text.startswith("(", self.at + 1) and not parts:
                    self._substitution(word)
                    continue
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
            elif char == "~" and not word.parts:
                word.is_odd = True
            word.parts.append(char)
            self.at += 1

    def _single(self, word: Word) -> None:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise _NotPlainError
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
        raise _NotPlainError

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
            self._braces()
        elif follows in ("'", '"') and not is_quoted:
            self.at += 1
            if follows == '"':
                self._double(word)
                return
            self._ansi()
        elif follows == "[":
            self.at += 2
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

    def _braces(self) -> None:
        """Pass over `${...}`, whose `${` has been read."""
        word = Word()
        while self.at < self.size:
            char = self.text[self.at]
            if char == "}":
                self.at += 1
                return
            if char in "'\"\\$`":
                self._nested(char, word)
            else:
                self.at += 1
        raise _NotPlainError

    def _nested(self, char: str, word: Word) -> None:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise _NotPlainError
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
        raise _NotPlainError

    def _backquoted(self, word: Word) -> None:
        self._step(50)  # a text of its own
        end = self.at + 1
        while end < self.size and self.text[end] != "`":
            end += 2 if self.text[end] == "\\" else 1
        if end >= self.size:
            raise _NotPlainError
        inside = self.text[self.at + 1 : end]
        if "\\" not in inside:
            self.found += _of_text(inside, self.cwd, self._texts_depth + 1)
        self.at = end + 1
        word.is_known = False

    def _substitution(self, word: Word) -> None:
        """`<(...)` where a word could stand."""
        self.at += 2
        self._subshell()
        word.is_known = False

    def _array(self) -> None:
        """Pass over the values of `NAME=(...)`."""
        while self.at < self.size:
            if not self._blank():
                break
            char = self.text[self.at]
            self.at += char in " \t\n"
            if char == ")":
                self.at += 1
                return
            if char in " \t\n":
                continue
            if char in _ENDS:
                raise _NotPlainError
            self._word()
        raise _NotPlainError

    def _test(self) -> None:
        """Pass over `[[ ... ]]`, in which `<`, `>`, `(` and `&&` are no operators of the shell."""
        while self._blank() or self.at < self.size:
            char = self.text[self.at]
            if char in _ENDS:
                self.at += 1
                continue
            word = self._word()
            if word.is_bare and word.text == "]]":
                return
        raise _NotPlainError
