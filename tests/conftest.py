"""What all tests share: the lanes, the profiles of hypothesis, and what a test may require of the machine.

Lanes. A test is `fast` by its folder (see `FAST`), unless it is marked slow, process or soak, or is one of those that
run on every store and has the one in files. Soak tests are deselected unless LATCHBOARD_SOAK=1.

Skips. A test says what it needs with `@pytest.mark.needs_tool("strace")` or the fixtures `require_tool` and `require`.
Where that is missing it is skipped by name; with LATCHBOARD_REQUIRE_ALL=1 it fails, and so does every other skip
whose reason does not begin with "not applicable: ". So nothing is left out of the gate in silence.

Folders. Temporary folders are in memory, where there is room: thousands of stores need not wait for a disk.

Boards. A test in a temporary folder that makes no board finds none: above the temporary folders there must not be any.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests import rewriting

TESTS = Path(__file__).parent
FAST = ("rules/", "services/", "tidy/", "vectors/", "store/test_memory")
ALL_FAST = ("rules/", "vectors/")
"""Folders of which the rest has only the modules that name a mark of it."""
TOGETHER = {"tests/surface/web/test_page": "a browser", "tests/surface/mcp/test_inspector": "the inspector"}
"""Tests of one worker, by how their names begin: what they need is costly to start, or measures its own speed."""
BOARD = "data/.agent_locks"
NOT_APPLICABLE = "not applicable: "
REQUIRE_ALL = os.environ.get("LATCHBOARD_REQUIRE_ALL") == "1"
SOAK = os.environ.get("LATCHBOARD_SOAK") == "1"
ON_ETCD = os.environ.get("ENGINE_FOR_TESTS") == "etcd"
"""The services' tests have etcd in the place of memory (tests/services/engine.py): files are no concern of that run."""


def _memory() -> str | None:
    """Where hundreds of stores are kept without a wait for fsync; None (the disk) where there is little room.

    Or where no program may be run, as in a container: tests make programs.
    """
    place = "/dev/shm"
    has_room = os.access(place, os.W_OK) and shutil.disk_usage(place).free >= 1024**3
    return place if has_room and not os.statvfs(place).f_flag & os.ST_NOEXEC else None


MEMORY = _memory()
if MEMORY:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)

# The settings of whoever runs the tests, or of a git hook that runs them, are not the settings of the tests.
for _name in list(os.environ):
    if _name.startswith("LATCHBOARD_") and _name not in ("LATCHBOARD_REQUIRE_ALL", "LATCHBOARD_SOAK"):
        del os.environ[_name]
for _name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_WORK_TREE"):
    os.environ.pop(_name, None)
# Under nohup the one is ignored, behind a shell's `&` the others, and by everybody whom the tests start, too.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

_slow_is_fine = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large]
ONE_FIXTURE = [*_slow_is_fine, hypothesis.HealthCheck.function_scoped_fixture]
"""What a test suppresses whose examples share a fixture: what it says stands in the place of the profile's list."""
hypothesis.settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, suppress_health_check=_slow_is_fine
)
hypothesis.settings.register_profile(
    "soak",
    deadline=None,
    max_examples=3000,
    print_blob=True,
    stateful_step_count=100,
    suppress_health_check=_slow_is_fine,
)
hypothesis.settings.load_profile("soak" if SOAK else "ci")


def examples(count: int) -> hypothesis.settings:
    """At most so many examples of a test that is costly or has many parameters; in the soak as many as ever."""
    return hypothesis.settings() if SOAK else hypothesis.settings(max_examples=count)


def pytest_report_header() -> str:
    profile = "soak" if SOAK else "ci"
    return f"latchboard: hypothesis profile {profile}; missing tools {'fail' if REQUIRE_ALL else 'skip'}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """No lane loads what it has nothing in: that takes as long as a third of the tests of the fast one."""
    lane = config.getoption("markexpr")
    if lane not in ("fast", "not fast") or not collection_path.is_relative_to(TESTS):
        return None
    path = collection_path.relative_to(TESTS).as_posix()
    if lane == "not fast":
        return True if path.startswith(ALL_FAST) and collection_path.is_file() and _is_fast(collection_path) else None
    is_above = any(folder.startswith(f"{path}/") for folder in FAST)
    return None if path == "." or is_above or f"{path}/".startswith(FAST) else True


def _is_fast(module: Path) -> bool:
    """Whether a module of the folders `ALL_FAST` has no test of the rest: it names no mark of it."""
    return not re.search(r"\bmark\.(slow|process|soak)\b", module.read_text(encoding="utf-8"))


def pytest_collection(session: pytest.Session) -> None:
    config = session.config
    if config.args_source == pytest.Config.ArgsSource.TESTPATHS:
        modules = sorted(TESTS.rglob("test_*.py"))
        rewriting.rewrite_share(config, [one for one in modules if not pytest_ignore_collect(one, config)])


def pytest_collection_finish() -> None:
    """What is loaded by now stays: collecting garbage, and each fork of a test, need not go through it again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Groups by name: the marks of pytest-xdist 3.8 do nothing with pytest 9.2, and say nothing of it."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((group for start, group in TOGETHER.items() if nodeid.startswith(start)), nodeid)

    return Scheduling(config, log)


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        heavy = any(item.get_closest_marker(name) for name in ("slow", "process", "soak")) or _is_on_files(item)
        path = _place(item)
        if not heavy and path.startswith(FAST):
            item.add_marker(pytest.mark.fast)
        elif path.startswith(ALL_FAST) and _is_fast(item.path):
            raise pytest.UsageError(f"{item.nodeid}: no lane has it, for its module does not name the mark of the rest")
        is_left_out = (item.get_closest_marker("soak") and not SOAK) or (ON_ETCD and _is_on_files(item))
        (dropped if is_left_out else kept).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def _is_on_files(item: pytest.Item) -> bool:
    """Whether a service's test is to be run on files: `params=["memory", "files"]` of a fixture."""
    given = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return "files" in given.values() and _place(item).startswith("services/")


def _place(item: pytest.Item) -> str:
    return str(item.path).removeprefix(f"{TESTS}/")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs_tool"):
        for name in marker.args:
            _require_tool(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_undeclared_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_undeclared_skip(report)
    return report


def _fail_undeclared_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if NOT_APPLICABLE not in reason:
            report.outcome = "failed"
            report.longrepr = f"LATCHBOARD_REQUIRE_ALL=1 allows no skip but '{NOT_APPLICABLE}...'; this was: {reason}"


def _require(condition: object, reason: str) -> None:
    if condition:
        return
    if REQUIRE_ALL:
        pytest.fail(f"required by LATCHBOARD_REQUIRE_ALL=1: {reason}", pytrace=False)
    pytest.skip(reason)


def _require_tool(name: str) -> str:
    path = shutil.which(name)
    _require(path, f"{name} is not installed")
    return str(path)


def stray_boards(folder: Path) -> list[str]:
    """The boards above `folder`: tests in it that make none of their own would use, and change, somebody else's."""
    return [str(above / BOARD) for above in folder.resolve().parents if (above / BOARD).exists()]


@pytest.fixture(scope="session", autouse=True)
def no_stray_board(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Fails every test when a board lies above the temporary folders."""
    base = tmp_path_factory.getbasetemp()
    stray = stray_boards(base)
    if stray:
        pytest.fail(f"{', '.join(stray)} is above {base}: remove it, or test elsewhere (--basetemp)", pytrace=False)


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """`require_tool("strace")` is the program's path; without it the test is skipped (or fails, see above)."""
    return _require_tool


@pytest.fixture(scope="session")
def require() -> Callable[[object, str], None]:
    """`require(condition, reason)`: as `require_tool`, for anything else (a right, a kind of file system)."""
    return _require


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A folder in memory, where there is such a place."""
    path = tempfile.mkdtemp(prefix="latchboard-", dir=MEMORY)
    yield Path(path)
    shutil.rmtree(path)
