"""Cost: what members of a cluster say that they have used, between two moments."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.store.etcd.server import Place

_CPU = "process_cpu_seconds_total"
_SENT = "etcd_network_client_grpc_sent_bytes_total"
_TAKEN = "etcd_network_client_grpc_received_bytes_total"
_SIZE = "etcd_mvcc_db_total_size_in_bytes"
_IN_USE = "etcd_mvcc_db_total_size_in_use_in_bytes"
_FLUSHED_S = "etcd_disk_wal_fsync_duration_seconds_sum"
_FLUSHES = "etcd_disk_wal_fsync_duration_seconds_count"
_MEMORY = "process_resident_memory_bytes"
_NAMES = (_CPU, _SENT, _TAKEN, _SIZE, _IN_USE, _FLUSHED_S, _FLUSHES, _MEMORY)


class Cost:
    """What was used since this was made, by all members together.

    Bytes are those of etcd's own protocol, before its gateway makes JSON of them: a third more, and the names.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._before = _told(place)

    def of(self, commits: int) -> dict[str, float]:
        """By commit: CPU time in ms, bytes read by clients and sent by them, ms that a flush of the log took."""
        now = _told(self._place)
        used = {name: now[name] - self._before[name] for name in _NAMES}
        return {
            "etcd_cpu_ms": round(used[_CPU] / commits * 1e3, 3),
            "read_bytes": round(used[_SENT] / commits),
            "sent_bytes": round(used[_TAKEN] / commits),
            "db_bytes": round(used[_IN_USE] / commits),
            "flush_ms": round(used[_FLUSHED_S] / max(1, used[_FLUSHES]) * 1e3, 3),
        }

    def cpu_s(self) -> float:
        """CPU time since then."""
        return _told(self._place)[_CPU] - self._before[_CPU]


def standing(place: Place) -> dict[str, float]:
    """How large the database and the process of one member are now, MB."""
    told = _told(place)
    count = len(place.members)
    return {"db_mb": round(told[_SIZE] / count / 1e6, 1), "etcd_mb": round(told[_MEMORY] / count / 1e6)}


def _told(place: Place) -> dict[str, float]:
    found = dict.fromkeys(_NAMES, 0.0)
    for member in place.members:
        with urllib.request.urlopen(f"{member.client}/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                name, _, value = line.partition(" ")
                if name in found:
                    found[name] += float(value)
    return found
