"""One process that refreshes a credential: `python -m tests.process.credential JSON`; also for benchmarks/.

It loads the credential as its caller does, says that it is ready by a file, waits for another file, and refreshes. Its
last line on standard output is what came of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from typing import Any

from latchboard.credential import FileCredentialStore, Limits
from latchboard.credential.oauth import OAuthRefresher
from latchboard.credential.transaction import run_refresh_transaction
from latchboard.errors import CoordinationError
from latchboard.host.secret_file import SecretFile


def main(given: dict[str, Any]) -> dict[str, Any]:
    store = FileCredentialStore(SecretFile(given["path"]))
    refresher = OAuthRefresher(credential="github", token_endpoint=given["endpoint"], client_id="me")
    grant = store.load()
    assert grant is not None
    with open(given["ready"], "x", encoding="utf-8"):
        pass
    while not os.path.exists(given["go"]):
        time.sleep(0.001)
    work = run_refresh_transaction(
        "github",
        store,
        refresher,
        lock_path=given["lock"],
        seen=grant.face,
        limits=Limits(**given.get("limits", {})),
        login_command="gh-login",
    )
    started_s = time.monotonic()
    try:
        answer = asyncio.run(work).facts()
    except CoordinationError as exc:
        answer = exc.to_json()
    return {**answer, "started_s": started_s, "ended_s": time.monotonic()}


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    print(json.dumps(main(json.loads(sys.argv[1]))))
