"""Serving: the service of a project's daemon, put together."""

from __future__ import annotations

from latchboard import __version__
from latchboard.daemon.orphans import Orphans
from latchboard.daemon.service import Daemon
from latchboard.daemon.spawning import START_WAIT_S
from latchboard.daemon.standing import Looking
from latchboard.daemon.starting import Starting
from latchboard.daemon.state import StateFile, Token
from latchboard.host.registry import Registry
from latchboard.store.files.mount import warn_if_network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.compose import Latchboard


def build(board: Latchboard, *, version: str = __version__, start_wait_s: float = START_WAIT_S) -> Daemon:
    """The daemon of one project; nothing is opened.

    Args:
        board: The project.
        version: Ours, to which that of a running daemon is compared.
        start_wait_s: How long a daemon may take until it is ready, seconds.
    """
    registry = Registry(board.root, wait_s_max=board.settings.guard_wait_s_max, look_at_mount=warn_if_network)

    def make_folder() -> None:
        with registry.at_desk(make=True):
            pass  # it is made, and kept out of version control

    clock, machine, daemons = board.clock, board.host, board.daemons
    state_file, token = StateFile(board.root), Token(board.root, make_folder)
    looking = Looking(
        clock=clock,
        machine=machine,
        daemons=daemons,
        state_file=state_file,
        settings=board.settings,
        version=version,
    )
    starting = Starting(
        board.root,
        clock=clock,
        machine=machine,
        daemons=daemons,
        looking=looking,
        state_file=state_file,
        token=token,
        settings=board.settings,
        make_folder=make_folder,
        start_wait_s=start_wait_s,
    )
    orphans = Orphans(
        clock=clock,
        machine=machine,
        daemons=daemons,
        looking=looking,
        starting=starting,
        state_file=state_file,
        settings=board.settings,
    )
    return Daemon(looking, starting, orphans, token)
