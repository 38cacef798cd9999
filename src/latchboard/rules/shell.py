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

from latchboard.rules.command import evaluate
from latchboard.rules.shell_words import CHARS_MAX, DEPTH_MAX, ENDS, STEPS_MAX, NotPlainError, Words
from latchboard.rules.written import Word, Write, joined

__all__ = ["CHARS_MAX", "STEPS_MAX", "Write", "writes"]

_TEXTS_DEPTH_MAX = 4
_REDIRECTIONS = ("&>>", "<<<", "<<-", "&>", ">>", ">|", ">&", "<<", "<&", "<>", ">", "<")
_WRITING = ("&>>", "&>", ">>", ">|", ">")
_OPENING = frozenset(("if", "while", "until", "for", "select", "case", "{"))
_CLOSING = frozenset(("fi", "done", "esac", "}"))
_GIT_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
"""Variables that make another repository of the folder's; where one of them is spoken of, git cannot be asked."""
_PASSED = frozenset(("if", "while", "until", "then", "else", "elif", "do", "fi", "done", "esac", "{", "}", "!", "time"))


def writes(command: str, cwd: str = "") -> list[Write]:
    """What a command line plainly writes, in the order of the text, each once.

    Args:
        command: The text that a shell would be given.
        cwd: What stands in front of relative paths; empty: they stay relative.
    """
    found = dict.fromkeys(_of_text(command, cwd, 0)[0])
    if any(name in command for name in _GIT_PLACES):
        return [write for write in found if not write.kind.startswith("git-")]
    return list(found)


def _of_text(text: str, cwd: str | None, depth: int) -> tuple[list[Write], str | None]:
    """What a text writes, and where it ends up."""
    if len(text) > CHARS_MAX or depth > _TEXTS_DEPTH_MAX or "\0" in text:
        return [], None
    parser = _Parser(text, cwd, depth)
    try:
        parser.commands("")
    except NotPlainError:
        return [], None
    return parser.found, parser.cwd


class _Parser(Words):
    """Reads one text once, from its beginning to its end."""

    def __init__(self, text: str, cwd: str | None, depth: int) -> None:
        super().__init__(text)
        self.cwd = cwd  # None: somewhere that cannot be known
        self.found: list[Write] = []
        self._texts_depth = depth
        self._here: list[tuple[Word, bool]] = []  # ends of here-documents whose text follows the line
        self._blocks: list[str | None] = []  # where each open `if`, loop or `case` began
        self._cases = 0

    # -- commands -----------------------------------------------------------------------------------------------------

    def commands(self, end: str) -> None:
        """Commands up to `end`, which is consumed: `)`, or nothing for the end of the text."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise NotPlainError
        before = ""
        while self._blank():
            char = self.text[self.at]
            if char == ")":
                self.at += 1
                before = ";"
                if not self._cases:  # else it is the end of a pattern
                    if not end:
                        raise NotPlainError
                    self._depth -= 1
                    return
            elif char == "(":
                self._parenthesis()
                before = ""
            elif char in ";&|\n":
                before = self._operator()
            else:
                before = self._simple(before)
            if before[:2] in (";;", ";&"):
                self._branch()
        if end:
            raise NotPlainError

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
                line = self._here_line()
                while not word.is_quoted and (len(line) - len(line.rstrip("\\"))) % 2:
                    line = line[:-1] + self._here_line()  # a continued line, as in a command
                if (line.lstrip("\t") if is_indented else line) == word.text:
                    break
        self._here = []

    def _here_line(self) -> str:
        end = self.text.find("\n", self.at)
        end = self.size if end < 0 else end
        line = self.text[self.at : end]
        self.at = min(end + 1, self.size)
        return line

    def _parenthesis(self) -> None:
        if self.text.startswith("((", self.at):
            self.at += 2
            self._arithmetic(2)
            return
        self.at += 1
        self._subshell()

    def _run_text(self, text: str) -> str | None:
        found, cwd = _of_text(text, self.cwd, self._texts_depth + 1)
        self.found += found
        return cwd

    def _subshell(self) -> None:
        """Commands up to `)`, whose `cd` is theirs alone."""
        cwd, blocks, cases = self.cwd, self._blocks, self._cases
        self._blocks, self._cases = [], 0
        self.commands(")")
        self.cwd, self._blocks, self._cases = cwd, blocks, cases

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
            elif char in ENDS:
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
            raise NotPlainError  # a function, or nothing that this grammar knows

    def _end(self, words: list[Word], targets: list[Word], before: str) -> str:
        """A simple command has been read: what it writes."""
        operator = ""
        if self.at < self.size and self.text[self.at] in ";&|\n":
            operator = self._operator()
        self._evaluate(words, targets, before, operator)
        return operator

    def _evaluate(self, words: list[Word], targets: list[Word], before: str, after: str) -> None:
        for target in targets:
            # A pattern is refused by one shell, expanded by another, and the name of a file for a third.
            self.found += [] if target.is_glob else Write.of(target, self.cwd)
        if words and words[0].is_bare and words[0].text in ("for", "select", "case", "function", "coproc", "[["):
            if words[0].text in ("function", "coproc"):
                raise NotPlainError
            return
        found = evaluate(words, self.cwd)
        went = self.cwd
        if found.moves:
            went = None if found.to is None else joined(self.cwd, found.to)
        for text in found.texts:
            end = self._run_text(text)
            went = end if found.is_here else went
        self.found += found.writes
        if went != self.cwd and before != "|" and after not in ("|", "&"):
            self.cwd = None if before == "||" else went

    def _is_grammar(self, text: str) -> bool:
        """Whether the word where a command could stand belongs to the grammar; keeps account of blocks."""
        if text in _OPENING:
            self._blocks.append(self.cwd)
            self._cases += text == "case"
        elif text in _CLOSING and self._blocks:
            if self._blocks.pop() != self.cwd:
                self.cwd = None  # it went somewhere if it came there
            self._cases -= text == "esac" and self._cases > 0
        elif text in ("else", "elif"):
            self._branch()
        return text in _PASSED

    def _branch(self) -> None:
        """Another branch of an `if` or a `case`: it does not begin where the one before it went."""
        if self._blocks and self._blocks[-1] != self.cwd:
            self.cwd = None

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
        operator = next(one for one in _REDIRECTIONS if text.startswith(one, self.at))
        self.at += len(operator)
        if operator in (">", "<") and self.at < self.size and text[self.at] == "(":
            self.at += 1
            self._subshell()  # a process substitution
            return
        if not self._blank() or text[self.at] in ENDS:
            if self.at < self.size and text[self.at] in "<>" and text.startswith("(", self.at + 1):
                self.at += 2
                self._subshell()  # `< <(...)`
                return
            raise NotPlainError
        word = self._word()
        if operator in ("<<", "<<-"):
            if not word.is_known:
                raise NotPlainError  # its end is the name of the variable, not what is in it
            self._here.append((word, operator == "<<-"))
        elif operator in _WRITING or (operator == ">&" and not f"0{word.text}".rstrip("-").isdecimal()):
            targets.append(word)
