"""What Traefik's HTTP provider gets: the document, at once or as soon as there is another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, TCPConnector, web
from aiohttp.test_utils import TestServer

from traefik_bg.adapters.traefik_publication import Edition, Publication
from traefik_bg.web import provider
from traefik_bg.web.provider import Provider, seconds


def edition(number: int) -> Edition:
    """Return an edition; what is in it does not matter here."""
    body = b'{"http":{"n":%d}}' % number
    return Edition(number=number, marker=f"m-{number}", parts={}, body=body)


@pytest.fixture
def publication() -> Publication:
    """Nothing published yet."""
    return Publication(lambda: asyncio.get_running_loop().time())


@pytest.fixture
async def server(publication: Publication) -> AsyncIterator[TestServer]:
    """A server that provides it."""
    app = web.Application()
    Provider(publication).add_to(app)
    server = TestServer(app)
    await server.start_server()
    yield server
    await server.close()


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    """One kept connection, as Traefik has."""
    async with ClientSession(connector=TCPConnector(limit=1)) as session:
        yield session


async def fetch(session: ClientSession, server: TestServer, wait: str = "25s") -> bytes:
    """Ask as Traefik does."""
    async with session.get(server.make_url(f"/provider?wait={wait}")) as answer:
        assert answer.status == 200
        assert answer.content_type == "application/json"
        return await answer.read()


async def test_a_new_connection_is_answered_at_once(
    publication: Publication, server: TestServer, session: ClientSession
) -> None:
    """It may be a Traefik that has just been started."""
    publication.release(edition(1))
    assert await fetch(session, server) == edition(1).body
    async with ClientSession() as another:
        assert await fetch(another, server) == edition(1).body
    async with ClientSession() as polling, polling.get(server.make_url("/provider")) as answer:
        assert await answer.read() == edition(1).body
    assert publication.fetched_by_all() == 1


async def test_who_has_it_waits_for_the_next(
    publication: Publication, server: TestServer, session: ClientSession
) -> None:
    """The same connection is held until there is something else to say."""
    publication.release(edition(1))
    await fetch(session, server)
    waiting = asyncio.create_task(fetch(session, server))
    await fetch_elsewhere(server)  # by now it is being held
    assert not waiting.done()
    publication.release(edition(2))
    assert await waiting == edition(2).body
    publication.release(edition(3))
    assert await fetch(session, server) == edition(3).body, "it was not there when this came"


async def fetch_elsewhere(server: TestServer) -> None:
    """Let the server answer somebody else."""
    async with ClientSession() as another:
        await fetch(another, server)


async def test_the_wait_ends_with_the_same_document(
    publication: Publication, server: TestServer, session: ClientSession
) -> None:
    """Nothing new is not an error, nor is it nothing: Traefik would drop every route."""
    publication.release(edition(1))
    for _ in range(3):
        assert await fetch(session, server, "10ms") == edition(1).body


async def test_without_a_wait_every_poll_is_answered(
    publication: Publication, server: TestServer, session: ClientSession
) -> None:
    """A Traefik that polls plainly is not held."""
    publication.release(edition(1))
    for _ in range(3):
        assert await fetch(session, server, "0s") == edition(1).body


async def test_before_anything_is_known_nobody_gets_an_empty_document(
    publication: Publication,
    server: TestServer,
    session: ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is kept waiting a moment, and told to come again when there is still nothing."""
    waiting = asyncio.create_task(fetch(session, server, "0s"))
    await asyncio.sleep(0)
    publication.release(edition(1))
    assert await waiting == edition(1).body

    monkeypatch.setattr(provider, "PATIENCE", 0.01)
    publication.edition = None
    async with ClientSession() as another, another.get(server.make_url("/provider")) as answer:
        assert answer.status == 503


async def test_who_waits_is_let_go_when_the_service_ends(
    publication: Publication, server: TestServer, session: ClientSession
) -> None:
    """A held request does not hold up the end."""
    publication.release(edition(1))
    await fetch(session, server)
    waiting = asyncio.create_task(fetch(session, server, "5m"))
    await fetch_elsewhere(server)
    await server.close()
    assert await waiting == edition(1).body


async def test_a_wait_that_is_none_is_refused(server: TestServer, session: ClientSession) -> None:
    """A slip in Traefik's configuration is told to whoever looks at its log."""
    async with session.get(server.make_url("/provider?wait=long")) as answer:
        assert answer.status == 400
        assert "wait=25s" in await answer.text()


@pytest.mark.parametrize(
    ("text", "expected"), [("25s", 25), ("25", 25), ("1.5s", 1.5), ("500ms", 0.5), ("99m", 300)]
)
def test_durations(text: str, expected: float) -> None:
    """Durations are written as everywhere else, and bounded."""
    assert seconds(text) == expected


async def test_who_asks_no_more_is_forgotten() -> None:
    """A Traefik that is gone does not keep an edition from being fetched by all."""
    now = 0.0
    publication = Publication(lambda: now)
    assert publication.fetched_by_all() is None
    publication.fetched("one", 1)
    now = 50.0
    publication.fetched("two", 2)
    assert publication.fetched_by_all() == 1
    now = 70.0
    assert publication.fetched_by_all() == 2
