"""Script: the text of a hook as it lies in a repository's hooks folder.

POSIX shell. It runs the hook that was there before (kept beside it), whose exit status counts, and then ours. A guard
that is missing, broken or does not come to an answer lets git go on, with a warning: a repository must not depend on
whether its author's machine has us installed.

Protocol: protocol/git.md, "Scripts".
"""

from __future__ import annotations

COMMAND = "latchboard-git-hook"
KEPT = ".before-latchboard"
"""What a hook that was there before is called now: its name with this behind it."""
BEGIN = f"# >>> latchboard (written by {COMMAND} --install, taken out by --remove)"
END = "# <<< latchboard"
FIRST_LINE = "#!/bin/sh\n"
MADE_FOLDER = "# The folder was made for it."
_WITH_INPUT = ("pre-push", "post-rewrite")
_BEHIND = ("post-commit", "post-merge")  # of a hook that has looked already, run by the same git


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


def _before(name: str) -> list[str]:
    pipe = "printf '%s' \"$told\" 2>/dev/null | " if name in _WITH_INPUT else ""
    return [
        'if [ -x "$kept" ]; then',
        f'  {pipe}"$kept" "$@" || exit',
        "fi",
        'if command -v "$guard" >/dev/null 2>&1; then',
        f'  {pipe}LATCHBOARD_GIT_PID=$PPID "$guard" {name} "$@"',
        "  status=$?",
        "  # 0: go on. 10: refused. Above 128: killed. Else there was no answer.",
        '  if [ "$status" -eq 0 ] || [ "$status" -eq 10 ] || [ "$status" -gt 128 ]; then exit "$status"; fi',
        '  echo "latchboard: $guard failed (status $status): what others hold was not looked at" >&2',
        "else",
        f'  echo "latchboard: {COMMAND} is not on PATH: what others hold was not looked at" >&2',
        "fi",
        "exit 0",
    ]


def _after(name: str) -> list[str]:
    pipe = "printf '%s' \"$told\" 2>/dev/null | " if name in _WITH_INPUT else ""
    run = f'{pipe}"$guard" {name} "$@"'
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
