"""Gateway: etcd's JSON API at several endpoints, asked with a limit.

Law 1. Every call ends by its deadline, with an answer or a typed error; an endpoint that does not answer is left after
       a quarter of it for the next one.
Law 2. What may have been sent is sent again only if doing it twice does no harm (`call`); a request that must happen
       at most once (`call_once`) is sent again only when it certainly did nothing, and raises `Lost` otherwise.
Law 3. Every request says that it needs a leader: without one it fails, and a stream ends, instead of hanging.
Law 4. No password and no token is in a message.
Law 5. A process that ends soon asks a daemon of its machine first (`relay`), and loads what it takes to ask etcd itself
       only where that does not help. Streams are its own.

Protocol: protocol/etcd.md, "When there is no answer".
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64  # `base64` loads regular expressions
from time import monotonic

from latchboard.codec import encode
from latchboard.errors import UsageError
from latchboard.store.etcd import trouble
from latchboard.store.etcd.trouble import Answer, Foreign, Lost, NotSent, Silent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from latchboard.store.etcd.access import Access
    from latchboard.store.etcd.relay import Relay
    from latchboard.store.etcd.tries import Tries
    from latchboard.store.etcd.wire import Stream, Wire

_GIVEN_UP_S = 1.0
_TXN_AND_RANGES = ("/v3/kv/txn", "/v3/kv/range")
VERSION = "/version"


def packed(text: str | bytes) -> str:
    """Bytes as the gateway wants them."""
    return b2a_base64(text.encode() if isinstance(text, str) else text, newline=False).decode("ascii")


def unpacked(text: str) -> bytes:
    """Bytes as the gateway gives them. Raises ValueError."""
    return a2b_base64(text)


class Gateway:
    """One cluster, as this process reaches it. Threads may share it.

    Attributes:
        access: How.
        newest: The newest revision that an answer told of.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self.newest = 0
        self._at = 0
        self._token = ""
        self._is_without_users = not access.user
        self._made: Wire | None = None
        self._relay: Relay | None = None
        if access.relay:
            from latchboard.store.etcd.relay import Relay

            self._relay = Relay(access, access.relay)
        self._given_up = -_GIVEN_UP_S  # when nobody had answered by the end of a call, monotonic seconds

    def _until(self, deadline: float) -> float:
        """A call's deadline; a near one behind a call that nobody answered, after which others may clean up.

        Whoever answers a call ends that. What a member says of itself does not: it may have no leader.
        """
        now = monotonic()
        return min(deadline, now + self.access.request_s_max / 2) if now - self._given_up < _GIVEN_UP_S else deadline

    def _tries(self, since: float, deadline: float) -> Tries:
        from latchboard.store.etcd.tries import Tries

        return Tries(self.access, self.wire, since, deadline)

    def _try_again(
        self, tries: Tries, endpoint: str, failure: NotSent | Silent | Answer, since: float, asked_for: float
    ) -> None:
        """Behind a request that failed: wait a little, unless it is over.

        Args:
            tries: Of this call.
            endpoint: Who was asked.
            failure: What came of it.
            since: When the call began.
            asked_for: Its deadline as the caller said; one who has little time, such as a keepalive, takes none from
                the next call.
        """
        error = tries.verdict(endpoint, failure)
        if error is None:
            tries.pause()
            return
        if error.retryable and asked_for - since > 2 * self.access.request_s_max:
            self._given_up = monotonic()
        raise error

    # -- calls --------------------------------------------------------------------------------------------------------

    def call(self, path: str, body: dict[str, Any], deadline: float) -> dict[str, Any]:
        """Ask until somebody answers. Only for what may be done twice.

        Raises:
            Answer: etcd said no, for a reason that the caller may understand (compacted, future, lease gone).
            StoreUnavailable: Nobody answered by the deadline; at once, where nobody ever will (`tries`).
            StoreError: Any other refusal.
        """
        return self._call(path, body, deadline, once=False)

    def call_once(self, path: str, body: dict[str, Any], deadline: float) -> dict[str, Any]:
        """As `call`, for what must not be done twice.

        Raises:
            Lost: It may have been done.
        """
        return self._call(path, body, deadline, once=True)

    def _call(self, path: str, body: dict[str, Any], deadline: float, *, once: bool) -> dict[str, Any]:
        if (attendant := self.access.attendant) is None:
            return self._asked(path, body, deadline, once=once)
        with attendant.attending(self.access.endpoints, deadline - monotonic()):
            return self._asked(path, body, deadline, once=once)

    def _asked(self, path: str, body: dict[str, Any], deadline: float, *, once: bool) -> dict[str, Any]:
        since, tries = monotonic(), None
        asked_for, deadline = deadline, self._until(deadline)
        seen = self.newest
        if (found := self._relayed(path, body, deadline, once=once)) is not None:
            self._note(found, seen, path)
            return found
        data = encode(body).encode()
        while True:
            endpoint = self._endpoint()
            failure: NotSent | Silent | Answer
            try:
                told = self._ask(endpoint, path, data, deadline)
            except (NotSent, Silent, Answer) as exc:
                if isinstance(exc, Answer) and not exc.is_transient:
                    self._given_up = -_GIVEN_UP_S
                    raise
                self._at += 1
                if once and _may_be_done(exc):
                    raise Lost(exc.text if isinstance(exc, Answer) else str(exc)) from exc
                failure = exc
            else:
                self._note(told, seen, path)
                return told
            tries = tries or self._tries(since, deadline)
            self._try_again(tries, endpoint, failure, since, asked_for)

    def _relayed(
        self, path: str, body: dict[str, Any], deadline: float, *, once: bool = False
    ) -> dict[str, Any] | None:
        """What the daemon of this machine was told; None: it was asked nothing, or can tell nothing: ask etcd."""
        if self._relay is None:
            return None
        return self._relay.ask(path, body, min(self.access.request_s_max, deadline - monotonic()), once=once)

    def ask(self, endpoint: str, path: str, body: dict[str, Any], deadline: float) -> dict[str, Any]:
        """Ask one member, once: what it says of itself.

        Raises:
            NotSent, Silent: It does not answer.
            Answer, StoreError: It said no, or is no etcd.
        """
        try:
            return self._ask(endpoint, path, encode(body).encode(), deadline)
        except Foreign as exc:
            raise trouble.no_gateway(endpoint, exc) from exc

    def _ask(self, endpoint: str, path: str, data: bytes, deadline: float) -> dict[str, Any]:
        """One request to one endpoint; with a new token, if the old one is not good any more."""
        for is_second in (False, True):
            try:
                return self._post(endpoint, path, data, self._headers(endpoint, deadline), deadline)
            except Answer as said:
                if said.needs_new_token and self.access.user and not is_second:
                    self._token = ""
                    continue
                if said.is_transient or said.is_compacted or said.is_future or said.is_lease_gone:
                    raise
                raise trouble.typed(said, endpoint, self.access.user, self.access.prefix) from said
        raise AssertionError("the second try returns or raises")

    def _post(self, endpoint: str, path: str, data: bytes, headers: dict[str, str], deadline: float) -> dict[str, Any]:
        limit_s = min(self.access.request_s_max, deadline - monotonic())
        if limit_s <= 0:
            raise NotSent(trouble.OVER)
        return self.wire.post(endpoint, path, data, headers, limit_s)

    def _headers(self, endpoint: str, deadline: float) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Grpc-Metadata-hasleader": "true"}
        if not self._is_without_users:
            token = self._token  # another thread may find meanwhile that it is not good any more
            if not token:
                token = self._token = self._authenticate(endpoint, deadline)
            if token:
                headers["Authorization"] = token
        return headers

    def _authenticate(self, endpoint: str, deadline: float) -> str:
        login = encode({"name": self.access.user, "password": self.access.password}).encode()
        try:
            told = self._post(endpoint, "/v3/auth/authenticate", login, {"Content-Type": "application/json"}, deadline)
        except Silent as exc:
            # The request that it was for was not sent.
            raise NotSent(exc.kind, str(exc)) from exc
        except Answer as said:
            if not said.is_without_users:
                raise
            self._is_without_users = True
            return ""
        return str(told.get("token", ""))

    def version(self, deadline: float) -> str:
        """What the member that is asked says it is, such as `3.5.30`.

        Raises:
            StoreUnavailable: Nobody answered.
            StoreError: It is no etcd.
        """
        if (attendant := self.access.attendant) is None:
            return self._version(deadline)
        with attendant.attending(self.access.endpoints, deadline - monotonic()):
            return self._version(deadline)

    def _version(self, deadline: float) -> str:
        since, tries = monotonic(), None
        asked_for, deadline = deadline, self._until(deadline)
        if (found := self._relayed(VERSION, {}, deadline)) is not None:
            return str(found.get("version", ""))
        while True:
            endpoint = self._endpoint()
            limit_s = min(self.access.request_s_max, max(0.05, deadline - monotonic()))
            failure: NotSent | Silent
            try:
                return self.wire.version(endpoint, limit_s)
            except (NotSent, Silent) as exc:
                failure = exc
            self._at += 1
            tries = tries or self._tries(since, deadline)
            self._try_again(tries, endpoint, failure, since, asked_for)

    def _note(self, told: dict[str, Any], seen: int, path: str) -> None:
        """Remember the newest revision, and that somebody answers; one that goes back would give tokens twice.

        Raises:
            RevisionWentBack: It is below one that was told of before this request was sent.
        """
        revision = int(told.get("header", {}).get("revision", 0))
        if path in _TXN_AND_RANGES and revision < seen:
            raise trouble.went_back(seen, revision)
        if revision > self.newest:
            self.newest = revision
        self._given_up = -_GIVEN_UP_S

    # -- streams ------------------------------------------------------------------------------------------------------

    def stream(self, path: str, body: dict[str, Any], deadline: float) -> Stream:
        """Open a stream of answers at the next endpoint; it is there when this returns.

        Raises:
            Answer: etcd said no.
            StoreError: It could not be opened there; the next call tries the next endpoint.
        """
        wire, endpoint = self.wire, self._endpoint()
        from latchboard.store.etcd.wire import Stream

        try:
            headers = self._headers(endpoint, deadline)
            return Stream(wire, endpoint, path, encode(body).encode(), headers, self.access.request_s_max)
        except (NotSent, Silent) as exc:
            self._at += 1
            if isinstance(exc, Foreign):
                raise trouble.no_gateway(endpoint, exc) from exc
            raise trouble.unavailable({endpoint: exc}, self.access.request_s_max) from exc
        except Answer as said:
            self._at += 1
            if said.needs_new_token:
                self._token = ""
            raise

    def left(self, endpoint: str) -> None:
        """A stream ended there: try another endpoint next."""
        if self._endpoint() == endpoint:
            self._at += 1

    # -- endpoints ----------------------------------------------------------------------------------------------------

    @property
    def wire(self) -> Wire:
        """The connections to the endpoints; what they need is loaded by who needs them.

        Raises:
            UsageError: It is not installed.
        """
        if self._made is None:
            try:
                from latchboard.store.etcd.wire import Wire
            except ModuleNotFoundError as exc:
                if exc.name != "urllib3":
                    raise
                raise UsageError(
                    f"the store is in an etcd cluster, and {exc.name} is not installed",
                    hint="pip install 'latchboard[etcd]'",
                ) from exc
            self._made = Wire(self.access)
        return self._made

    def _endpoint(self) -> str:
        endpoints = self.access.endpoints
        return endpoints[self._at % len(endpoints)]

    def close(self) -> None:
        """Close every connection; the next call opens new ones."""
        if self._made is not None:
            self._made.close()
        if self._relay is not None:
            self._relay.close()

    def give_up(self) -> None:
        """This process ends: end every call that nobody answers, now and later; from any thread."""
        if self._made is not None:
            self._made.give_up()

    @property
    def is_given_up(self) -> bool:
        """Whether it was."""
        return self._made is not None and self._made.is_given_up

    def after_fork(self) -> None:
        """In a forked child: the connections are the parent's."""
        if self._made is not None:
            self._made.after_fork()
        if self._relay is not None:
            self._relay.close()


def _may_be_done(failure: NotSent | Silent | Answer) -> bool:
    """Whether the request may have had an effect, or may still have one."""
    return not failure.was_not_done if isinstance(failure, Answer) else isinstance(failure, Silent)
