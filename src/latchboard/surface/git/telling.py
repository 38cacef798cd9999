"""Telling: what is said to whoever runs git: why not, who has it since when, and what can be done now.

Protocol: protocol/git.md, "What is said".
"""

from __future__ import annotations

from latchboard.surface.git.wording import named, quoted, shown, since, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from latchboard.surface.git.held import Held
    from latchboard.surface.git.scene import Scene

_HOLDS_COUNT_MAX = 10
_PATHS_COUNT_MAX = 20
_WAIT_S = 60


def refusal(scene: Scene, found: Sequence[Held]) -> list[str]:
    """Why an agent's commit, merge or rebase does not go on."""
    count = len(paths(found))
    files = f"{count} file" if count == 1 else f"{count} files"
    lines = [f"latchboard: refused: {scene.what} {scene.changes} {files} held by {_agents(found)}.", ""]
    lines += holds(found)
    lines += ["", *scene.nothing_done, "", "What you can do now:"]
    lines += [f"  {line}" for line in scene.ways_out(found)]
    if not scene.who.agent:
        return [*lines, "  say who you are, if one of these is you:  export AGENT_ID=<your agent id>"]
    agent = quoted(scene.who.agent)
    for root in dict.fromkeys(one.elsewhere for one in found):
        wanted = _wanted(scene, [one for one in found if one.elsewhere == root])
        options = f"--agent {agent}" + (f" --root {quoted(root)}" if root else "")
        lines.append(f"  wait for it:      latchboard acquire {wanted} --wait-s-max {_WAIT_S} {options}")
        lines.append(f"  ask for it:       latchboard handoff request {wanted} {options} --reason '<what for>'")
    return [*lines, "                    and then the same git command again"]


def note(scene: Scene, found: Sequence[Held]) -> list[str]:
    """What a person is told who goes on."""
    lines = [f"latchboard: note: {scene.what} {scene.changes} what {_agents(found)} has under lock:"]
    lines += holds(found)
    return [*lines, "  There is no agent id (AGENT_ID), so you are taken for a person and this goes on."]


def holds(found: Sequence[Held]) -> list[str]:
    """Each hold in the way: of which files, whose, since when, until when, what for."""
    lines = []
    for one in found[:_HOLDS_COUNT_MAX]:
        now = one.board.clock.now()
        facts = one.facts
        some = ", ".join(shown(path) for path in one.paths[:3])
        more = f" and {len(one.paths) - 3} more" if len(one.paths) > 3 else ""
        how = "shares" if facts["mode"] == "shared" else "holds"
        what = "it" if [shown(path) for path in one.paths] == [shown(facts["name"])] else shown(facts["name"])
        lines.append(f"  {some}{more}: {shown(one.agent)} {how} {what} since {since(facts['since'], now)}")
        lines.append(f"    until {until(facts['remaining_s'], now)} unless renewed")
        if facts["reason"]:
            lines.append(f"    what for: {shown(facts['reason'])}")
    if len(found) > _HOLDS_COUNT_MAX:
        lines.append(f"  ... and {len(found) - _HOLDS_COUNT_MAX} holds more")
    return lines


def found_later(scene: Scene, found: Sequence[Held], *, undo: str) -> list[str]:
    """What is said when it has happened already; to a person, who may have been told before, in one line."""
    if not scene.who.is_agent:
        files = ", ".join(shown(path) for path in paths(found)[:3]) + (", ..." if len(paths(found)) > 3 else "")
        return [f"latchboard: {scene.what} {scene.changes} {files}, held by {_agents(found)}, who is told."]
    lines = [f"latchboard: {scene.what} {scene.changes} what {_agents(found)} has under lock:", *holds(found)]
    lines.append(
        f"  This is on the board now, and {_agents(found)} is told." + (f" To undo it: {undo}" if undo else "")
    )
    return lines


def letter(scene: Scene, mine: Sequence[Held]) -> str:
    """What a holder reads."""
    who = shown(scene.who.agent) if scene.who.agent else "Somebody without an agent id"
    files = ", ".join(shown(path) for path in paths(mine)[:_PATHS_COUNT_MAX])
    if (more := len(paths(mine)) - _PATHS_COUNT_MAX) > 0:
        files += f" and {more} more"
    return f"{who}: {scene.what} {scene.changes} {files}, which you hold. {scene.advice}"


def trouble(message: str, hint: str, *, refused: bool) -> list[str]:
    """What is said when it cannot be told who holds what."""
    lines = [f"latchboard: it cannot be told whether others hold what this changes: {shown(message)}"]
    if hint:
        lines.append(f"  {shown(hint)}")
    if not refused:
        return [*lines, "  It goes on all the same."]
    return [
        *lines,
        "  Refused, for what cannot be read is not free. Nothing was changed. A person can go on with --no-verify, or",
        '  set hooks_failure = "open" in latchboard.toml.',
    ]


def paths(found: Sequence[Held]) -> list[bytes]:
    """All paths in the way, each once."""
    return list(dict.fromkeys(path for one in found for path in one.paths))


def _wanted(scene: Scene, found: Sequence[Held]) -> str:
    """What to acquire, as words of a command line: the files, or the holds where there are many."""
    files = paths(found)
    if len(files) <= _PATHS_COUNT_MAX:
        return " ".join(quoted(scene.here(path, is_full=bool(found[0].elsewhere))) for path in files)
    names = dict.fromkeys(str(one.facts["name"]) for one in found)
    return " ".join(named(name) for name in names)


def _agents(found: Sequence[Held]) -> str:
    names = list(dict.fromkeys(shown(one.agent) for one in found))
    if len(names) > 3:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return " and ".join(names)
