"""Run every benchmark and print one table; `--json FILE` keeps the figures, `--quick` takes a tenth of the time."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from typing import Any


def main() -> int:
    """Exit status 0 when every goal is met, 1 when one is missed."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("--json", metavar="FILE", help="write the result there")
    options.add_argument("--quick", action="store_true", help="fewer rounds: figures are rough")
    options.add_argument("--only", metavar="WORD", help="only benchmarks whose function name contains WORD")
    chosen = options.parse_args()
    share = 0.1 if chosen.quick else 1.0
    results = []
    for name, action in benchmarks(share):
        if chosen.only and chosen.only not in name:
            continue
        print(f"... {name}", file=sys.stderr, flush=True)
        told = action()
        results += told if isinstance(told, list) else [told]
    report = {
        "format": 1,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "results": results,
    }
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
            file.write("\n")
    show(results)
    return 0 if all(g["is_met"] for r in results for g in r["goals"]) else 1


def benchmarks(share: float) -> list[tuple[str, Any]]:
    """Name and action of each benchmark, in order."""
    from benchmarks import (
        credential,
        crowd,
        daemon,
        doctor,
        growth,
        hook,
        machine_lock,
        mail,
        page,
        process,
        queue_rivals,
        replay,
        serving,
        singleton,
        top,
        uncontended,
        web,
        worker,
        workqueue,
    )
    from benchmarks.etcd import crowd as etcd_crowd
    from benchmarks.etcd import distance as etcd_distance
    from benchmarks.etcd import growth as etcd_growth
    from benchmarks.etcd import hook as etcd_hook
    from benchmarks.etcd import pair as etcd_pair
    from benchmarks.etcd import rivals as etcd_rivals

    seconds = max(1.0, 5 * share)
    # Who deletes files by the thousand comes late: some file systems make new ones more slowly for a while after that.
    return [
        ("messages", lambda: mail.messages(int(2000 * share))),
        ("watch", lambda: mail.watch(int(1000 * share))),
        ("different_files", lambda: crowd.different_files(seconds)),
        ("one_file", lambda: crowd.one_file(seconds)),
        ("pair", lambda: uncontended.pair(int(5000 * share))),
        ("start_up", lambda: process.start_up(int(40 * share) + 5)),
        ("hook_edit", lambda: hook.edit(int(40 * share) + 5)),
        ("hook_commit", lambda: hook.commit(int(15 * share) + 3)),
        ("machine_lock", lambda: machine_lock.machine_lock(int(3000 * share))),
        ("singleton", lambda: singleton.register(max(300, int(1000 * share)))),
        ("daemon", lambda: daemon.verification(max(100, int(500 * share)))),
        ("push", lambda: web.push(int(300 * share) + 10)),
        ("large_board", lambda: web.large_board(int(100 * share) + 10)),
        ("page", lambda: page.page(int(20 * share) + 5)),
        ("top", lambda: top.top(int(40 * share) + 5)),
        ("idle_daemon", lambda: serving.idle(60 * share + 5)),
        ("orphans", lambda: serving.orphans(int(5 * share) + 2)),
        ("doctor", lambda: doctor.doctor(int(5 * share) + 2)),
        ("queue_pair", lambda: workqueue.pair(int(1000 * share))),
        ("queue_crowd", lambda: workqueue.crowd(int(10_000 * share))),
        ("queue_rivals_pair", lambda: queue_rivals.rivals_pair(int(1000 * share))),
        ("queue_rivals_crowd", lambda: queue_rivals.rivals_crowd(int(4000 * share))),
        ("worker", lambda: worker.worker(int(90 * share) + 10)),
        ("credential_overhead", lambda: credential.overhead(int(300 * share) + 10)),
        ("credential_crowd", lambda: credential.crowd(int(5 * share) + 1)),
        ("with_many_held", lambda: uncontended.with_many_held(int(3000 * share))),
        ("etcd_pair", lambda: etcd_pair.pair_and_watch(share)),
        ("etcd_hook", lambda: etcd_hook.edit(int(20 * share) + 3)),
        ("etcd_rivals", lambda: etcd_rivals.rivals(max(60, int(400 * share)))),
        ("etcd_crowd", lambda: etcd_crowd.crowd(*((200, 3, 6.0) if share >= 1 else (24, 1, 1.5)))),
        ("etcd_growth", lambda: etcd_growth.growth(share)),
        ("etcd_distance", lambda: etcd_distance.distance(max(5, int(25 * share)))),
        ("replay", lambda: replay.replay(share)),
        ("growth", lambda: growth.growth(share)),
    ]


def show(results: list[dict[str, Any]]) -> None:
    """The figures, then every goal with what was reached."""
    for result in results:
        print(f"\n{result['name']}")
        for name, figures in result["figures"].items():
            line = "  ".join(f"{key} {value:,}" for key, value in figures.items())
            ratio = result.get("ratio_to_floor", {}).get(name)
            print(f"  {name:<28} {line}" + (f"  {ratio:.2f} x floor" if ratio else ""))
    print("\ngoals")
    for result in results:
        for one in result["goals"]:
            mark = "met   " if one["is_met"] else "MISSED"
            print(f"  {mark} {result['name']}: {one['goal']} {one['value']:,} ({one['direction']} {one['limit']:,})")


if __name__ == "__main__":
    sys.exit(main())
