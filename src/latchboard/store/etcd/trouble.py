"""Trouble: what etcd and the way to it say, as errors of ours.

3.4 says `{"error": "text", "code": 14}` and, in a stream, `{"error": {"grpc_code": 14, "message": "text"}}`; 3.5
`{"code": 14, "message": "text"}` and `{"error": {"code": 14, ...}}`. No error has a header, a body or a password in it.

Protocol: protocol/etcd.md, "When there is no answer".
"""

from __future__ import annotations

from latchboard.codec import decode
from latchboard.errors import CommitTooLarge, StoreError, StoreFull, StoreUnavailable
from latchboard.store.etcd.errors import AuthRefused, RevisionWentBack, StoreUnreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from latchboard.errors import CoordinationError

_UNKNOWN, _DEADLINE, _DENIED, _UNIMPLEMENTED, _UNAVAILABLE, _UNAUTHENTICATED = 2, 4, 7, 12, 14, 16  # gRPC's numbers
FULL_HINT = (
    "compact and defragment it (etcdctl compact REVISION, etcdctl defrag), or raise --quota-backend-bytes; "
    "then disarm its alarm (etcdctl alarm disarm)"
)
_NOT_PROPOSED = ("no leader", "too many requests", "not capable", "server stopped", "learner")


SECURE, PLAIN, NAME, AUTHORITY, REFUSED, TLS, CUT, HOST, FOREIGN, LATE, OVER, OTHER = (
    "secure", "plain", "name", "authority", "refused", "tls", "cut", "host", "foreign", "late", "over", "other"
)  # fmt: skip
"""Kinds of failures on the way: told once, by who meets one; what to say and to do is looked up here."""
_TEXT = {
    SECURE: "it speaks TLS (etcds://), and is asked without (etcd://)",
    PLAIN: "it speaks no TLS (etcd://), and is asked with it (etcds://)",
    LATE: "no answer in time",
    OVER: "the time is up",
}
_FINAL = (SECURE, PLAIN, NAME, AUTHORITY, REFUSED, FOREIGN)
_SCHEME = "write the scheme that they speak in the setting `store`"
_ADVICE = {  # of several kinds the first one here
    SECURE: _SCHEME,
    PLAIN: _SCHEME,
    NAME: "name the members in the setting `store` by the names that their certificates are for",
    AUTHORITY: "see which authority signed the server's certificate, and until when (LATCHBOARD_ETCD_CA)",
    REFUSED: "see whether the members take our certificate (LATCHBOARD_ETCD_CERT, LATCHBOARD_ETCD_KEY)",
    TLS: "see whether the members speak TLS (etcds://) or not (etcd://)",
    CUT: "see whether most members of the cluster run, and speak TLS (etcds://) or not (etcd://)",
    HOST: "see whether the hosts in the setting `store` have these names",
    OTHER: "see whether most members of the cluster run",
}


class _Unanswered(Exception):
    """A request that nobody has answered.

    Attributes:
        kind: Of the failure: CUT: the other side hung up without a word; OVER: the deadline was there before the
            request was made, which says nothing of the endpoint.
    """

    def __init__(self, kind: str = OTHER, why: str = "") -> None:
        """`why`: in words, where the kind alone does not say it."""
        super().__init__(_TEXT.get(kind, why))
        self.kind = kind

    @property
    def is_final(self) -> bool:
        """The same request will meet the same: it is not a matter of time."""
        return self.kind in _FINAL


class NotSent(_Unanswered):
    """No byte of the request has reached an etcd."""


class Silent(_Unanswered):
    """It may have been sent, and was not answered."""


class Foreign(NotSent):
    """Who answers there is no etcd with a gateway.

    Attributes:
        status: Of its answer.
        takes_no_name: It is one, and takes no certificate with a common name.
    """

    def __init__(self, status: int, *, takes_no_name: bool = False) -> None:
        what = "a certificate without a common name is wanted" if takes_no_name else "no etcd with a JSON gateway"
        super().__init__(FOREIGN, f"{what} (status {status})")
        self.status = status
        self.takes_no_name = takes_no_name


class Lost(Exception):
    """A request that must be done at most once may have been done, and nobody said so."""


class Answer(Exception):
    """An error of etcd's own: it answered, and said no.

    Attributes:
        grpc_code: Which kind, of gRPC's numbers.
        text: What it said.
    """

    def __init__(self, grpc_code: int, text: str) -> None:
        super().__init__(f"{text} ({grpc_code})")
        self.grpc_code = grpc_code
        self.text = text

    @property
    def is_compacted(self) -> bool:
        """The revision asked for was forgotten."""
        return "has been compacted" in self.text

    @property
    def is_future(self) -> bool:
        """The revision asked for is not there yet."""
        return "future revision" in self.text

    @property
    def is_denied(self) -> bool:
        """We are known, and may not do that."""
        return self.grpc_code == _DENIED

    @property
    def is_transient(self) -> bool:
        """Another endpoint, or this one later, may do it."""
        is_told = "too many requests" in self.text or "no leader" in self.text
        return is_told or self.grpc_code in (_DEADLINE, _UNAVAILABLE)

    @property
    def was_not_done(self) -> bool:
        """It was refused before anything was proposed to the cluster: it had no effect and will have none."""
        return not self.is_transient or any(text in self.text for text in _NOT_PROPOSED)

    @property
    def needs_new_token(self) -> bool:
        """The token ran out, or users were changed since it was given."""
        return self.grpc_code == _UNAUTHENTICATED or "auth store is old" in self.text

    @property
    def is_without_users(self) -> bool:
        """The cluster asks nobody who they are."""
        return "authentication is not enabled" in self.text

    @property
    def is_lease_gone(self) -> bool:
        """The lease it should have been bound to has ended."""
        return "requested lease not found" in self.text


def answer(status: int, data: bytes) -> Answer | None:
    """The error in an answer; None: it is no answer of an etcd."""
    try:
        return answer_in(decode(data)) or Answer(_UNAVAILABLE if status >= 500 else _UNKNOWN, f"status {status}")
    except ValueError:
        return None


def answer_in(told: dict[str, Any]) -> Answer | None:
    """The error in a decoded answer, in either of its shapes; None: there is none."""
    inner = told.get("error")
    found = inner if isinstance(inner, dict) else told
    code = found.get("grpc_code", found.get("code"))
    text = found.get("message") or (inner if isinstance(inner, str) else "")
    if not isinstance(code, int) or (inner is None and "message" not in told):
        return None
    return Answer(code, str(text)[:500])


_WHO = "check LATCHBOARD_ETCD_USER and LATCHBOARD_ETCD_PASSWORD"


def typed(said: Answer, endpoint: str, user: str, prefix: str) -> CoordinationError:
    """The error for an answer that another try will not change."""
    code, text = said.grpc_code, said.text
    as_whom = f"as {user}" if user else "without a user"
    if "authentication failed" in text or code == _UNAUTHENTICATED or "user name" in text:
        return AuthRefused(
            f"etcd at {endpoint} does not let us in {as_whom}",
            hint=_WHO,
            user=user,
            endpoint=endpoint,
        )
    if code == _DENIED:
        return AuthRefused(
            f"etcd at {endpoint} does not let us do that {as_whom} with the keys below {prefix}",
            hint=f"check the prefix; the user needs a role with readwrite on {prefix}/ and everything below it"
            if user
            else _WHO,
            user=user,
            endpoint=endpoint,
        )
    if "space exceeded" in text:
        return StoreFull(
            f"etcd at {endpoint} has used up its quota",
            hint=f"nothing was changed; {FULL_HINT}",
            endpoint=endpoint,
        )
    if "too large" in text or "larger than max" in text:
        hint = "do it in parts; files stay files; --max-request-bytes of etcd is the limit"
        return CommitTooLarge(f"etcd takes no commit of this size: {text}", hint=hint)
    if "too many operations" in text:
        hint = "lock the folder instead of its files, or do it in parts; etcd's --max-txn-ops is below its default, 128"
        return CommitTooLarge(f"etcd takes no commit of so many records: {text}", hint=hint)
    if code == _UNIMPLEMENTED:
        hint = "use 3.5.23, 3.6.5 or later"
        return StoreError(f"etcd at {endpoint} cannot do it: {text}", hint=hint, endpoint=endpoint)
    return StoreError(f"etcd at {endpoint} refused it: {text} ({code})", endpoint=endpoint)


def no_gateway(endpoint: str, found: Foreign) -> StoreError:
    """The error for somebody who answers and is no etcd with a gateway, or none that hears us."""
    if found.takes_no_name:
        return AuthRefused(
            f"etcd at {endpoint} has users, and takes no client's certificate with a common name from its JSON gateway",
            hint="use a certificate without one (-subj /O=agents); LATCHBOARD_ETCD_USER says who we are",
            user="",
            endpoint=endpoint,
        )
    return StoreError(
        f"what answers at {endpoint} is no etcd with a JSON gateway (status {found.status})",
        hint="name the client URL, with etcds:// where it speaks TLS; etcd needs --enable-grpc-gateway, and "
        "--listen-client-http-urls moves it",
        endpoint=endpoint,
    )


def _advice(said: Mapping[str, Exception]) -> str:
    """What to look at, by the kinds of what went wrong on the way."""
    kinds = [getattr(failure, "kind", OTHER) for failure in said.values()]
    return next((advice for kind, advice in _ADVICE.items() if kind in kinds), _ADVICE[OTHER])


def why(failure: Exception) -> str:
    """A failure in words."""
    return failure.text if isinstance(failure, Answer) and failure.text else str(failure)


def unavailable(said: Mapping[str, Exception], waited_s: float, endpoints: tuple[str, ...] = ()) -> StoreUnavailable:
    """The error when no endpoint answered in time.

    Args:
        said: By endpoint, how it failed; the last one last.
        waited_s: Since the call began.
        endpoints: All that might have been asked; those of `said` where it is not given.
    """
    asked = endpoints or tuple(said)
    return StoreUnavailable(
        f"etcd did not answer{_told(said, asked, f' within {waited_s:.1f} s')}",
        hint=f"nothing was changed by this call; {_advice(said)}, then try again",
        endpoints=list(asked),
        waited_s=round(waited_s, 3),
    )


def unreachable(said: Mapping[str, Exception]) -> StoreUnreachable:
    """The error when every endpoint was asked in a way in which it will never answer. `said`: as `unavailable`."""
    return StoreUnreachable(
        f"etcd cannot be reached{_told(said, tuple(said), '')}",
        hint=f"nothing was changed by this call; {_advice(said)}: to wait mends nothing",
        endpoints=list(said),
    )


def _told(said: Mapping[str, Exception], asked: tuple[str, ...], when: str) -> str:
    """Where, and why; those that say the same together."""
    whys = list(dict.fromkeys(why(failure) for failure in said.values()))
    if len(whys) == 1:
        return f" at {', '.join(asked)}{when}: {whys[0]}"
    places = [f"{', '.join(one for one, told in said.items() if why(told) == each)} ({each})" for each in whys]
    return f" at {'; at '.join(places)}{when}"


def went_back(seen: int, found: int) -> RevisionWentBack:
    """The error for a revision that is below one that was told of before it was asked for."""
    return RevisionWentBack(
        f"etcd is at revision {found} and was at {seen} before: tokens could come back",
        hint="if it was restored from a snapshot, restore it with --bump-revision and --mark-compacted",
        seen=seen,
        found=found,
    )
