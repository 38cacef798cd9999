"""A module and a function that can be read at one sitting; more only for a written reason.

A module over its limit says why in a line `# size: <reason>`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

from tests.tidy.tree import parse, python_files, relative, statements, text

MODULE_LINES_MAX = 400
TEST_MODULE_LINES_MAX = 700
FUNCTION_LINES_MAX = 70

_SAYS_WHY = re.compile(r"^# size: \S.*", re.MULTILINE)
_NO_CODE = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
)


def test_modules_are_short_or_say_why() -> None:
    too_long = []
    for path in python_files():
        limit = TEST_MODULE_LINES_MAX if relative(path).startswith("tests/") else MODULE_LINES_MAX
        if (count := len(text(path).splitlines())) > limit and not _SAYS_WHY.search(text(path)):
            too_long.append(f"{relative(path)}: {count} lines, limit {limit}")

    assert not too_long, "split by idea, or add a line '# size: <reason>':\n" + "\n".join(too_long)


def test_functions_are_short() -> None:
    too_long = [
        f"{relative(path)}:{node.lineno} {node.name}: {count} code lines, limit {FUNCTION_LINES_MAX}"
        for path in python_files()
        if len(text(path).splitlines()) > FUNCTION_LINES_MAX
        for node in statements(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_LINES_MAX
        and (count := _code_lines(path, node)) > FUNCTION_LINES_MAX
    ]

    assert not too_long, "\n".join(too_long)


def _code_lines(path: Path, function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the function with code on them: no blank lines, comments and docstring."""
    own = "\n".join(text(path).split("\n")[function.lineno - 1 : function.end_lineno])
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(own).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        above = function.lineno - 1
        lines -= set(range(first.lineno - above, (first.end_lineno or first.lineno) - above + 1))
    return len(lines)
