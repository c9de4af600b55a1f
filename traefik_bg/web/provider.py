"""What Traefik's HTTP provider fetches: exactly the published document.

`GET /provider` answers at once; with `?wait=25s` it holds who has the document already until there
is another, which makes fetching as fast as a file and costs nothing at rest. Traefik applies an
empty answer and backs off for seconds after an error, so before anything is known it is kept
waiting, and an empty document is never sent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import MutableMapping
from weakref import WeakKeyDictionary

from aiohttp import web

from traefik_bg.adapters.traefik_publication import Edition, Publication

PATH = "/provider"
LONGEST_WAIT = 300.0
PATIENCE = 3.0  # Traefik's pollTimeout is 5 s by default; at start we know in milliseconds

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


class Provider:
    """Serves the publication; remembers what each connection was last sent."""

    def __init__(self, publication: Publication) -> None:
        self._publication = publication
        self._sent: MutableMapping[asyncio.BaseTransport, int] = WeakKeyDictionary()

    def add_to(self, app: web.Application) -> None:
        """Add the route; when the application shuts down, those who wait are let go."""
        app.router.add_get(PATH, self.get)
        app.on_shutdown.append(self._let_go)

    async def get(self, request: web.Request) -> web.Response:
        """Answer with the published document, at the latest when the wait is over."""
        try:
            wait = seconds(request.query.get("wait", "0s"))
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        transport = request.transport
        last = self._sent.get(transport) if transport is not None else None
        if last is not None and wait:
            edition = await self._publication.other_than(last, wait)
        else:  # a connection that is new: perhaps a Traefik that is
            edition = await self._publication.other_than(None, max(wait, PATIENCE))
        if edition is None:
            raise web.HTTPServiceUnavailable(text="nothing is known to be published yet\n")
        return self._response(request, edition)

    def _response(self, request: web.Request, edition: Edition) -> web.Response:
        if request.transport is not None:
            self._sent[request.transport] = edition.number
        self._publication.fetched(request.remote or "", edition.number)
        return web.Response(body=edition.body, content_type="application/json")

    async def _let_go(self, _: web.Application) -> None:
        self._publication.close()


def seconds(text: str) -> float:
    """Return a duration like `25s`, `500ms` or `1m`, within bounds.

    Raises:
        ValueError: it is not a duration.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)?", text)
    if match is None:
        raise ValueError(f"wait={text} is not a duration; use something like wait=25s")
    return min(float(match[1]) * _UNITS[match[2] or "s"], LONGEST_WAIT)
