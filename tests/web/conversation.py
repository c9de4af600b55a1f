"""How the tests talk to the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.cli.fake_service import SECRET, FakeService
from tests.core.build import app
from traefik_bg.core.model import canonical_json
from traefik_bg.web.server import application

TOKEN = "0123456789abcdef"
CONTAINER = canonical_json({"environment": {"PASSWORD": SECRET}})
SPEC = app("web:1", container=CONTAINER)

Client = TestClient[web.Request, web.Application]


@asynccontextmanager
async def talking(
    service: FakeService, *, token: str | None = None, is_loopback: bool = True
) -> AsyncIterator[Client]:
    """Yield a client of the service."""
    server = TestServer(application(service, token=token, is_loopback=is_loopback))
    async with TestClient(server) as client:
        yield client


async def problem(answer: aiohttp.ClientResponse, status: int, kind: str, *words: str) -> str:
    """Check that an answer is a problem of this kind; return its detail."""
    content = await answer.json(content_type="application/problem+json")
    assert set(content) == {"type", "title", "status", "detail"}
    assert (answer.status, content["status"]) == (status, status), content
    assert content["type"] == f"urn:traefik-bg:problem:{kind}"
    for word in words:
        assert word in content["detail"]
    return str(content["detail"])
