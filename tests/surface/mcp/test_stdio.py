"""The server as a process on standard input and output, driven by the official client, in both eras of the protocol."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError, types
from mcp.client.subscriptions import ResourceUpdated

from latchboard.compose import Latchboard
from tests.process.nursery import has_ended, until
from tests.surface.mcp.harness import (
    COMMAND,
    DELAYS_COUNT_MAX,
    ERAS,
    SOURCES,
    WAIT_S_MAX,
    call,
    connected,
    faults,
    in_time,
    refused,
)

pytestmark = [pytest.mark.anyio, pytest.mark.process]

both_eras = pytest.mark.parametrize("mode", ERAS)


@both_eras
async def test_tools_are_listed_in_seven_kibibytes(project: Path, mode: str) -> None:
    async with connected(project, mode=mode) as client:
        listed = await client.list_tools()

    tools = [tool.model_dump(by_alias=True, exclude_none=True) for tool in listed.tools]
    assert len(tools) == 13
    assert len(json.dumps(tools, separators=(",", ":"), ensure_ascii=False).encode()) <= 7 * 1024


@both_eras
async def test_two_clients_meet_and_one_hands_over(project: Path, mode: str) -> None:
    async with (
        connected(project, mode=mode, AGENT_ID="planner") as planner,
        connected(project, mode=mode, AGENT_ID="builder") as builder,
    ):
        held = await call(planner, "acquire", paths=["src/a.py"], reason="the parser")
        met = await refused(builder, "acquire", paths=["src/a.py"])
        assert (met["code"], met["retryable"]) == ("lock-held", True)
        (holder,) = met["holders"]
        assert (holder["agent"], holder["reason"], holder["token"]) == ("planner", "the parser", held["token"])
        assert holder["since"] < holder["until"]
        assert "`handoff_request`" in met["hint"]

        asked = await call(builder, "handoff_request", paths=["src/a.py"], reason="the build")
        assert asked["granted"] is False
        (mail,) = (await call(planner, "inbox"))["messages"]
        assert mail["thread"] == asked["request"]
        assert (await call(planner, "handoff_answer", request=asked["request"], grant=True))["moved"] is True

        checked = await call(planner, "check", paths=["src/a.py"])
        assert [one["agent"] for one in checked["held"]] == ["builder"]
        assert (await call(builder, "release", all=True))["released"] == ["src/a.py"]
        assert (await call(planner, "check", paths=["src/a.py"]))["free"] is True


@both_eras
async def test_a_request_is_declined_while_the_asker_waits(project: Path, mode: str) -> None:
    async with (
        connected(project, mode=mode, AGENT_ID="planner") as planner,
        connected(project, mode=mode, AGENT_ID="builder") as builder,
    ):
        await call(planner, "acquire", paths=["src/"])
        waits = asyncio.Event()
        asking = asyncio.ensure_future(
            waiting(builder, waits, "handoff_request", paths=["src/a.py"], wait_s_max=WAIT_S_MAX)
        )
        await waits.wait()
        request = await mailed_request(planner)
        await call(planner, "handoff_answer", request=request, grant=False, reason="in a minute")

        result = await asking
        assert (result.is_error, result.structured_content["code"]) == (True, "handoff-declined")
        assert "in a minute" in result.structured_content["message"]


async def waiting(client: Client, waits: asyncio.Event, tool: str, **arguments: Any) -> Any:
    """Call a tool that waits; `waits` is set when it reports that it does."""

    async def told(progress: float, total: float | None, message: str | None) -> None:
        assert message is not None
        assert " holds " in message
        waits.set()

    return await client.call_tool(tool, arguments, progress_callback=told)


async def mailed_request(client: Client) -> str:
    """The id of a request that arrives by mail: what is waited for may be committed a moment after it is announced."""
    while True:
        for message in (await call(client, "inbox"))["messages"]:
            return str(message["thread"])


@both_eras
async def test_who_waits_reports_it_and_is_granted_by_the_release(project: Path, mode: str) -> None:
    async with connected(project, mode=mode) as client:
        await call(client, "acquire", paths=["src/a.py"], agent="planner")
        waits = asyncio.Event()
        task = asyncio.ensure_future(waiting(client, waits, "wait", paths=["src/a.py"], agent="builder"))
        await waits.wait()
        await call(client, "release", paths=["src/a.py"], agent="planner")

        result = await task
        assert not result.is_error, result.structured_content
        assert result.structured_content["agent"] == "builder"
        assert faults("acquire", result.structured_content) == []


@both_eras
async def test_a_cancelled_wait_leaves_no_place_in_line(project: Path, board: Latchboard, mode: str) -> None:
    board.agent("planner").lock("src/a.py", bound="agent")
    async with connected(project, mode=mode) as client:
        revision = board.store.read("wide").revision
        waits = asyncio.Event()
        task = asyncio.ensure_future(waiting(client, waits, "wait", paths=["src/a.py"], agent="builder"))
        await waits.wait()
        await changed(board, "waiters/", revision)
        task.cancel()
        await asyncio.wait([task])
        await changed(board, "waiters/", revision, gone=True)

        board.locks.release_names("planner", ["src/a.py"])
        assert (await call(client, "check", paths=["src/a.py"], agent="planner"))["free"] is True


async def changed(board: Latchboard, prefix: str, after: int, *, gone: bool = False) -> None:
    """Until a record with this prefix is put, or deleted."""

    def look() -> None:
        with board.stream.changes(prefix, after=after, timeout_s=WAIT_S_MAX) as feed:
            assert any((change.value is None) == gone for change in feed), f"nothing happened to {prefix}"

    await asyncio.to_thread(look)


async def test_a_server_killed_in_the_middle_loses_nothing(project: Path, board: Latchboard) -> None:
    board.agent("planner").lock("src/a.py", bound="agent")
    board.mailbox.send("planner", "builder", "hello")
    revision = board.store.read("wide").revision
    async with connected(project, AGENT_ID="builder", is_cold=True) as client:
        await call(client, "acquire", paths=["src/b.py"])
        await call(client, "inbox", peek=True)
        waits = asyncio.Event()
        task = asyncio.ensure_future(waiting(client, waits, "wait", paths=["src/a.py"]))
        await waits.wait()
        await changed(board, "waiters/", revision)
        (waiter,) = [value for _, value in board.store.read("waiters/").scan("waiters/")]
        os.kill(waiter["process"]["pid"], signal.SIGKILL)
        with pytest.raises(MCPError, match="Connection closed"):
            await task
        await asyncio.to_thread(until, lambda: has_ended(waiter["process"]["pid"]), "it is dead")

    board.locks.release_names("planner", ["src/a.py"])
    assert board.agent("other").lock("src/a.py").release()  # nobody who is dead is in front
    async with connected(project, AGENT_ID="builder") as client:
        assert [m["body"] for m in (await call(client, "inbox"))["messages"]] == ["hello"]
        assert (await call(client, "release", all=True))["released"] == ["src/b.py"]


async def test_mail_is_shown_once(project: Path, board: Latchboard) -> None:
    board.mailbox.send("planner", "builder", "hello")
    board.mailbox.send("planner", "builder", "answer me", ack="required")
    board.mailbox.broadcast("planner", "to all")
    async with connected(project, AGENT_ID="builder") as client:
        assert (await call(client, "status"))["unread"] == 3
        first = await call(client, "inbox", limit=2)
        assert ([m["body"] for m in first["messages"]], first["left_count"]) == (["hello", "answer me"], 1)
        second = await call(client, "inbox")
        assert sorted((m["body"], m["redelivered"]) for m in second["messages"]) == [
            ("answer me", True),
            ("to all", False),
        ]
        assert (await call(client, "ack", id=first["messages"][1]["id"]))["acked"] is True
        assert (await call(client, "inbox"))["messages"] == []
        sent = await call(
            client, "send", to="planner", body="done", reply_to=first["messages"][0]["id"], urgency="high"
        )
        assert sent["message"]["thread"] == first["messages"][0]["thread"]
    assert [m["body"] for m in board.mailbox.receive("planner")] == ["done"]


@both_eras
async def test_many_calls_at_once_and_one_winner(project: Path, mode: str) -> None:
    async with connected(project, mode=mode) as client:
        outcomes = await asyncio.gather(
            *(client.call_tool("acquire", {"paths": ["src/a.py"], "agent": f"agent-{n}"}) for n in range(30)),
            *(client.call_tool("acquire", {"paths": [f"own/{n}.py"], "agent": f"agent-{n}"}) for n in range(30)),
            *(client.call_tool("status", {}) for n in range(5)),
        )
        codes = Counter(one.structured_content.get("code") for one in outcomes)
        assert codes == {None: 36, "lock-held": 29}
        assert len((await call(client, "status"))["active_locks"]) == 31


async def test_a_flood_of_calls_and_of_waits_is_served_whole(project: Path) -> None:
    async with connected(project, AGENT_ID="planner") as client:
        await call(client, "acquire", paths=["src/a.py"])
        waits = [
            asyncio.ensure_future(client.call_tool("wait", {"paths": ["src/a.py"], "agent": f"agent-{n}"}))
            for n in range(40)
        ]
        checks = await asyncio.gather(*(client.call_tool("check", {"paths": [f"{n}.py"]}) for n in range(400)))
        assert all(one.structured_content["free"] for one in checks)
        for task in waits:
            task.cancel()
        await asyncio.wait(waits)
        await call(client, "release", all=True)
        assert (await call(client, "wait", paths=["src/a.py"], agent="last", wait_s_max=WAIT_S_MAX))["agent"] == "last"


# -- identity and root -----------------------------------------------------------------------------------------------


@both_eras
async def test_who_has_no_id_gets_a_name_and_keeps_it_when_the_server_is_started_again(
    project: Path, mode: str
) -> None:
    names = []
    for _ in range(2):
        async with connected(project, mode=mode, is_cold=True) as client:
            names.append((await call(client, "status"))["agent"])
            assert (await call(client, "acquire", paths=["src/a.py"]))["agent"] == names[-1]

    assert re.fullmatch(r"[a-z]+-[a-z]+-[0-9a-f]{4}", names[0])
    assert names[0] == names[1]


async def test_two_servers_of_one_client_are_two_agents(project: Path) -> None:
    async with connected(project, is_cold=True) as one, connected(project, is_cold=True) as two:
        names = {(await call(client, "status"))["agent"] for client in (one, two)}

    assert len(names) == 2


async def test_a_call_may_name_another_agent_than_the_environment(project: Path) -> None:
    async with connected(project, "--agent", "planner", AGENT_ID="ignored") as client:
        assert (await call(client, "status"))["agent"] == "planner"
        assert (await call(client, "status", agent="session:sub"))["agent"] == "session:sub"


@both_eras
async def test_under_claude_code_it_goes_by_the_session_id_of_the_hooks(project: Path, mode: str) -> None:
    environment = {"CLAUDECODE": "1", "CLAUDE_CODE_SESSION_ID": "5f1c-77", "CLAUDE_PROJECT_DIR": str(project)}
    for name, is_same in (("claude-code", True), ("another-client", False)):
        info = types.Implementation(name=name, version="1")
        async with connected(project, mode=mode, client={"client_info": info}, **environment) as client:
            assert ((await call(client, "status"))["agent"] == "5f1c-77") is is_same


async def test_where_there_is_no_project_every_call_says_so_and_none_is_made(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    async with connected(tmp_path) as client:
        failure = await refused(client, "acquire", paths=["src/a.py"])
        with pytest.raises(MCPError, match="no project here"):
            await client.read_resource("latchboard://board")

    assert (failure["code"], failure["retryable"]) == ("usage", False)
    assert "latchboard init" in failure["hint"]
    assert os.listdir(tmp_path / "data") == ["stderr"]


async def test_the_clients_roots_say_where_the_project_is_unless_it_was_named(tmp_path: Path, project: Path) -> None:
    (tmp_path / "data").mkdir()
    inside = project / "some folder"
    inside.mkdir()

    async def roots(_: Any) -> types.ListRootsResult:
        uris = ("file:///nowhere/at/all", inside.as_uri())
        return types.ListRootsResult(roots=[types.Root(uri=uri) for uri in uris])  # type: ignore[arg-type]

    for words, root in (((), project), (("--root", str(tmp_path)), tmp_path)):
        async with connected(tmp_path, *words, mode="legacy", client={"list_roots_callback": roots}) as client:
            assert (await call(client, "status"))["root"] == str(root)


# -- resources -------------------------------------------------------------------------------------------------------


@both_eras
async def test_resources_are_the_board_and_the_history(project: Path, board: Latchboard, mode: str) -> None:
    board.agent("planner").lock("src/a.py", bound="agent")
    async with connected(project, mode=mode) as client:
        listed = {str(one.uri) for one in (await client.list_resources()).resources}
        texts = [(await client.read_resource(uri)).contents[0].text for uri in sorted(listed)]  # type: ignore[union-attr]
        with pytest.raises(MCPError, match="there is no resource"):
            await client.read_resource("latchboard://../secret")

    assert listed == {"latchboard://board", "latchboard://history"}
    shown, history = map(json.loads, texts)
    assert faults("status_board", shown) == []
    assert [lock["name"] for lock in shown["active_locks"]] == ["src/a.py"]
    assert [event["event"] for event in history["events"]][-1] == "lock.acquired"


async def subscribe(client: Client, uri: str) -> None:
    request = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri))
    await client.session.send_request(request, types.EmptyResult)


async def test_subscribers_are_told_within_200_ms_of_another_processs_commit(project: Path, board: Latchboard) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()

    async def heard(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            told.put_nowait(str(message.params.uri))

    async with connected(project, mode="legacy", client={"message_handler": heard}) as client:
        for uri in ("latchboard://board", "latchboard://history"):
            await subscribe(client, uri)
        delays: list[float] = []
        while not in_time(delays) and len(delays) < DELAYS_COUNT_MAX:
            before = time.monotonic()
            board.agent("planner").lock(f"src/{len(delays)}.py", bound="agent")
            async with asyncio.timeout(WAIT_S_MAX):
                assert {await told.get(), await told.get()} == {"latchboard://board", "latchboard://history"}
            delays.append(time.monotonic() - before)
        gone = types.UnsubscribeRequest(params=types.UnsubscribeRequestParams(uri="latchboard://board"))
        await client.session.send_request(gone, types.EmptyResult)
        board.agent("planner").lock("src/last.py", bound="agent")
        assert await told.get() == "latchboard://history"

    assert in_time(delays), delays


async def test_a_store_that_is_made_later_is_heard_of(project: Path) -> None:
    async with connected(project) as client, client.listen(resource_subscriptions=["latchboard://board"]) as events:
        board = Latchboard(project, publishes=False)
        board.agent("planner").lock("src/a.py", bound="agent")
        board.close()
        async with asyncio.timeout(WAIT_S_MAX):
            assert await anext(aiter(events)) == ResourceUpdated(uri="latchboard://board")


async def test_who_listens_is_told_within_200_ms_of_another_processs_commit(project: Path, board: Latchboard) -> None:
    async with connected(project) as client, client.listen(resource_subscriptions=["latchboard://board"]) as events:
        delays: list[float] = []
        while not in_time(delays) and len(delays) < DELAYS_COUNT_MAX:
            before = time.monotonic()
            board.agent("planner").lock(f"src/{len(delays)}.py", bound="agent")
            async with asyncio.timeout(WAIT_S_MAX):
                assert await anext(aiter(events)) == ResourceUpdated(uri="latchboard://board")
            delays.append(time.monotonic() - before)

    assert in_time(delays), delays


# -- the process -----------------------------------------------------------------------------------------------------


def test_standard_output_is_protocol_only_and_its_end_is_a_clean_exit(project: Path) -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}},
    }
    lines = [
        "this is no JSON",
        '{"jsonrpc": "2.0", "id": 7}',
        json.dumps(hello),
        '{"jsonrpc": "2.0", "method": "notifications/initialized"}',
        '{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "status", "arguments": {}}}',
        '{"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "acquire", "arguments": "no object"}}',
        '{"jsonrpc": "2.0", "id": 4, "method": "no/such"}',
        '{"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "check", "arguments": '
        '{"paths": ["half \\ud800 a character"]}}}',
    ]
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    with subprocess.Popen(
        COMMAND, cwd=project, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write("".join(f"{line}\n" for line in lines).encode())
        server.stdin.flush()
        answers: dict[Any, Any] = {}
        while set(answers) < {1, 2, 3, 4}:
            answer = json.loads(server.stdout.readline())
            assert answer["jsonrpc"] == "2.0"
            answers[answer.get("id")] = answer
        out, err = server.communicate(timeout=WAIT_S_MAX)

    assert server.returncode == 0
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in out.splitlines())
    assert b"Traceback" not in err
    assert not answers[2]["result"].get("isError")
    assert answers[4]["error"]["code"] == -32601


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_although_its_input_is_open(project: Path, number: int, status: int) -> None:
    environment = {**os.environ, "PYTHONPATH": SOURCES, "AGENT_ID": "planner"}
    with subprocess.Popen(
        COMMAND, cwd=project, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        server.stdin.flush()
        assert json.loads(server.stdout.readline())["id"] == 1
        server.send_signal(number)
        assert server.wait(timeout=WAIT_S_MAX) == status
        assert b"Traceback" not in (server.stderr.read() if server.stderr else b"")


def test_it_ends_when_nobody_reads_its_output_although_its_input_is_open(project: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    with subprocess.Popen(
        COMMAND, cwd=project, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        server.stdin.flush()
        assert json.loads(server.stdout.readline())["id"] == 1
        server.stdout.close()

        assert server.wait(timeout=WAIT_S_MAX) == 1
        assert (server.stderr.read() if server.stderr else b"") == b""


@pytest.mark.parametrize(("closed", "says"), [("<&-", "standard input is closed"), (">&-", "could not be written")])
def test_without_input_or_output_it_says_so(project: Path, closed: str, says: str) -> None:
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND],
        cwd=project,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        timeout=WAIT_S_MAX,
        check=False,
    )

    assert done.returncode in (1, 2)
    assert says in done.stderr
