"""daemon start, stop, restart, status, open: the project's daemon in the background.

Protocol: protocol/cli.md, "daemon start".
"""

from __future__ import annotations

from latchboard.surface.cli import wording
from latchboard.surface.cli.answer import Answer, printable
from latchboard.surface.cli.grammar import Verb, flag, option
from latchboard.surface.cli.verb.daemon import FINDINGS
from latchboard.surface.cli.verb.serve import LOOPBACK, checked_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.daemon.standing import Standing
    from latchboard.daemon.starting import Running
    from latchboard.rules.serving import State
    from latchboard.surface.cli.call import Call

_HOW = {"running": "runs already", "started": "started", "adopted": "runs already", "replaced": "replaced an older one"}
_CONDITIONS = {
    "silent": "is there, and does not answer",
    "unrecorded": "is there, and is not ready yet",
    "elsewhere": "runs in another container, and cannot be reached from here",
    "none": "does not run",
}
_PATHS = {"http": "asked to", "term": "by SIGTERM", "kill": "by SIGKILL"}


def start(call: Call, *, host: str | None, allowed_hosts: str | None) -> Answer:
    """See to it that it runs."""
    names = _names(host, allowed_hosts)
    return _running(call, call.board.daemon.ensure_running(host=host, allowed_hosts=names), host=host, names=names)


def restart(call: Call, *, host: str | None, allowed_hosts: str | None) -> Answer:
    """End it, and start it."""
    return _running(call, call.board.daemon.restart(host=host, allowed_hosts=_names(host, allowed_hosts)))


def _names(host: str | None, allowed_hosts: str | None) -> tuple[str, ...] | None:
    """The names that were asked for; None: those that the last one had."""
    if host is None and allowed_hosts is None:
        return None
    return checked_names(host or LOOPBACK[0], allowed_hosts or "")


def _running(call: Call, running: Running, *, host: str | None = None, names: tuple[str, ...] | None = None) -> Answer:
    facts = {"root": call.board.root, "how": running.how, "drift": running.drift, **_facts(running.state)}
    lines = [f"the daemon {_HOW[running.how]}: {facts['url']} (process {running.state.pid})"]
    if running.drift == "newer":
        lines.append(f"  it is of version {printable(running.state.version)}, newer than this program, and stays")
    state = running.state
    if running.how in ("running", "adopted") and _is_other(state, host, names):
        reached = ", ".join(map(printable, state.allowed_hosts)) or "no other name"
        lines.append(f"  it listens on {printable(state.host)} ({reached}): `daemon restart` changes that")
    lines.append(f"  to look at it: {call.command('daemon open', as_agent=False)}")
    return Answer(facts, lines)


def _is_other(state: State, host: str | None, names: tuple[str, ...] | None) -> bool:
    """Whether a daemon that stays is another one than was asked for."""
    from latchboard.daemon.probe import address

    is_elsewhere = host is not None and host != state.host and address(host) != state.host
    return is_elsewhere or (names is not None and set(names) != set(state.allowed_hosts))


def stop(call: Call) -> Answer:
    """End it."""
    call.do_without_settings()
    stopped = call.board.daemon.stop()
    facts = {"root": call.board.root, **stopped.to_json()}
    if stopped.pid is None:
        what = "no daemon runs" if stopped.why != "elsewhere" else f"the daemon {_CONDITIONS['elsewhere']}"
        return Answer(facts, [what], status=0 if stopped.why == "none" else 1)
    if stopped.is_gone:
        how = ", then ".join(_PATHS[one] for one in stopped.path)
        return Answer(facts, [f"the daemon (process {stopped.pid}) has ended{f', {how}' if how else ''}"])
    return Answer(facts, [f"the daemon (process {stopped.pid}) has not ended: {printable(stopped.why)}"], status=1)


def status(call: Call) -> Answer:
    """Tell how it stands."""
    from latchboard.compose import engines

    standing = call.board.daemon.look()
    is_there = standing.condition == "running" or (standing.condition == "unrecorded" and standing.state is not None)
    facts = {
        "root": call.board.root,
        "condition": standing.condition,
        "why": standing.why,
        "drift": standing.drift,
        "daemon": _facts(standing.state) if standing.state is not None else None,
        "place": standing.place.to_json(),
        "relays": engines.relays(call.board),
    }
    lines = _status_lines(call, standing)
    if is_there and facts["relays"] is False:
        again = call.command("daemon restart", as_agent=False)
        lines.append("  it does not pass on what hooks and commands ask etcd: each connects by itself")
        lines.append(f"  where it was started with another address or user of etcd: {again}")
    return Answer(facts, lines, status=0 if is_there else FINDINGS)


def _status_lines(call: Call, standing: Standing) -> list[str]:
    state = standing.state
    if state is None or standing.condition == "silent":
        who = f" (process {standing.process['pid']})" if standing.process else ""
        verb = "daemon restart" if standing.condition == "silent" else "daemon start"
        lines = [f"the daemon{who} {_CONDITIONS[standing.condition]}"]
        return [*lines, f"  to {verb.split()[1]} it: {call.command(verb, as_agent=False)}"]
    facts = _facts(state)
    since = wording.ago(state.started_at, call.now)
    lines = [f"the daemon runs: {facts['url']} (process {state.pid}), since {since}"]
    if standing.drift:
        lines.append(f"  its version {printable(state.version)} is {standing.drift} than that of this program")
    if standing.condition == "unrecorded":
        lines.append("  it was started by hand, and is in no record yet")
    return lines


def open_(call: Call, *, url: bool) -> Answer:
    """Open its page."""
    daemon = call.board.daemon
    running = daemon.ensure_running()
    page = daemon.page(running.state)
    is_opened = False if url else _open_in_browser(call.board.root, page)
    facts = {"root": call.board.root, "page": page, "is_opened": is_opened, **_facts(running.state)}
    if url:
        return Answer(facts, [page])
    if is_opened:
        return Answer(facts, [f"opened {facts['url']} in the browser"])
    return Answer(facts, ["no browser could be started here; this is the page, and the token that lets you in:", page])


def _open_in_browser(root: str, page: str) -> bool:
    """By a file that this user alone can read: the command line of a browser is read by everybody on the machine."""
    import pathlib
    import webbrowser

    from latchboard.host.registry import FOLDER
    from latchboard.host.secret_file import SecretFile

    file = SecretFile(f"{root}/{FOLDER}/serve.html")
    text = (
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={page}"><title>board</title>'
    )
    file.replace(text.encode, still=lambda: True)
    return webbrowser.open(pathlib.Path(file.path).as_uri())  # a name may have what an address must not


def _facts(state: State) -> dict[str, Any]:
    from latchboard.daemon.probe import url

    facts = {name: value for name, value in state.to_json().items() if name != "schema_version"}
    return {"url": url(state.host, state.port), **facts}


_HOST = option("--host", "ADDRESS", "Where a new one listens. Default: as the last one, else this machine alone.")
_ALLOWED = option(
    "--allowed-hosts", "NAMES", "Names by which it may be reached, with commas. Default: as the last one."
)

VERBS = (
    Verb(
        "daemon start",
        start,
        summary="See to it that the project's daemon runs, in the background.",
        text="Any number of processes may say so at once: there is one daemon, and all get its port. One that runs "
        "stays, unless its version is older: then it is replaced. It ends by itself when nobody used it for four hours "
        "(setting daemon_idle_s_max).\n\nNeeds latchboard[board].",
        parameters=(_HOST, _ALLOWED),
        examples=("latchboard daemon start", "latchboard daemon start --json"),
        waits=True,
    ),
    Verb(
        "daemon stop",
        stop,
        summary="End the project's daemon.",
        text="It is asked to, then sent SIGTERM, then SIGKILL; only as long as it is provably this project's. No lock "
        "and no message depends on it. Exit status 1: it is still there, and why.",
        examples=("latchboard daemon stop",),
        waits=True,
    ),
    Verb(
        "daemon restart",
        restart,
        summary="End the project's daemon, if it runs, and start it, on the same port.",
        parameters=(_HOST, _ALLOWED),
        examples=("latchboard daemon restart",),
        waits=True,
    ),
    Verb(
        "daemon status",
        status,
        summary="Tell whether the project's daemon runs, where, and since when.",
        text="Changes nothing. Exit status 0: it runs and answers; 3: it does not.",
        examples=("latchboard daemon status", "latchboard daemon status --json"),
    ),
    Verb(
        "daemon open",
        open_,
        summary="Open the board in the browser, with the token; start the daemon if it does not run.",
        parameters=(flag("--url", "Print the address with the token, and open nothing."),),
        examples=("latchboard daemon open", "latchboard daemon open --url"),
        waits=True,
    ),
)
