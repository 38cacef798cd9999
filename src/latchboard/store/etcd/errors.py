"""Errors that only an engine on other machines has; whoever handles `StoreError` handles them.

Protocol: protocol/cli.md, "Exit statuses"; protocol/etcd.md.
"""

from __future__ import annotations

from latchboard.errors import StoreError, StoreForbidden, StoreUnavailable


class OutcomeUnknown(StoreUnavailable):
    """The engine did not say what became of a commit: it may stand or not. Look, then do what is still missing."""

    code = "store-outcome-unknown"
    retryable = False


class StoreUnreachable(StoreUnavailable):
    """No endpoint will ever answer as it is asked: its certificate, or whether TLS is spoken. Fields: endpoints."""

    code = "store-unreachable"
    retryable = False


class AuthRefused(StoreForbidden):
    """The engine knows neither this user nor this password, or lets it not do that. Fields: user, endpoint."""

    code = "auth-refused"


class VersionRefused(StoreError):
    """The engine is too old to be trusted. Fields: found, floor, endpoint."""

    code = "version-refused"


class RevisionWentBack(StoreError):
    """The engine tells of a revision that is older than one it told of before. Fields: seen, found."""

    code = "revision-went-back"
