"""Credential: one refresh at a time on this machine, whoever asks, and never a newer grant lost.

Protocol: protocol/credential.md.
"""

from __future__ import annotations

from latchboard.credential.file import FileCredentialStore
from latchboard.credential.grant import Grant, Issued
from latchboard.credential.port import CredentialStore, GrantRefused, Refresher
from latchboard.credential.result import RefreshOutcome, RefreshResult
from latchboard.credential.secret import Secret
from latchboard.credential.transaction import Limits, run_refresh_transaction

__all__ = [
    "CredentialStore",
    "FileCredentialStore",
    "Grant",
    "GrantRefused",
    "Issued",
    "Limits",
    "RefreshOutcome",
    "RefreshResult",
    "Refresher",
    "Secret",
    "run_refresh_transaction",
]
