"""Who may give commands, where the service listens, and whether it is ready."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.cli.fake_service import FakeService
from tests.core.build import WEB
from tests.web.conversation import SPEC, TOKEN, problem, talking
from traefik_bg.core.errors import SettingsError
from traefik_bg.web.server import application, listening, read_token

BEARER = {"Authorization": f"Bearer {TOKEN}"}

# --- who may give commands ------------------------------------------------------------------------


async def command(
    headers: Mapping[str, str], *, token: str | None = TOKEN, is_loopback: bool = True
) -> tuple[aiohttp.ClientResponse, bool]:
    """Send a command; return the answer, and whether it was obeyed."""
    service = FakeService.of(SPEC).settle()
    async with talking(service, token=token, is_loopback=is_loopback) as client:
        answer = await client.post("/api/apps/web/pause", headers=headers)
        await answer.read()
        return answer, service.worlds[WEB].record.paused


async def test_the_token_opens() -> None:
    """With the token a command is obeyed, wherever the service listens."""
    answer, is_obeyed = await command(BEARER, is_loopback=False)
    assert (answer.status, is_obeyed) == (200, True)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": "Bearer ünïcödé"},
        {"Authorization": f"Basic {TOKEN}"},
    ],
    ids=["none", "bare", "empty", "short", "long", "not ASCII", "another scheme"],
)
async def test_without_the_right_token_no_command_is_obeyed(headers: dict[str, str]) -> None:
    """Who has no token, or another, is told what is wanted, and nothing happens."""
    answer, is_obeyed = await command(headers)
    await problem(answer, 401, "token-wanted", "token")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert not is_obeyed


async def test_questions_need_no_token() -> None:
    """Reading is open to whoever reaches the address."""
    async with talking(FakeService.of(SPEC).settle(), token=TOKEN, is_loopback=False) as client:
        for path in ("/api/apps", "/api/apps/web", "/api/apps/web/history", "/healthz", "/readyz"):
            assert (await client.get(path)).status == 200


async def test_without_a_token_this_machine_may_command() -> None:
    """On loopback, a program of this machine needs no token."""
    answer, is_obeyed = await command({}, token=None)
    assert (answer.status, is_obeyed) == (200, True)


async def test_beyond_this_machine_commands_need_a_token_to_be_set() -> None:
    """Where the service listens beyond loopback without a token, it says how to set one."""
    answer, is_obeyed = await command({}, token=None, is_loopback=False)
    await problem(answer, 403, "forbidden", "--token-file", "TRAEFIK_BG_TOKEN_FILE")
    assert not is_obeyed


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example:8090"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "[", "Origin": "http://["},
    ],
    ids=["another page", "a sandboxed page", "another name", "a name like an address", "nonsense"],
)
async def test_a_page_in_a_browser_cannot_command(headers: dict[str, str]) -> None:
    """Without a token, what a browser sends for a stranger's page is refused."""
    answer, is_obeyed = await command(headers, token=None)
    assert answer.status in {400, 403}
    assert not is_obeyed


# --- the server -----------------------------------------------------------------------------------


async def test_alive_and_ready_are_two_things() -> None:
    """The service is alive as soon as it answers, and ready once it knows its apps."""
    service = FakeService(trouble="Docker does not answer")
    async with talking(service) as client:
        assert (await client.get("/healthz")).status == 200
        await problem(await client.get("/readyz"), 503, "unavailable", "Docker does not answer")
        service.trouble = None
        assert (await client.get("/readyz")).status == 200


async def test_what_is_not_there_is_a_problem_too() -> None:
    """Even an unknown path is answered in the one form, and names a known one."""
    async with talking(FakeService()) as client:
        await problem(await client.get("/nothing"), 404, "not-found", "/nothing", "/api/apps")


async def test_a_body_that_is_too_large_is_not_read() -> None:
    """A command is a line; nobody fills our memory."""
    async with talking(FakeService.of(SPEC)) as client:
        answer = await client.post("/api/apps/web/deploy", data=b"x" * 100_000)
        assert answer.status == 413


async def test_more_can_be_served() -> None:
    """What else is to be served is mounted beside the API, below the same rules."""

    class Hello:
        def add_to(self, app: web.Application) -> None:
            app.router.add_get("/hello", self.get)
            app.router.add_post("/hello", self.get)

        async def get(self, _: web.Request) -> web.Response:
            return web.Response(text="hello")

    mounted = application(FakeService(), token=TOKEN, is_loopback=True, mounts=[Hello()])
    async with TestClient(TestServer(mounted)) as client:
        assert await (await client.get("/hello")).text() == "hello"
        await problem(await client.post("/hello"), 401, "token-wanted")


async def test_a_port_that_is_taken_is_a_wrong_setting() -> None:
    """The service does not start where it cannot listen, and says what would work."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        application_ = application(FakeService(), token=None, is_loopback=True)
        with pytest.raises(SettingsError, match=rf"cannot listen at 127.0.0.1:{port}.*--listen"):
            async with listening(application_, "127.0.0.1", port):
                pass


async def test_the_server_ends_with_its_context(unused_tcp_port: int) -> None:
    """While in the context it answers, afterwards the port is free."""
    served = application(FakeService(), token=None, is_loopback=True)
    async with listening(served, "127.0.0.1", unused_tcp_port), aiohttp.ClientSession() as session:
        answer = await session.get(f"http://127.0.0.1:{unused_tcp_port}/healthz")
        assert json.loads(await answer.text()) == {"status": "alive"}
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", unused_tcp_port)


# --- the token ------------------------------------------------------------------------------------


def test_the_token_is_what_the_file_says(tmp_path: Path) -> None:
    """Blanks and line ends around it do not belong to it; no file means no token."""
    file = tmp_path / "token"
    file.write_text(f"  {TOKEN}\n")
    assert read_token(file) == TOKEN
    assert read_token(None) is None


def _missing(_: Path) -> None:
    """Leave the file out."""


def _empty(file: Path) -> None:
    file.write_text(" \n")


def _folder(file: Path) -> None:
    file.mkdir()


def _binary(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")


def _two_words(file: Path) -> None:
    file.write_text("two words")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_missing, "no such file"),
        (_empty, "is empty"),
        (_folder, "is a directory"),
        (_binary, "is not text"),
        (_two_words, "more than one word"),
    ],
)
def test_a_token_file_without_a_token_is_a_wrong_setting(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    """The service does not start with a token file it cannot use, and says how to make one."""
    file = tmp_path / "token"
    make(file)
    with pytest.raises(SettingsError, match=words) as error:
        read_token(file)
    assert f"openssl rand -hex 32 >{file}" in str(error.value)
