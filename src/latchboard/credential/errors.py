"""Errors of credentials: a family of its own, since nobody else raises them and no hook needs them.

Protocol: protocol/cli.md, "Exit statuses"; protocol/credential.md.
"""

from __future__ import annotations

from latchboard.errors import CoordinationError


class CredentialError(CoordinationError):
    """A credential cannot be refreshed. No error of this family has a token in it. Fields: credential."""

    code = "credential-error"


class RefreshRejected(CredentialError):
    """The issuer said no for a reason that is not the grant's; the grant is kept. Fields: credential, cause."""

    code = "refresh-rejected"


class RefreshFailed(CredentialError):
    """The issuer could not be asked, or gave no usable answer; the grant is kept. Fields: credential, cause."""

    code = "refresh-failed"
    exit_status = 13
    retryable = True


class RefreshBusy(CredentialError):
    """Another process is refreshing, and its result did not come in time. Fields: credential, waited_s."""

    code = "refresh-busy"
    exit_status = 10
    retryable = True


class NoUsableGrant(CredentialError):
    """There is no grant, or the issuer ended it. Fields: credential, cause, command."""

    code = "no-usable-grant"
