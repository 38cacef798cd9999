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

from latchboard.rules.written import Options, UnknownOptionError, Word, Write, joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_GLOBAL = frozenset(
    (
        "-p",
        "--paginate",
        "-P",
        "--no-pager",
        "--no-replace-objects",
        "--no-optional-locks",
        "--no-lazy-fetch",
        "--no-advice",
    )
)


def git(words: list[Word], cwd: str | None) -> list[Write]:
    """What `git` with these words writes.

    Raises:
        UnknownOptionError: An option is not known, or makes another place, or another program, of it.
    """
    at = 0
    while at < len(words) and words[at].text.startswith("-"):
        option = words[at].text
        if option in ("-C", "-c") and at + 1 < len(words):
            value = words[at + 1]
            if not value.is_one or value.text.lower().startswith(("core.worktree", "core.bare")):
                raise UnknownOptionError
            if option == "-C":
                cwd = joined(cwd, value.text) if value.is_plain else None
            at += 1
        elif option not in _GLOBAL:
            raise UnknownOptionError
        at += 1
    if cwd is None or at >= len(words) or not words[at].is_plain:
        return []
    known = _VERBS.get(words[at].text)
    return known(words[at + 1 :], cwd) if known is not None else []


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


_SWITCHING = """conflict= detach force guess ignore-other-worktrees merge no-guess no-overwrite-ignore no-progress
no-recurse-submodules no-track overwrite-ignore progress quiet recurse-submodules? track?"""


def _checkout(words: list[Word], cwd: str) -> list[Write]:
    front, paths = _split(words)
    options = Options(front, "b:B:dtfmql23", f"{_SWITCHING} overlay no-overlay ours theirs ignore-skip-worktree-bits")
    if not options.is_sure:
        return []
    operands = options.operands
    if paths:
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
    options = Options(words, "c:C:dfmqt", f"{_SWITCHING} create= force-create= discard-changes")
    if not options.is_sure:
        return []
    return _switched(options, options.operands[:1], cwd)


_RESTORE = """conflict= ignore-skip-worktree-bits ignore-unmerged merge no-overlay no-progress no-recurse-submodules
ours overlay progress quiet recurse-submodules? source= staged theirs worktree"""


def _restore(words: list[Word], cwd: str) -> list[Write]:
    front, behind = _split(words)
    options = Options(front, "s:SWmq23", _RESTORE)
    if not options.is_sure:
        return []
    if options.has("-S", "--staged") and not options.has("-W", "--worktree"):
        return []
    source = options.given.get("-s") or options.given.get("--source")
    if source is None and options.has("-S", "--staged"):
        source = Word("HEAD")
    return _reset_to(source, options.operands + (behind or []), cwd)


_RESET = "hard keep merge mixed no-recurse-submodules no-refresh quiet recurse-submodules? refresh soft"


def _reset(words: list[Word], cwd: str) -> list[Write]:
    options = Options(words, "q", _RESET)
    if len(options.operands) > 1 or options.has("--soft", "--mixed"):
        return []
    target = options.operands[:1] or [Word("HEAD")]
    if options.has("--hard"):
        return _asked("git-reset", cwd, target)
    return _asked("git-switch", cwd, target) if options.has("--merge", "--keep") else []


def _stash(words: list[Word], cwd: str) -> list[Write]:
    if words and not words[0].is_plain:
        return []
    verb = words[0].text if words and not words[0].text.startswith("-") else "push"
    rest = words[1:] if words and words[0].text == verb else words
    if verb in ("pop", "apply"):
        options = Options(rest, "q", "index quiet")
        return _asked("git-stash", cwd, options.operands[:1])
    if verb not in ("push", "save"):
        return []
    front, paths = _split(rest)
    options = Options(front, "kquam:", "all include-untracked keep-index message= no-keep-index quiet")
    if not options.is_sure or options.has("--no-keep-index"):
        return []
    paths = (paths or []) + (options.operands if verb == "push" else [])
    keeps = options.has("-k", "--keep-index")
    found = _reset_to(None, paths or [Word(":/")], cwd) if keeps else _asked("git-reset", cwd, [Word("HEAD")], paths)
    if found and options.has("-u", "--include-untracked", "-a", "--all"):
        option = "-x" if options.has("-a", "--all") else ""
        named = [word.text for word in paths]
        found += [Write("git-clean", cwd, words=[*filter(None, ["-d", option]), *(["--", *named] if named else [])])]
    return found


def _clean(words: list[Word], cwd: str) -> list[Write]:
    front, paths = _split(words)
    options = Options(front, "dfqxX", "force quiet")
    if not options.has("-f", "--force"):
        return []
    asked = [letter for letter in ("-d", "-x", "-X") if options.has(letter)]
    named = options.operands + (paths or [])
    if not all(word.is_known and not word.is_odd and word.text for word in named):
        return []
    return [Write("git-clean", cwd, words=[*asked, *(["--", *(word.text for word in named)] if named else [])])]


_STRATEGY = ("-s", "--strategy")
"""Which files another strategy writes is its own affair: `ours` writes none."""
_MERGING = """allow-unrelated-histories autostash cleanup= commit edit ff ff-only gpg-sign? log? no-autostash no-commit
no-edit no-ff no-gpg-sign no-log no-progress no-rerere-autoupdate no-signoff no-squash no-stat no-verify
no-verify-signatures progress quiet rerere-autoupdate signoff squash stat strategy-option= strategy= verbose
verify verify-signatures"""


def _merge(words: list[Word], cwd: str) -> list[Write]:
    options = Options(
        words, "enqvm:s:X:F:S?", f"{_MERGING} file= into-name= message= no-overwrite-ignore overwrite-ignore"
    )
    if not options.is_sure or options.has(*_STRATEGY):
        return []
    found = [write for word in options.operands for write in _asked("git-merge", cwd, [word])]
    return found if options.operands else _asked("git-merge", cwd, [Word("@{upstream}")])


_REBASE = """allow-empty-message autosquash committer-date-is-author-date empty= exec= force-rebase fork-point
ignore-date ignore-whitespace interactive keep-empty merge no-autosquash no-fork-point no-keep-empty
no-reapply-cherry-picks no-rebase-merges no-update-refs onto= reapply-cherry-picks rebase-merges?
reset-author-date update-refs whitespace="""


def _rebase(words: list[Word], cwd: str) -> list[Write]:
    options = Options(words, "fimnqvs:x:X:C:S?", f"{_MERGING} {_REBASE}")
    if not options.is_sure or options.has(*_STRATEGY) or len(options.operands) > 1:
        return []  # behind another branch than the one that is out, other files differ
    onto = options.given.get("--onto")
    if onto is not None:
        return _asked("git-switch", cwd, [onto])
    return _asked("git-merge", cwd, options.operands or [Word("@{upstream}")])


_PULL = """all append depth= force ipv4 ipv6 jobs= keep no-rebase no-recurse-submodules no-tags prune rebase?
recurse-submodules? server-option= tags unshallow"""


def _pull(words: list[Word], cwd: str) -> list[Write]:
    options = Options(words, "aefknpqtv46s:X:j:o:r?S?", f"{_MERGING} {_PULL}")
    if not options.is_sure or options.has(*_STRATEGY) or options.operands:
        return []  # what another remote has is not known here
    return _asked("git-merge", cwd, [Word("@{upstream}")])


_PICK = "allow-empty allow-empty-message empty= keep-redundant-commits mainline= reference"


def _commits(words: list[Word], cwd: str) -> list[Write]:
    options = Options(words, "ensxm:X:S?", f"{_MERGING} {_PICK}")
    if not options.is_sure or options.has("--strategy"):
        return []
    if any(".." in word.text or word.text.startswith("^") for word in options.operands):
        return []  # a range
    return _asked("git-commits", cwd, options.operands) if options.operands else []


_APPLY = """3way allow-empty allow-overlap apply binary build-fake-ancestor= ignore-space-change ignore-whitespace index
inaccurate-eof intent-to-add numstat ours quiet recount reject reverse stat summary theirs unidiff-zero union
unsafe-paths verbose whitespace="""


def _apply(words: list[Word], cwd: str) -> list[Write]:
    options = Options(words, "3NqRvp:C:", _APPLY)
    asks = options.has("--stat", "--numstat", "--summary") and not options.has("--apply")
    if not options.is_sure or asks:
        return []
    strip = options.given.get("-p")
    files = [word for word in options.operands if word.is_plain and word.text != "-"]
    if not files or len(files) != len(options.operands) or (strip is not None and not strip.text.isdecimal()):
        return []
    asked = [f"-p{strip.text}"] if strip is not None else []
    asked += ["-R"] if options.has("-R", "--reverse") else []
    return [Write("git-apply", cwd, words=[*asked, *(word.text for word in files)])]


def _rm(words: list[Word], cwd: str) -> list[Write]:
    options = Options(words, "fqr", "force ignore-unmatch quiet sparse")
    named = [word for word in options.operands if not word.has_quoted_glob and not word.text.startswith(":")]
    return [write for word in named for write in Write.of(word, cwd, "tree")]  # git's own patterns are not the shell's


def _mv(words: list[Word], cwd: str) -> list[Write]:
    from latchboard.rules.command import moved

    return moved(Options(words, "fkv", "force sparse verbose").operands, cwd)


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
