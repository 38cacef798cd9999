"""A daemon of which one runs: it works until it is told to stop, and a second one says who is in the way.

    python examples/one_daemon.py            # a tick each second, until Ctrl-C or kill
    python examples/one_daemon.py --ticks 3  # three ticks

Run it in any folder of a project. Exit status 10: another one runs.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from latchboard import AgentAlreadyRunningError, enforce_singleton


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--ticks", type=int, default=0, help="end after so many; 0: never")
    options.add_argument("--tick-s", type=float, default=1.0, help="seconds between two")
    chosen = options.parse_args()

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        registration = enforce_singleton("code_developer")
    except AgentAlreadyRunningError as exc:
        print(f"process {exc.pid} runs since {exc.started_at}; {exc.next_step}", file=sys.stderr)
        return 10
    with registration:
        ticks = 0
        while not stop.is_set() and registration.is_held():  # not held: an operator started another one by force
            ticks += 1
            print(f"tick {ticks}", flush=True)
            if ticks == chosen.ticks or stop.wait(chosen.tick_s):
                break
    print("stopped", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
