"""The doctor changes nothing, shows no secret, is in time, and loses nothing to what hangs or breaks (K25, K26)."""

from __future__ import annotations

import ast
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from latchboard import DoctorReport, Latchboard, Settings, assemble_report
from latchboard.doctor.check import Check, Seen
from latchboard.doctor.report import assemble
from latchboard.doctor.storage import mount
from latchboard.rules.finding import SECTIONS, Finding
from latchboard.store.files.mount import network_mount
from tests.process import test_doctor_findings as scenes
from tests.process.nursery import Channel, Nursery
from tests.process.test_doctor_findings import SCENES, configured
from tests.process.ward import PATIENT, UNHURRIED_S, Ward
from tests.surface.cli.harness import validate

pytestmark = pytest.mark.process

IN_TIME_S = 14.0
"""The deadline is 4 s here, for what does not hang; what hangs does so for 15 s. A busy machine has its own ideas."""
WRITING = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND")
NEVER = {
    *("chmod", "chown", "fallocate", "fchmod", "fchmodat", "fchown", "fchownat", "fdatasync", "fsync", "ftruncate"),
    *("link", "linkat", "mkdir", "mkdirat", "mknod", "mknodat", "pwrite64", "pwritev", "rename", "renameat"),
    *("renameat2", "rmdir", "setxattr", "symlink", "symlinkat", "truncate", "unlink", "unlinkat", "utimensat"),
    *("fork", "vfork", "kill", "tkill", "pidfd_send_signal", "execveat"),
}
"""System calls that change a file, start a process or signal one."""


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # the interpreter's own files are not the doctor's
    made = Ward(tmp_path, monkeypatch.setenv)
    yield made
    made.close()


# -- nothing is changed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage", [one for _, one, _ in SCENES if one is not scenes.stale_entry], ids=lambda one: one.__name__
)
def test_a_look_changes_no_byte_and_no_time(ward: Ward, damage: Any) -> None:
    damage(ward)
    before = ward.files()

    for options in ({}, {"threshold_s": 0.0}):
        assert isinstance(ward.look(**options), DoctorReport)

    assert ward.files() == before


@pytest.mark.needs_tool("strace")
def test_no_system_call_changes_anything_or_leaves_this_machine(ward: Ward, tmp_path: Path) -> None:
    configured(ward)
    ward.fill().close()
    scenes.torn_tail(ward)
    scenes.open_token(ward)
    elsewhere = {**_state(), "host": "192.0.2.1"}  # an address that a record names is not asked
    (ward.registry / "serve.state").write_text(json.dumps(elsewhere))
    log = tmp_path / "calls"
    command = ["strace", "-f", "-o", str(log), sys.executable, "-B", "-m", "latchboard", "doctor", "--json"]

    done = subprocess.run(command, cwd=ward.root, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 1, done.stderr
    assert len(json.loads(done.stdout)["findings"]) > 1
    calls = [line.split(maxsplit=1)[1] for line in log.read_text(errors="replace").splitlines()]
    # Signal 0 asks whether a process is there: of one that ended while it was looked at.
    calls = [call for call in calls if not re.match(r"kill\(\d+, 0\)", call)]
    names = {match.group(1) for call in calls if (match := re.match(r"([a-z_0-9]+)\(", call))}
    assert names & NEVER == set()
    opened = [call for call in calls if re.match(r"(open|openat|openat2|creat)\(", call)]
    assert [call for call in opened if any(word in call for word in WRITING) and "/dev/null" not in call] == []
    assert [call for call in calls if call.startswith("clone") and "CLONE_THREAD" not in call] == []
    assert [call for call in calls if re.match(r"flock\(|fcntl\(\d+, F_(OFD_)?SETLKW?", call)] == []
    connected = [call for call in calls if re.match(r"(connect|sendto|sendmsg|bind)\(", call) and "AF_" in call]
    assert connected, "the ports of daemons were asked"
    assert [call for call in connected if not re.search(r'inet_addr\("127\.|"::1"', call)] == []


def test_repairs_do_nothing_without_their_finding(ward: Ward) -> None:
    configured(ward)
    ward.fill().close()
    before = ward.files()

    done = ward.doctor("--reset", "--unstick-lock", "--fix", "--force", "--json")

    assert (done.returncode, json.loads(done.stdout)["deeds"]) == (0, [])
    assert ward.files() == before


def test_repairs_do_nothing_without_a_word_more(ward: Ward) -> None:
    path = configured(ward)
    path.write_text("{")
    scenes.lost_lock(ward)
    before = ward.files()

    for words in (["--reset", "--fix"], ["--reset", "--fix", "--unstick-lock", "--force", "--dry-run"]):
        done = ward.doctor(*words)
        assert done.returncode == 1
        assert "--fix: would be done: the record locks/src/1.py is made what its last commit says" in done.stdout
        assert "--reset: would be done: the record of the credential github is set aside" in done.stdout
        assert "\nto do it: latchboard doctor --reset" in done.stdout

    assert ward.files() == before


def test_each_repair_touches_its_own_finding_alone(ward: Ward) -> None:
    path = configured(ward)
    path.write_text("{")
    lock = path.with_suffix(".json.lock")
    lock.write_text(json.dumps({"schema_version": 1, "pid": 4242, "started_at": "2026-01-01T00:00:00Z"}))
    scenes.lost_lock(ward)

    ids = [one.id for one in ward.look().findings]
    ward.doctor("--unstick-lock")
    after_unsticking = [one.id for one in ward.look().findings]
    ward.doctor("--fix", "--force")
    after_fixing = [one.id for one in ward.look().findings]
    ward.doctor("--reset", "--force")
    (last,) = ward.look().findings

    assert ids == ["F-001", "F-003", "F-104"]
    assert after_unsticking == ["F-001", "F-104"]
    assert after_fixing == ["F-001"]
    assert (last.id, last.about["state"]) == ("F-001", "missing")


def test_a_repair_keeps_what_was_there_before(ward: Ward) -> None:
    scenes.garbage_lock(ward)
    lock = scenes.lock_file(ward)
    journal = ward.journal().read_bytes()

    done = ward.doctor("--fix", "--force", "--json")

    (deed,) = json.loads(done.stdout)["deeds"]
    kept = Path(deed["kept"])
    assert deed["is_done"]
    assert (kept / lock.name).read_bytes() == b"\0garbage"
    assert (kept / "journal" / ward.journal().name).read_bytes() == journal
    assert kept.stat().st_mode & 0o777 == 0o700
    assert ward.board().locks.check(["src/1.py"])[0]["agent"] == "planner"


# -- nothing is shown -------------------------------------------------------------------------------------------------

SECRET = "S3cr3t-0123456789abcdef"


def _state() -> dict[str, Any]:
    me = {"host": "m", "boot": "b", "pid_ns": 1, "pid": 4242, "start": 7}
    return {
        "schema_version": 1,
        "pid": 4242,
        "process": me,
        "host": "127.0.0.1",
        "port": 1,
        "version": "1.0",
        "protocol_version": 1,
        "started_at": "2026-11-21T03:00:00.000000Z",
        "allowed_hosts": [],
    }


def _plant(ward: Ward, *, damaged: bool) -> None:
    """The secret wherever a secret can come to stand."""
    path = configured(ward, access_token=SECRET, refresh_token=SECRET, scope=SECRET)
    board = ward.fill()
    board.board.update("planner", SECRET, [])
    board.mailbox.send("planner", "builder", SECRET, subject=SECRET, ack="required", ack_by_s=0.001)
    board.agent("planner").lock("src/late.py", bound="agent", ttl_s=0.001, reason=SECRET)
    board.store.transact(lambda view: view.put("locks/src/odd.py", {"name": SECRET}), who="planner")
    board.close()
    ward.registry.mkdir(parents=True)
    (ward.registry / "serve.token").write_text(SECRET)
    (ward.registry / "serve.state").write_text(json.dumps({**_state(), "secret": SECRET}))
    (ward.registry / "architect.json").write_text(json.dumps({"token": SECRET}))
    (ward.registry / "daemon.json").write_text(json.dumps({"process": {"pid": SECRET}}))
    (ward.root / ".claude").mkdir()
    (ward.root / ".claude" / "settings.json").write_text(json.dumps({"hooks": {}, "env": {"TOKEN": SECRET}}))
    record = {"schema_version": 1, "pid": 1, "started_at": "2026-01-01T00:00:00Z", "token": SECRET}
    path.with_suffix(".json.lock").write_text(json.dumps(record))
    if not damaged:
        return
    path.write_text(f'{{"access_token": "{SECRET}"')
    (ward.root / ".claude" / "settings.json").write_text(f"{{{SECRET}")
    (ward.store / "FORMAT").write_text(f'{{"format": "{SECRET}"}}')
    (ward.store / "agents" / "x.json").write_text(f'{{"key": "{SECRET}", "mod_revision": 1}}')
    scenes.lock_file(ward).write_text(f'{{"key": "locks/{SECRET}", "mod_revision": "{SECRET}"}}')
    (ward.registry / "serve.state").write_text(f"{{{SECRET}")
    with ward.journal().open("ab") as file:
        file.write(f'{{"revision":"{SECRET}"'.encode())
    (ward.root / "latchboard.toml").write_text(f'lease_ttl_s = "{SECRET}"\n')


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("words", [(), ("--json",), ("--fix", "--reset", "--unstick-lock")])
def test_no_secret_is_shown_wherever_it_stands(ward: Ward, damaged: bool, words: tuple[str, ...]) -> None:
    _plant(ward, damaged=damaged)
    environment = {**os.environ, "LATCHBOARD_TRACEBACK": "1", "GITHUB_CLIENT_SECRET": SECRET}

    done = ward.doctor(*words, env=environment)

    assert done.returncode == 1, done
    assert "F-00" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    assert SECRET[:8] not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "line",
    [
        f'token_endpoint = "https://user:{SECRET}@issuer.example/token"',
        f'token_endpoint = "https://issuer.example/token"\nclient_secret = "{SECRET}"',
        f'token_endpoint = "ftp://{SECRET}"',
    ],
)
def test_no_secret_of_a_wrong_configuration_is_shown(ward: Ward, line: str) -> None:
    (ward.root / "latchboard.toml").write_text(f'[credential.github]\nclient_id = "c"\n{line}\n')

    done = ward.doctor("--json")

    (found,) = json.loads(done.stdout)["findings"]
    assert (found["id"], found["about"]["state"]) == ("F-001", "misconfigured")
    assert SECRET not in done.stdout + done.stderr


def test_what_a_listener_says_is_not_repeated(ward: Ward) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        (ward.registry).mkdir(parents=True)
        (ward.registry / "serve.state").write_text(json.dumps({**_state(), "port": port}))
        body = json.dumps({"product": "latchboard", "version": "9", "protocol_version": 1, "pid": 7, "token": SECRET})
        answer = f"HTTP/1.1 200 OK\r\nX-Token: {SECRET}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        thread = threading.Thread(target=_answer_once, args=(listener, answer.encode()))
        thread.start()

        done = ward.doctor("--json")

        thread.join(10)
    assert "F-004" in done.stdout or "F-006" in done.stdout, done
    assert SECRET not in done.stdout + done.stderr


def _answer_once(listener: socket.socket, answer: bytes) -> None:
    listener.settimeout(10)
    connection, _ = listener.accept()
    with closing(connection):
        connection.recv(4096)
        connection.sendall(answer)


def test_names_of_strangers_steer_no_terminal_and_run_nothing(ward: Ward) -> None:
    board = ward.board()
    name = "\x1b[31mred\n$(touch ran)`touch ran`'\"; touch ran #"
    board.agent("it's $(touch ran)").lock("a.py", bound="agent", ttl_s=0.001)
    board.mailbox.send("planner", "$(touch ran)'; touch ran; '", "answer", ack="required", ack_by_s=0.001)
    board.store.transact(lambda view: view.put(f"locks/{name}", {"name": name}), who="planner")
    board.close()

    plain = ward.doctor()
    answer = json.loads(ward.doctor("--json").stdout)

    assert "\x1b" not in plain.stdout
    for one in answer["findings"]:
        done = ward.run(one["remedy"])
        assert done.returncode in (0, 1), (one["remedy"], done)
    assert not list(ward.root.rglob("ran"))
    assert [one["id"] for one in json.loads(ward.doctor("--json").stdout)["findings"]] == ["F-118"]


# -- in time ----------------------------------------------------------------------------------------------------------


def _beside_a_hang(ward: Ward, path: Path) -> tuple[Any, int]:
    """The report where whatever opens this path stands still, and how the command ended."""
    slow = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(path), "-e", "inject=openat:delay_enter=15s"]
    command = [*slow, *PATIENT, "doctor", "--json"]
    environment = {**os.environ, "PATIENT_S": "4"}
    began_s = monotonic()
    with subprocess.Popen(command, cwd=ward.root, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        report = json.loads(process.stdout.readline())
        took_s = monotonic() - began_s
        status = process.wait(60)
    validate("doctor", report)
    assert report["took_ms"] < IN_TIME_S * 1000
    assert took_s < IN_TIME_S, "it does not wait for what hangs"
    return report, status


@pytest.mark.needs_tool("strace")
def test_settings_that_hang_are_told_and_waited_for_no_longer(ward: Ward) -> None:
    ward.fill().close()
    (ward.root / "latchboard.toml").write_text("")

    report, status = _beside_a_hang(ward, ward.root / "latchboard.toml")

    assert [one["state"] for one in report["identity"]["checks"]] == ["unfinished"]
    (found,) = report["findings"]
    assert (found["id"], status, report["is_whole"]) == ("F-100", 1, False)


@pytest.mark.needs_tool("strace")
def test_a_disk_that_hangs_costs_its_own_lines_and_no_more(ward: Ward) -> None:
    ward.fill().close()

    report, status = _beside_a_hang(ward, ward.store)

    states = {one["name"]: one["state"] for section in SECTIONS for one in report[section]["checks"]}
    assert states["store"] == "unfinished"
    assert (states["project"], states["credentials"], states["scan"]) == ("done", "done", "done")
    assert "F-100" in [one["id"] for one in report["findings"]]
    assert (status, report["is_whole"]) == (1, False)


def test_twenty_listeners_that_never_answer_and_many_locks_are_seen_in_time(ward: Ward) -> None:
    first = _free_ports(25)
    (ward.root / "latchboard.toml").write_text(f"daemon_port_first = {first}\ndaemon_port_end = {first + 25}\n")
    board = ward.board()
    for start in range(0, 1000, 500):
        board.agent("planner").lock(*(f"src/{number}.py" for number in range(start, start + 500)), bound="agent")
    board.close()

    with ExitStack() as stack:
        for port in range(first, first + 20):
            stack.enter_context(closing(socket.create_server(("127.0.0.1", port))))
        began_s = monotonic()
        done = ward.doctor("--json")
        took_s = monotonic() - began_s

    report = json.loads(done.stdout)
    assert report["findings"] == []
    assert report["is_whole"]
    assert took_s < 20, "not twenty times two seconds; the figure itself is measured in benchmarks/doctor.py"


def _free_ports(count: int) -> int:
    from tests.process.serving import free_ports

    return free_ports(count)


def test_what_hangs_is_unfinished_and_what_breaks_is_failed_and_the_rest_stays() -> None:
    release = threading.Event()

    def hang(_: float) -> Seen:
        release.wait()  # as long as it takes: a machine may stand still for longer than any time that is given here
        return Seen("late")

    def break_down(_: float) -> Seen:
        raise KeyError(SECRET)

    def refuse(_: float) -> Seen:
        raise PermissionError(13, "Permission denied", SECRET)

    def see(_: float) -> Seen:
        return Seen("well", [Finding("F-117", "text", "true")])

    looks = (("hangs", hang), ("breaks", break_down), ("refused", refuse), ("sees", see))
    try:
        report = assemble("/srv/x", "now", [Check("storage", name, look) for name, look in looks], deadline_s=0.2)
    finally:
        release.set()

    said = {one.name: (one.state, one.text) for one in report.standings}
    assert said["hangs"] == ("unfinished", "not seen within 0.2 s")
    assert said["breaks"] == ("failed", "a mistake in the doctor itself: KeyError")
    assert said["refused"] == ("unfinished", "it could not be looked at: Permission denied")
    assert said["sees"] == ("done", "well")
    assert [one.id for one in report.findings] == ["F-100", "F-100", "F-117"]
    assert (report.exit_status, report.is_broken) == (2, True)
    assert SECRET not in json.dumps(report.to_json())


def test_a_doctor_that_breaks_says_so_and_gives_the_rest(ward: Ward) -> None:
    ward.fill().close()
    breaking = ward.folder / "breaking"
    breaking.mkdir()
    text = "import latchboard.host.place as place\nplace.Place.space = lambda self, path: {}['no such thing']\n"
    (breaking / "sitecustomize.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": f"{breaking}:{os.environ['PYTHONPATH']}"}

    plain = ward.doctor(env=environment)
    told = ward.doctor("--json", env={**environment, "LATCHBOARD_TRACEBACK": "1"})

    report = json.loads(told.stdout)
    assert (plain.returncode, told.returncode, report["exit_status"]) == (2, 2, 2)
    assert "disk:             a mistake in the doctor itself: KeyError" in plain.stdout
    assert "Storage" in plain.stdout and "Findings" in plain.stdout
    assert "in disk" in told.stderr or "look" in told.stderr
    assert report["storage"]["checks"][0]["state"] == "done"


def test_a_network_file_system_is_told() -> None:
    table = (
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "23 22 0:30 / /srv/net rw - nfs4 server:/export rw\n"
        "24 22 0:31 / /srv/net/local rw - tmpfs tmpfs rw\n"
    )

    class Place:
        def network(self, path: str) -> tuple[str, str] | None:
            return network_mount(path, table)

    seen = {root: mount(root, Place()).look(0.0) for root in ("/srv/net/x", "/srv/net/local/x", "/srv/x")}  # type: ignore[arg-type]

    (found,) = seen["/srv/net/x"].findings
    assert (found.id, found.about) == ("F-107", {"point": "/srv/net", "type": "nfs4"})
    assert seen["/srv/net/local/x"].findings == seen["/srv/x"].findings == []


def committing(channel: Channel, root: str, agent: str) -> None:
    """Locks, renews, writes mail and gives back, all the time; journals are rotated often."""
    board = Latchboard(root, settings=Settings(journal_bytes_max=100_000), publishes=False)
    me = board.agent(agent)
    channel.send(ready=True)
    number = 0
    while number <= 10 or not select.select([channel.sock], [], [], 0)[0]:
        number += 1
        with me.lock(f"src/{agent}{number % 7}.py"), me.lock("src/shared/", shared=True, wait_s_max=5):
            board.mailbox.send(agent, agent, "x" * 50, durable=False)
            board.mailbox.receive(agent)
    board.close()
    channel.receive()  # what is left unread cuts the answer off
    channel.send(number=number)


def _is_compared(report: DoctorReport) -> bool:
    return any(one.facts["is_compared"] for one in report.standings if one.name == "store")


def test_what_others_do_meanwhile_is_no_finding(ward: Ward, nursery: Nursery) -> None:
    ward.fill().close()
    others = [nursery.start(committing, root=str(ward.root), agent=f"agent{number}") for number in range(3)]
    for one in others:
        one.receive()

    reports: list[DoctorReport] = []
    while len(reports) < 8 or not any(_is_compared(one) for one in reports):  # a busy machine may come between often
        reports.append(ward.look())
        assert len(reports) < 60

    assert [one.traces for one in reports] == [[]] * len(reports)
    found = [one for report in reports for one in report.findings]
    assert [one for one in found if one.id != "F-111"] == [], "but a busy machine stops who has the guard"
    assert all(one.took_s < UNHURRIED_S / 2 for one in reports), "others who never rest keep nobody"
    for one in others:
        assert one.ask(stop=True)["number"] > 10


# -- how it is asked --------------------------------------------------------------------------------------------------


def test_the_seven_sections_stand_in_their_order(ward: Ward) -> None:
    ward.fill().close()

    done = ward.doctor()

    titles = [line for line in done.stdout.splitlines() if line and line[0].isalpha()]
    assert titles == ["Identity", "Tokens", "Storage", "Refresh Lock", "Daemon", "Orphans", "Findings"]
    assert (done.returncode, done.stderr) == (0, "")


def test_the_report_is_a_function_of_the_library(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes.lost_lock(ward)
    monkeypatch.chdir(ward.root / ".git")

    report = assemble_report(deadline_s=UNHURRIED_S)
    named = assemble_report(ward.root, stuck_threshold_s=1.0, deadline_s=UNHURRIED_S)

    assert [one.id for one in report.findings] == [one.id for one in named.findings] == ["F-104"]
    assert (report.exit_status, report.root) == (1, str(ward.root))


@pytest.mark.parametrize(
    "words", [["--stuck-threshold", "soon"], ["--stuck-threshold", "-1"], ["--hooks", "--fix"], ["--fix=1"], ["extra"]]
)
def test_what_cannot_be_meant_is_refused(ward: Ward, words: list[str]) -> None:
    done = ward.doctor(*words)

    assert done.returncode == 2
    assert done.stdout == ""


def test_a_threshold_decides_what_is_stuck(ward: Ward) -> None:
    scenes.machine_lock(ward, age_s=30)

    ids = {text: json.loads(ward.doctor("--json", "--stuck-threshold", text).stdout) for text in ("60", "10")}

    assert [one["id"] for one in ids["60"]["findings"]] == []
    assert [one["id"] for one in ids["10"]["findings"]] == ["F-003"]


def test_no_module_of_the_doctor_writes_opens_or_connects() -> None:
    """What it does to the machine, it does through ports."""
    folder = Path(__file__).parents[2] / "src" / "latchboard" / "doctor"
    for path in folder.glob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = {one.id for one in calls if isinstance(one, ast.Name)}
        assert not names & {"open", "exec", "eval", "print"}, path.name


def test_hostile_files_in_every_place_end_in_a_report(ward: Ward) -> None:
    ward.fill().close()
    shapes = [b"", b"\0" * 4096, b"[" * 100_000, b'{"a":' * 20_000, b"\xff\xfe", b"null", b"1e999", b'{"format":1e400}']
    places = [
        ward.store / "FORMAT",
        ward.store / "journal" / "guard",
        ward.journal(),
        scenes.lock_file(ward),
        ward.store / "agents" / "planner.json",
        ward.registry / "serve.state",
        ward.registry / "daemon.pid",
        ward.registry / "daemon.json",
        ward.registry / "architect.json",
        ward.root / ".claude" / "settings.json",
        ward.root / "latchboard.toml",
    ]
    ward.registry.mkdir(parents=True)
    (ward.root / ".claude").mkdir()
    whole = ward.folder / "whole"
    shutil.copytree(ward.root, whole)

    for place in places:
        before = place.read_bytes() if place.exists() else None
        for shape in shapes:
            place.write_bytes(shape)
            report = assemble_report(ward.root, deadline_s=5.0)
            assert not report.is_broken, (place.name, shape[:20], report.traces)
        if before is None:
            place.unlink()
        else:
            place.write_bytes(before)


def test_pipes_and_links_in_every_place_block_nobody(ward: Ward) -> None:
    ward.fill().close()
    ward.registry.mkdir(parents=True)
    for place in (
        ward.store / "FORMAT",
        scenes.lock_file(ward),
        ward.store / "agents" / "planner.json",
        ward.journal(),
        ward.registry / "serve.state",
        ward.registry / "serve.token",
        ward.registry / "architect.pid",
    ):
        place.unlink(missing_ok=True)
        os.mkfifo(place)
        assert not assemble_report(ward.root).is_broken
        place.unlink()
        place.symlink_to(ward.folder / "nowhere")
        assert not assemble_report(ward.root).is_broken
        place.unlink()
        place.mkdir()
        assert not assemble_report(ward.root).is_broken
