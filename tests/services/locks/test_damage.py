"""Damaged records: whatever stands there, it is never read as free, and nothing but a typed error comes out."""

from __future__ import annotations

import copy
import functools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from latchboard.errors import MalformedRecord, ProtocolError, StoreError
from latchboard.locks import Hold, handoff
from latchboard.locks.looking import waiters
from tests.conftest import MEMORY
from tests.services.locks.scene import Scene

SCHEMAS = Path(__file__).parents[3] / "protocol" / "schema"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(st.text(max_size=8), json_values, max_size=4)


@functools.cache
def schema(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8")))


class Held(Scene):
    """src/a.py is held by an agent whose own time is up and whose lease lasts; somebody waits for it, too."""

    def __init__(self, root: Any) -> None:
        super().__init__(root)
        holder = self.process()
        self.hold = holder.agent("holder").lock("src/a.py", "lib/", bound="agent", ttl_s=100)
        self.waiter = self.process().line("waiter", "src/a.py")
        self.clock.advance(60)
        self.hold.renew()
        self.clock.advance(60)
        assert self.hold.is_live()

    def keys(self) -> dict[str, Any]:
        """Every record that says that src/a.py is held."""
        names = ("locks/src/a.py", "leases/holder", f"waiters/{self.waiter.id}", "wide")
        return {name: self.store.read(name).get(name) for name in names}


@pytest.fixture(scope="module")
def root() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield folder


def everything_that_asks(scene: Held) -> list[Any]:
    """Every call that reads those records, from another process; what each gave, or its typed error."""
    process = scene.process()
    locks = process.locks
    calls = [
        lambda: process.agent("x").try_lock("src/a.py"),
        lambda: process.agent("x").try_lock("src/"),
        lambda: process.agent("x").try_lock("glob:**/*.py", shared=True),
        lambda: locks.check(["src/a.py"]),
        lambda: locks.check(["./"]),
        lambda: waiters(locks),
        lambda: handoff.requests(locks, "holder"),
        lambda: handoff.grant(locks, scene.waiter.id, by="nobody"),
        lambda: process.line("y", "src/a.py", wait_s_max=1.0),
        scene.waiter.step,
        scene.hold.is_live,
        lambda: locks.release_names("nobody"),
    ]
    found: list[Any] = []
    for call in calls:
        try:
            found.append(call())  # type: ignore[no-untyped-call]
        except (ProtocolError, StoreError) as exc:
            found.append(exc)
        except Exception as exc:
            if type(exc).__name__ not in ("UsageError", "Deadlock"):  # there is no such handoff; a cycle
                raise
            found.append(exc)
    return found


@given(which=st.sampled_from(["locks/src/a.py", "leases/holder", "waiter", "wide"]), value=json_objects)
def test_arbitrary_record_is_never_free(root: str, which: str, value: dict[str, Any]) -> None:
    scene = Held(root)
    key = f"waiters/{scene.waiter.id}" if which == "waiter" else which
    scene.put(key, {k: v for k, v in value.items() if k not in ("key", "mod_revision")})

    found = everything_that_asks(scene)

    assert not any(isinstance(one, Hold) and one.agent in "xy" for one in found)


PLACES = [
    (),
    ("name",),
    ("holders",),
    ("waiters",),
    ("names",),
    ("names", 0),
    ("agent",),
    ("bound",),
    ("ttl_s",),
    ("renewed",),
    ("renewed", "mono_s"),
    ("renewed", "boot"),
    ("chains",),
    ("chains", 0),
    ("chains", 0, "since"),
    ("chains", 0, "ttl_s"),
    ("holders", 0),
    *[("holders", 0, field) for field in ("agent", "mode", "bound", "token", "request", "acquired", "ttl_s", "lease")],
    *[("holders", 0, field) for field in ("depth", "reason", "process", "entries", "claim", "link", "first_token")],
    ("holders", 0, "acquired", "boot"),
    ("holders", 0, "acquired", "mono_s"),
    ("holders", 0, "process", "pid"),
    ("waiters", 0),
    *[("waiters", 0, field) for field in ("request", "agent", "mode", "seq")],
    ("wants",),
    ("wants", 0),
    ("wants", 0, "name"),
    ("wants", 0, "mode"),
    ("since",),
    ("wait_s_max",),
    ("attended",),
    ("handoff",),
    ("blocked_by",),
    ("seq",),
    ("request",),
]


@given(
    key=st.sampled_from(["locks/src/a.py", "leases/holder", "waiter", "wide", "locks/lib/"]),
    place=st.sampled_from(PLACES),
    value=st.just("(gone)") | json_values,
)
def test_record_with_one_field_wrong_is_malformed_or_still_held(root: str, key: str, place: Any, value: Any) -> None:
    """Against the schema, which knows nothing of the code: what it refuses, nobody may take for free."""
    scene = Held(root)
    key = f"waiters/{scene.waiter.id}" if key == "waiter" else key
    record = copy.deepcopy(scene.store.read(key).get(key))
    if not _put_at(record, place, value) or not isinstance(record, dict) or {"key", "mod_revision"} & set(record):
        return
    scene.put(key, record)

    found = everything_that_asks(scene)

    granted = [one for one in found if isinstance(one, Hold) and one.agent in "xy"]
    if granted:
        name = key.partition("/")[0]
        assert name in ("locks", "leases"), f"{key} says nothing about who holds"
        assert schema({"locks": "lock", "leases": "lease"}[name]).is_valid(record)
        assert _is_free_by_hand(scene, record if name == "locks" else None)


def _put_at(record: Any, place: tuple[Any, ...], value: Any) -> bool:
    """Change one field; False: there is no such place."""
    if not place:
        record.clear()
        return True
    for step in place[:-1]:
        if not isinstance(record, dict | list) or (step not in record if isinstance(record, dict) else not record):
            return False
        record = record[step]
    last = place[-1]
    if isinstance(record, list):
        if not record:
            return False
        record[last] = value
    elif isinstance(record, dict):
        if value == "(gone)":
            return record.pop(last, None) is not None
        record[last] = value
    else:
        return False
    return True


def _is_free_by_hand(scene: Held, lock: Any) -> bool:
    """A valid record that says by itself that nobody holds the name: no holders, or all of them over."""
    if lock is None:
        return True  # a valid lease that was renewed too long ago: the hold's own time is up
    now = scene.clock.now()
    for held in lock["holders"]:
        same_boot = held["acquired"]["boot"] == now.boot
        is_old = same_boot and now.mono_s - held["acquired"]["mono_s"] >= held["ttl_s"]
        if not is_old and (same_boot or held["bound"] == "agent"):
            return False
    return True


# -- one by one -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [{}, {"names": None}, {"names": [5]}, {"names": [""]}, {"names": ["a\0"]}])
def test_damaged_index_keeps_everybody_out(tmp_path: Any, damage: Any) -> None:
    scene = Scene(tmp_path)
    hold = scene.process().agent("a").lock("src/", "x.py")
    scene.put("wide", damage)

    for asked in ("src/b.py", "y.py", "docs/"):
        with pytest.raises(MalformedRecord, match="wide"):
            scene.process().agent("b").try_lock(asked)
        with pytest.raises(MalformedRecord, match="wide"):
            scene.process().locks.check([asked])
    assert hold.is_live()


def test_damaged_lease_of_a_holder_counts_as_held(tmp_path: Any) -> None:
    scene = Held(tmp_path)
    scene.put("leases/holder", {"renewed": "yesterday"})

    with pytest.raises(MalformedRecord, match="leases/holder"):
        scene.process().agent("x").try_lock("src/a.py")
    with pytest.raises(MalformedRecord):
        scene.process().locks.check(["src/a.py"])


def test_damage_beside_a_folder_is_no_concern_of_its_holder(tmp_path: Any) -> None:
    scene = Scene(tmp_path)
    scene.put("locks/docs/x.md", {"name": 5})

    assert scene.process().agent("a").lock("src/").release()
    with pytest.raises(MalformedRecord):
        scene.process().agent("a").lock("docs/")


def test_damage_of_one_name_does_not_keep_the_others_from_being_released(tmp_path: Any) -> None:
    scene = Scene(tmp_path)
    hold = scene.process().agent("a").lock("x.py", "y.py")
    scene.put("locks/x.py", {"name": 5})

    with pytest.raises(MalformedRecord, match=r"locks/x\.py"):
        hold.release()

    assert scene.process().agent("b").try_lock("y.py")


def test_release_of_everything_passes_by_what_cannot_be_read(tmp_path: Any) -> None:
    scene = Scene(tmp_path)
    process = scene.process()
    process.agent("a").lock("x.py", "y.py")
    scene.put("locks/x.py", {"name": 5})

    assert process.locks.release_names("a") == ["y.py"]
    with pytest.raises(MalformedRecord):
        process.locks.release_names("a", ["x.py"])


def test_fields_that_are_not_known_are_kept(tmp_path: Any) -> None:
    scene = Scene(tmp_path)
    process = scene.process()
    hold = process.agent("a").lock("x.py")
    record = scene.record("x.py")
    record["note"], record["holders"][0]["note"] = "of the record", "of the hold"
    scene.put("locks/x.py", record)

    waiter = scene.process().line("w", "x.py")
    with process.agent("a").lock("x.py"):
        pass

    after = scene.record("x.py")
    assert (after["note"], after["holders"][0]["note"]) == ("of the record", "of the hold")
    assert hold.release() and waiter.holds
    assert scene.record("x.py")["note"] == "of the record"


def test_record_of_a_version_to_come_that_says_an_unknown_mode_is_malformed(tmp_path: Any) -> None:
    scene = Scene(tmp_path)
    scene.process().agent("a").lock("x.py")
    record = scene.record("x.py")
    record["holders"][0]["mode"] = "intent"
    scene.put("locks/x.py", record)

    with pytest.raises(MalformedRecord, match="mode or bound is unknown"):
        scene.process().agent("b").try_lock("x.py", shared=True)
