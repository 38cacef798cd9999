"""Git command: what has to be asked of git to know which files a command of it would write; pure.

Kinds, and what their words are:

- `git-switch TARGET`: what differs between HEAD and it
- `git-reset TARGET [-- PATH...]`: what differs between the work tree and it; the index where it is empty
- `git-checkout WORD...`: as `git-switch` where the first word is a commit, as `git-reset` of files where it is not
- `git-merge TARGET`: what it changed since both went apart
- `git-commits COMMIT...`: what each of them changed
- `git-stash [STASH]`: what a stash has
- `git-clean [OPTION...] [-- PATH...]`: what it would remove
- `git-apply [OPTION...] FILE...`: what the patches name

Protocol: protocol/editing.md, "Shell calls".
"""

from __future__ import annotations

from latchboard.rules.written import Options, Word, Write, joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_GLOBAL_TAKING = ("-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env")


def git(words: list[Word], cwd: str | None) -> list[Write]:
    """What `git` with these words writes."""
    at = 0
    while at < len(words) and words[at].text.startswith("-"):
        option = words[at].text
        if option.startswith(("--git-dir", "--work-tree", "--help", "--version")) or not words[at].is_one:
            return []
        if option == "-C" and at + 1 < len(words):
            cwd = joined(cwd, words[at + 1].text) if words[at + 1].is_plain else None
        at += 2 if option in _GLOBAL_TAKING else 1
    if cwd is None or at >= len(words) or not words[at].is_plain:
        return []
    rest = words[at + 1 :]
    known = _VERBS.get(words[at].text)
    is_asked = any(word.text in ("--help", "-h") for word in rest)
    return known(rest, cwd) if known is not None and not is_asked else []


def _asked(kind: str, cwd: str, words: list[Word], paths: list[Word] | None = None) -> list[Write]:
    """A question about these words, all of which are plain; none of them can be an option of git's."""
    every = [*words, *(paths or [])]
    if not all(word.is_known and not word.is_odd and word.text for word in every):
        return []
    if any(word.text.startswith("-") and word.text != "-" for word in words):
        return []
    given = ["@{-1}" if word.text == "-" else word.text for word in words]
    return [Write(kind, cwd, words=[*given, *(["--", *(word.text for word in paths)] if paths else [])])]


def _split(words: list[Word]) -> tuple[list[Word], list[Word] | None]:
    """What stands in front of `--` and behind it; None: there is none."""
    for at, word in enumerate(words):
        if word.text == "--" and word.is_plain:
            return words[:at], words[at + 1 :]
    return words, None


def _reset_to(target: Word | None, paths: list[Word], cwd: str) -> list[Write]:
    """As `_asked` of `git-reset`; without a target it is the index."""
    if target is None:
        known = all(word.is_known and not word.is_odd and word.text for word in paths)
        return [Write("git-reset", cwd, words=["", "--", *(word.text for word in paths)])] if known and paths else []
    return _asked("git-reset", cwd, [target], paths)


def _checkout(words: list[Word], cwd: str) -> list[Write]:
    front, paths = _split(words)
    options = Options(front, "bB", ("--orphan", "--conflict", "--pathspec-from-file"))
    if not options.is_sure or options.has("-p", "--patch", "--pathspec-from-file", "--orphan"):
        return []
    operands = options.operands
    if paths is not None and paths:
        return _reset_to(operands[0] if operands else None, paths, cwd)
    if options.has("-b", "-B"):
        return _switched(options, operands[:1], cwd)
    if options.has("--detach", "-d", "-t", "--track") or paths is not None:
        return _switched(options, operands[:1], cwd)
    if options.has("-f", "--force") and len(operands) == 1:
        return _asked("git-reset", cwd, operands)
    return _asked("git-checkout", cwd, operands) if operands else []


def _switched(options: Options, target: list[Word], cwd: str) -> list[Write]:
    """To another commit; without one nothing changes, but by force."""
    if options.has("-f", "--force", "--discard-changes"):
        return _asked("git-reset", cwd, target or [Word("HEAD")])
    return _asked("git-switch", cwd, target) if target else []


def _switch(words: list[Word], cwd: str) -> list[Write]:
    options = Options(words, "cC", ("--create", "--force-create", "--orphan", "--conflict"))
    if not options.is_sure or options.has("--orphan"):
        return []
    return _switched(options, options.operands[:1], cwd)


def _restore(words: list[Word], cwd: str) -> list[Write]:
    front, behind = _split(words)
    options = Options(front, "s", ("--source", "--conflict", "--pathspec-from-file"))
    if not options.is_sure or options.has("-p", "--patch", "--pathspec-from-file"):
        return []
    if options.has("-S", "--staged") and not options.has("-W", "--worktree"):
        return []
    source = options.given.get("-s") or options.given.get("--source")
    if source is None and options.has("-S", "--staged"):
        source = Word("HEAD")
    return _reset_to(source, options.operands + (behind or []), cwd)


def _reset(words: list[Word], cwd: str) -> list[Write]:
    options = Options(words, "", ())
    if not options.is_sure:
        return []
    target = options.operands[:1] or [Word("HEAD")]
    if options.has("--hard"):
        return _asked("git-reset", cwd, target)
    return _asked("git-switch", cwd, target) if options.has("--merge", "--keep") else []


def _stash(words: list[Word], cwd: str) -> list[Write]:
    verb = words[0].text if words and not words[0].text.startswith("-") else "push"
    rest = words[1:] if words and words[0].text == verb else words
    if verb in ("pop", "apply"):
        options = Options(rest, "", ())
        return _asked("git-stash", cwd, options.operands[:1]) if options.is_sure else []
    if verb not in ("push", "save"):
        return []
    front, paths = _split(rest)
    options = Options(front, "m", ("--message", "--pathspec-from-file"))
    if not options.is_sure or options.has("-p", "--patch", "-S", "--staged", "--pathspec-from-file"):
        return []
    paths = (paths or []) + (options.operands if verb == "push" else [])
    found = _asked("git-reset", cwd, [Word("HEAD")], paths)
    if options.has("-u", "--include-untracked", "-a", "--all"):
        option = "-x" if options.has("-a", "--all") else ""
        named = [word.text for word in paths if word.is_known]
        found += [Write("git-clean", cwd, words=[*filter(None, ["-d", option]), *(["--", *named] if named else [])])]
    return found


def _clean(words: list[Word], cwd: str) -> list[Write]:
    front, paths = _split(words)
    options = Options(front, "e", ("--exclude",))
    if not options.is_sure or options.has("-n", "--dry-run", "-i", "--interactive", "-e", "--exclude"):
        return []
    if not options.has("-f", "--force"):
        return []
    asked = [letter for letter in ("-d", "-x", "-X") if options.has(letter)]
    named = options.operands + (paths or [])
    if not all(word.is_known and not word.is_odd and word.text for word in named):
        return []
    return [Write("git-clean", cwd, words=[*asked, *(["--", *(word.text for word in named)] if named else [])])]


_GOING_ON = ("--abort", "--continue", "--quit", "--skip", "--edit-todo", "--show-current-patch")


def _merge(words: list[Word], cwd: str) -> list[Write]:
    options = Options(words, "msXF", ("--message", "--strategy", "--strategy-option", "--file", "--into-name"))
    if not options.is_sure or options.has(*_GOING_ON):
        return []
    found = [write for word in options.operands for write in _asked("git-merge", cwd, [word])]
    return found if options.operands else _asked("git-merge", cwd, [Word("@{upstream}")])


def _rebase(words: list[Word], cwd: str) -> list[Write]:
    options = Options(words, "sXxC", ("--onto", "--strategy", "--strategy-option", "--exec", "--whitespace"))
    if not options.is_sure or options.has(*_GOING_ON, "--root", "--apply"):
        return []
    onto = options.given.get("--onto")
    target = [onto] if onto is not None else options.operands[:1] or [Word("@{upstream}")]
    return _asked("git-switch", cwd, target)


def _pull(words: list[Word], cwd: str) -> list[Write]:
    options = Options(words, "sXjo", ("--strategy", "--strategy-option", "--depth", "--jobs", "--server-option"))
    if not options.is_sure or options.has("--dry-run") or options.operands:
        return []  # what another remote has is not known here
    return _asked("git-merge", cwd, [Word("@{upstream}")])


def _commits(words: list[Word], cwd: str) -> list[Write]:
    options = Options(words, "msXS", ("--mainline", "--strategy", "--strategy-option"))
    if not options.is_sure or options.has(*_GOING_ON) or any(".." in word.text for word in options.operands):
        return []
    return _asked("git-commits", cwd, options.operands) if options.operands else []


def _apply(words: list[Word], cwd: str) -> list[Write]:
    options = Options(words, "pC", ("--whitespace", "--exclude", "--include", "--directory", "--build-fake-ancestor"))
    asks = options.has("--check", "--stat", "--numstat", "--summary") and not options.has("--apply")
    if not options.is_sure or asks or options.has("--cached", "--directory", "--exclude", "--include"):
        return []
    strip = options.given.get("-p")
    files = [word for word in options.operands if word.is_plain and word.text != "-"]
    if not files or len(files) != len(options.operands) or (strip is not None and not strip.text.isdecimal()):
        return []
    asked = [f"-p{strip.text}"] if strip is not None else []
    asked += ["-R"] if options.has("-R", "--reverse") else []
    return [Write("git-apply", cwd, words=[*asked, *(word.text for word in files)])]


def _rm(words: list[Word], cwd: str) -> list[Write]:
    options = Options(words, "", ("--pathspec-from-file",))
    if options.has("--cached", "-n", "--dry-run", "--pathspec-from-file"):
        return []
    return [write for word in options.operands for write in Write.of(word, cwd, "tree")]


def _mv(words: list[Word], cwd: str) -> list[Write]:
    from latchboard.rules.command import _mv as moved

    options = Options(words, "", ())
    return [] if options.has("-n", "--dry-run") else moved(options.operands, cwd)


_VERBS: dict[str, Callable[[list[Word], str], list[Write]]] = {
    "checkout": _checkout,
    "switch": _switch,
    "restore": _restore,
    "reset": _reset,
    "stash": _stash,
    "clean": _clean,
    "merge": _merge,
    "rebase": _rebase,
    "pull": _pull,
    "cherry-pick": _commits,
    "revert": _commits,
    "apply": _apply,
    "rm": _rm,
    "mv": _mv,
}
