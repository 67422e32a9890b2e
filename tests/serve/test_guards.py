"""What stands before the routes: who may ask, how much may be sent, how many may wait, and for how long."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn

import likewise as lw
from likewise.serve import Limits, create_app, listen
from likewise.serve.access import Access
from likewise.serve.body import BodyLimit
from likewise.serve.connections import TimedConnection
from likewise.serve.gate import Gate

from .conftest import Ask, calling
from .test_api import refused

TOKEN = "open sesame"


@pytest.fixture(scope="module")
def locked(index: lw.Index) -> Ask:
    return calling(create_app(index, token=TOKEN))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer open"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}\xe4".encode("latin-1")},
        {"Cookie": "likewise_token="},
        {"Cookie": f"likewise_token={TOKEN}"},
    ],
)
@pytest.mark.parametrize("address", ["/", "/health", "/docs", "/openapi.json", "/thumbnail/train/00003", "/metrics"])
def test_without_the_token_nothing_is_told(locked: Ask, headers: Any, address: str) -> None:
    answer = locked("GET", address, headers=headers)
    refused(answer, 401, "Authorization: Bearer")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_with_the_token_everything_is_there(locked: Ask) -> None:
    assert locked("GET", "/health", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    # Under any name: whoever has the token is no page that was led here.
    headers = {"Authorization": f"bearer {TOKEN}", "Host": "example.org"}
    assert locked("GET", "/health", headers=headers).status_code == 200


def test_a_browser_gets_a_cookie_that_no_script_and_no_other_site_can_use(locked: Ask) -> None:
    refused(locked("GET", "/?token=wrong"), 401)
    refused(locked("GET", f"/health?token={TOKEN}"), 401)
    welcome = locked("GET", "/", params={"token": TOKEN})
    assert (welcome.status_code, welcome.headers["location"]) == (303, "/")
    cookie = welcome.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}
    assert TOKEN not in cookie
    assert locked("GET", "/health", headers={"Cookie": cookie.partition(";")[0]}).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:80", "[::1]:8000", "LOCALHOST", "shop.local"]
)
def test_without_a_token_names_of_this_machine_are_answered(index: lw.Index, host: str) -> None:
    ask = calling(create_app(index, hosts=["shop.local"]))
    assert ask("GET", "/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["example.org", "127.0.0.1.example.org", "localhost.example.org", "", "[", "@localhost@x"]
)
def test_without_a_token_a_name_that_was_pointed_here_is_not(ask: Ask, host: str) -> None:
    refused(ask("GET", "/health", headers={"Host": host}), 421, "names of this machine")


def test_no_other_site_may_ask(ask: Ask, locked: Ask) -> None:
    own = ask("POST", "/search", data={"text": "seven"}, headers={"Origin": "http://127.0.0.1:8000"})
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers
    assert own.headers["cross-origin-resource-policy"] == "same-origin"
    for origin in ("http://example.org", "http://127.0.0.1:9000", "null", "http://["):
        refused(ask("POST", "/search", data={"text": "seven"}, headers={"Origin": origin}), 403, origin)
        refused(locked("GET", "/health", headers={"Origin": origin, "Authorization": f"Bearer {TOKEN}"}), 403)


@pytest.mark.parametrize("known", [True, False])
def test_an_upload_is_counted_while_it_arrives(index: lw.Index, known: bool) -> None:
    ask = calling(create_app(index, limits=Limits(upload_bytes=50_000)))
    sent = 0

    async def forever() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        while True:
            sent += 10_000
            yield bytes(10_000)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    if known:
        headers["Content-Length"] = str(10**9)
    refused(
        ask("POST", "/search", content=forever(), headers=headers), 413, "1,000,000,000" if known else "50,000 bytes"
    )
    # In this process the client sends only what somebody reads; a refused rest is thrown away for half a second.
    assert ask("POST", "/search", data={"text": "seven", "filter": "x" * 49_000}).status_code == 413
    assert ask("POST", "/search", data={"text": "seven"}).status_code == 200


async def slow(scope: Any, receive: Any, send: Any) -> None:
    """An app that answers when it was sent a body, and slowly behind the first byte."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await asyncio.sleep(0.3)
    await send({"type": "http.response.body", "body": b"done"})


def test_one_too_many_is_told_to_come_again(index: lw.Index) -> None:
    async def play() -> list[httpx.Response]:
        transport = httpx.ASGITransport(Gate(slow, waiting=2, seconds=5))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answers = await asyncio.gather(*(client.get("/a") for _ in range(4)), client.get("/health"))
            return [*answers, await client.get("/a")]

    first, second, *refusals, health, later = asyncio.run(play())
    for answer in refusals:
        refused(answer, 503, "2 requests are waiting")
        assert answer.headers["retry-after"] == "1"
    assert [answer.status_code for answer in (first, second, health, later)] == [200] * 4


def test_what_takes_too_long_is_given_up_but_an_answer_that_began_is_not() -> None:
    async def stuck(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    refused(calling(Gate(stuck, waiting=2, seconds=0.05))("GET", "/a"), 504, "0.05 seconds")
    assert calling(Gate(slow, waiting=2, seconds=0.1))("GET", "/a").text == "done"


def test_a_head_that_does_not_come_to_an_end_is_not_waited_for() -> None:
    class Quick(TimedConnection):
        seconds = 0.2

    async def dripping(port: int, first: bytes) -> bytes:
        """What comes back until the other side closes, to a head that never ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        answer = asyncio.create_task(reader.read())
        while not answer.done():
            writer.write(b"x" if first else b"")
            await asyncio.wait([answer], timeout=0.04)
        writer.close()
        return answer.result()

    async def play() -> list[bytes]:
        with listen("127.0.0.1", 0, None) as listener:
            config = uvicorn.Config(slow, http=Quick, lifespan="off", ws="none", log_config=None)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            whole = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"  # its answer takes longer than a head may
            port = listener.getsockname()[1]
            sent = (b"", b"GET /a HTTP/1.1\r\nX: ", whole + b"GET /b HTTP/1.1\r\nX: ")
            async with asyncio.timeout(20):
                answers = await asyncio.gather(*(dripping(port, first) for first in sent))
            server.should_exit = True
            await serving
        return answers

    silent, begun, second = asyncio.run(play())
    assert (silent, begun) == (b"", b"")
    assert second.count(b"HTTP/1.1 200") == second.count(b"done") == 1


def test_an_answer_that_nobody_reads_makes_room_but_a_slow_reader_gets_all_of_it() -> None:
    class Quick(TimedConnection):
        unread_seconds = 0.3

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        for more in (True,) * 32 + (False,):
            await send({"type": "http.response.body", "body": bytes(2**18), "more_body": more})

    async def asked(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**17)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=client)
        writer.write(b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return reader, writer

    async def play() -> tuple[int, bool]:
        with listen("127.0.0.1", 0, None) as listener:
            gate = Gate(large, waiting=1, seconds=5)
            config = uvicorn.Config(gate, http=Quick, lifespan="off", ws="none", log_config=None)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            port = listener.getsockname()[1]
            async with asyncio.timeout(20):
                first, silent = await asked(port)
                assert b" 200 " in await first.readline()
                status, refusals = b"", 0
                while b" 200 " not in status:
                    reader, second = await asked(port)
                    status = await reader.readline()
                    if b" 503 " in status:
                        refusals += 1
                        second.close()
                        await asyncio.sleep(0.05)
                assert refusals
                began, total = asyncio.get_running_loop().time(), 0
                while piece := await reader.read(2**17):
                    total += len(piece)
                    await asyncio.sleep(0.01)
                seconds = asyncio.get_running_loop().time() - began
            silent.close()
            second.close()
            server.should_exit = True
            await serving
        return total, seconds > 2 * Quick.unread_seconds

    total, long = asyncio.run(play())
    assert long, "all was read before it could have been given up"
    assert total > 33 * 2**18


def test_an_error_of_ours_tells_nothing_and_is_logged(index: lw.Index, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **options: Any) -> Any:
        raise ZeroDivisionError("secret")

    app = create_app(index)
    monkeypatch.setattr(lw.Index, "search_many", broken)
    answer = calling(app)("POST", "/search", data={"text": "seven"})
    refused(answer, 500, "The server made a mistake")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text

    async def raised() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await client.post("/search", data={"text": "seven"})

    with pytest.raises(ZeroDivisionError):  # what a server logs
        asyncio.run(raised())


def test_other_protocols_pass_through() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    for guard in (Gate(app, 1, 1), BodyLimit(app, 1), Access(app, "x")):
        asyncio.run(guard({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"] * 3
