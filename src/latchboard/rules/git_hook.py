"""Git hook: which of git's hooks are ours, and their text as it lies in a repository's hooks folder.

POSIX shell. It runs the hook that was there before (kept beside it), whose exit status counts, and then ours. A guard
that is missing, broken or does not come to an answer lets git go on, with a warning: a repository must not depend on
whether its author's machine has us installed.

Protocol: protocol/git.md, "Scripts".
"""

from __future__ import annotations

BEFORE = ("pre-commit", "pre-merge-commit", "pre-applypatch", "pre-rebase", "pre-push")
"""They look before something happens, and may refuse it."""
AFTER = ("post-commit", "post-applypatch", "post-checkout", "post-merge", "post-rewrite")
"""They write down what should not have happened, and are never a reason to fail."""
NAMES = (*BEFORE, *AFTER)
COMMAND = "latchboard-git-hook"
KEPT = ".before-latchboard"
"""What a hook that was there before is called now: its name with this behind it."""
BEGIN = f"# >>> latchboard (written by {COMMAND} --install, taken out by --remove)"
END = "# <<< latchboard"
FIRST_LINE = "#!/bin/sh\n"
MADE_FOLDER = "# The folder was made for it."
_WITH_INPUT = ("pre-push", "post-rewrite")
_COMMITTED = ("post-commit", "post-applypatch")
_BEHIND = (*_COMMITTED, "post-merge")  # of a hook that has looked already, run by the same git


def text(name: str, *, fallback: str = "", made_folder: bool = False) -> str:
    """The script of one hook.

    Args:
        name: Which hook.
        fallback: The guard's own file, for a git that does not have it on its PATH; "" for a folder that others share.
        made_folder: Whether the folder goes when the last hook does.
    """
    lines = [BEGIN]
    if made_folder:
        lines.append(MADE_FOLDER)
    lines += [f'kept="$0{KEPT}"', f"guard={COMMAND}"]
    if fallback:
        lines.append(f'command -v "$guard" >/dev/null 2>&1 || guard={_quoted(fallback)}')
    if name in _WITH_INPUT:
        lines += ["told=$(cat; echo x)", "told=${told%x}"]
    lines += _after(name) if name.startswith("post-") else _before(name)
    return FIRST_LINE + "\n".join([*lines, END]) + "\n"


def is_ours(hook: bytes) -> bool:
    """Whether a hook has our part in it."""
    return BEGIN.encode() in hook


def is_half(hook: bytes) -> bool:
    """Whether somebody took one end of our part away: what of the rest is ours cannot be told."""
    begin, end = hook.find(BEGIN.encode()), hook.rfind(END.encode())
    return is_ours(hook) and (end < begin or BEGIN.encode() in hook[begin + 1 :])


def has_made_folder(hook: bytes) -> bool:
    """Whether the folder was made for our hooks."""
    return MADE_FOLDER.encode() in hook


def rest_of(hook: bytes) -> bytes:
    """What others wrote into a hook of ours; b"" for nothing."""
    before, _, behind = hook.partition(BEGIN.encode())
    _, end, behind = behind.partition(END.encode())
    rest = before + (behind.removeprefix(b"\n") if end else b"")
    return b"" if rest == FIRST_LINE.encode() else rest


def renewed(hook: bytes, wanted: bytes) -> bytes:
    """A hook of ours, with our part as in `wanted`, and what others wrote there."""
    if not rest_of(hook):
        return wanted
    before, _, behind = hook.partition(BEGIN.encode())
    _, _, behind = behind.partition(END.encode())
    return before + wanted.removeprefix(FIRST_LINE.encode()).removesuffix(b"\n") + behind


def _before(name: str) -> list[str]:
    pipe = "printf '%s' \"$told\" 2>/dev/null | " if name in _WITH_INPUT else ""
    return [
        'if [ -x "$kept" ]; then',
        f'  {pipe}"$kept" "$@" || exit',
        "fi",
        'if command -v "$guard" >/dev/null 2>&1; then',
        f'  {pipe}LATCHBOARD_GIT_PID=$PPID "$guard" {name} "$@"',
        "  status=$?",
        "  # 0: go on. 10: refused. By HUP, INT, QUIT, KILL, TERM: somebody stopped it. Else there was no answer.",
        '  case "$status" in 0|10|129|130|131|137|143) exit "$status" ;; esac',
        '  echo "latchboard: $guard failed (status $status): what others hold was not looked at" >&2',
        "else",
        f'  echo "latchboard: {COMMAND} is not on PATH: what others hold was not looked at" >&2',
        "fi",
        "exit 0",
    ]


def _after(name: str) -> list[str]:
    pipe = "printf '%s' \"$told\" 2>/dev/null | " if name in _WITH_INPUT else ""
    # Another commit may follow before the guard is up: which one this is, is asked before.
    head = "LATCHBOARD_GIT_HEAD=$(git rev-parse --quiet --verify HEAD) " if name in _COMMITTED else ""
    run = f'{pipe}{head}"$guard" {name} "$@"'
    lines = ["status=0", 'if [ -x "$kept" ]; then', f'  {pipe}"$kept" "$@"', "  status=$?", "fi"]
    if name in _BEHIND:
        lines += [
            "# The hook before this commit left the process id of its git where there was nothing to find.",
            'mark="${GIT_DIR:-.git}/latchboard-checked"',
            'if [ -s "$mark" ] && read -r git <"$mark" && [ "$git" = "$PPID" ]; then',
            '  : >"$mark"',
            '  exit "$status"',
            "fi",
        ]
    return [*lines, 'if command -v "$guard" >/dev/null 2>&1; then', f"  {run}", "fi", 'exit "$status"']


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\"'\"'") + "'"
