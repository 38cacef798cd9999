"""Digest: SHA-256 of a few bytes, without OpenSSL, which importing hashlib loads and a short-lived process feels."""

from __future__ import annotations

try:
    from _sha256 import sha256  # CPython 3.11
except ImportError:
    try:
        from _sha2 import sha256  # CPython 3.12 and later
    except ImportError:
        from hashlib import sha256

__all__ = ["sha256"]
