"""Tries: what became of one call's requests, endpoint by endpoint, and whether another one makes sense.

Loaded where a request has failed: a hook that is answered does without.

Law 1. A verdict is final where no time mends it: a certificate that does not prove who is there, TLS where none is
       spoken or none where it is, ours refused, somebody who is no etcd. When that was told by every endpoint, the call
       is over at once; one such endpoint beside others fails nothing.
Law 2. Whatever may be otherwise in a moment (refused, reset, silent, without a leader: a member that begins anew) is
       tried again until the deadline.

Protocol: protocol/etcd.md, "When there is no answer".
"""

from __future__ import annotations

from _random import Random
from time import monotonic, sleep

from latchboard.store.etcd import trouble
from latchboard.store.etcd.trouble import Foreign, NotSent, Silent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from latchboard.errors import CoordinationError
    from latchboard.store.etcd.access import Access
    from latchboard.store.etcd.trouble import Answer
    from latchboard.store.etcd.wire import Wire

_PAUSE_S, _PAUSE_S_MAX = 0.01, 0.2
_PROBE_S_MAX = 1.0
_random = Random().random  # the module's own belongs to whoever seeded it


class Tries:
    """Those of one call."""

    def __init__(self, access: Access, wire: Wire, since: float, deadline: float) -> None:
        """`since` and `deadline`: of the call, monotonic seconds."""
        self._access = access
        self._wire = wire
        self._since = since
        self._deadline = deadline
        self._said: dict[str, NotSent | Silent | Answer] = {}  # by endpoint, the last one last
        self._count = 0
        self._pause_s = _PAUSE_S

    def verdict(self, endpoint: str, failure: NotSent | Silent | Answer) -> CoordinationError | None:
        """The error that ends the call, after one more failure; None: try again."""
        self._count += 1
        if isinstance(failure, NotSent | Silent):
            failure = mismatch(self._wire, endpoint, failure, self._deadline) or failure
        if not self._says_nothing(endpoint, failure):
            self._said.pop(endpoint, None)
            self._said[endpoint] = failure
        final = [one for one in self._said.values() if isinstance(one, NotSent | Silent) and one.is_final]
        if len(final) == len(set(self._access.endpoints)):
            return self._unmendable(final)
        if (attendant := self._access.attendant) is not None:
            attendant.heard(trouble.why(next(reversed(self._said.values()))))
        waited_s = monotonic() - self._since
        return trouble.unavailable(self._said, waited_s, self._access.endpoints) if self._is_over() else None

    def _says_nothing(self, endpoint: str, failure: NotSent | Silent | Answer) -> bool:
        """Whether the call's end cut the request off: what is known of the endpoint is what it said before."""
        kind = getattr(failure, "kind", "")
        if kind == trouble.OVER:
            return bool(self._said)
        return endpoint in self._said and kind == trouble.LATE and monotonic() >= self._deadline

    def pause(self) -> None:
        """Wait before the next one, if every endpoint had its turn."""
        if self._count % len(self._access.endpoints) == 0:
            sleep(max(0.0, min(self._deadline - monotonic(), self._pause_s * (0.5 + _random()))))
            self._pause_s = min(_PAUSE_S_MAX, self._pause_s * 2)

    def _is_over(self) -> bool:
        return self._wire.is_given_up or monotonic() >= self._deadline

    def _unmendable(self, final: list[NotSent | Silent]) -> CoordinationError:
        foreign = [one for one in final if isinstance(one, Foreign)]
        if len(foreign) == len(final):
            return trouble.no_gateway(next(iter(self._said)), foreign[0])
        return trouble.unreachable(self._said)


def mismatch(wire: Wire, endpoint: str, failure: NotSent | Silent, deadline: float) -> NotSent | None:
    """That who hung up without a word speaks TLS where we do not, or the other way round; None: not that we know.

    It looks the same as a member that ends in this moment; so it is asked in the other way, which is sure.
    """
    if failure.kind != trouble.CUT or wire.is_given_up:
        return None
    speaks_tls = wire.speaks_tls(endpoint, min(_PROBE_S_MAX, deadline - monotonic()))
    if speaks_tls is None or speaks_tls == endpoint.startswith("https"):
        return None
    return NotSent(trouble.SECURE if speaks_tls else trouble.PLAIN)
