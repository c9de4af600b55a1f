"""What the replicas of an app print, over HTTP: `GET /api/apps/{app}/logs`, one JSON object a line.

Apart from the rest of the API because its answers take as long as somebody reads. There is a bound
to how many read at once; a reader that is gone, or takes nothing for long, is let go, and with it
all that was read for it. While nothing is printed an empty line is sent now and then, so that both
sides know that the other is there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from aiohttp import web

from traefik_bg.adapters.desired_values import DURATION, length
from traefik_bg.core.model import AppName, RevisionId
from traefik_bg.runtime.reconciler import AppStatus
from traefik_bg.runtime.replica_log import Entry
from traefik_bg.runtime.transcript import Transcript, Wanted
from traefik_bg.web.api import Service, status_of
from traefik_bg.web.problem import Kind, Problem
from traefik_bg.web.view import role_of

PATH = "/api/apps/{app}/logs"
CONTENT_TYPE = "application/x-ndjson"
NOTE = "note"
"""Stands where a line has its stream: what is said of a replica, not by it."""
READERS_AT_ONCE = 20  # each costs a thread for every replica of its app
DEFAULT_LINES = 100
LONGEST = 1_000_000  # lines; whoever wants more wants all
WATCH = 1.0  # seconds until a reader that has gone is noticed
HEARTBEAT = 10.0  # seconds without a word
PATIENCE = 300.0  # seconds; whoever takes nothing for so long keeps others from reading

_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}


class LogApi:
    """The handler, and who reads."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._readers: set[asyncio.Task[None]] = set()

    def add_to(self, app: web.Application) -> None:
        """Add the route; when the application shuts down, those who read are let go."""
        app.router.add_get(PATH, self.get, allow_head=False)
        app.on_shutdown.append(self._let_go)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer with what was printed, and with what is, if that is wanted."""
        status = status_of(self._service, request)
        wanted = wanted_of(request.query, datetime.now(UTC))
        _require_replica(status, wanted)
        if len(self._readers) >= READERS_AT_ONCE:
            detail = f"{READERS_AT_ONCE} logs are being read already, which is all at once"
            raise Problem(Kind.UNAVAILABLE, f"{detail}; end one of them, or try again later")
        self._readers.add(request.task)
        try:
            async with self._service.transcript(status.app, wanted) as transcript:
                answer = web.StreamResponse(headers={"Cache-Control": "no-store"})
                answer.content_type = CONTENT_TYPE
                with suppress(ConnectionError, TimeoutError):  # nobody is there to be told
                    await answer.prepare(request)
                    await self._send(request, answer, status.app, transcript)
                return answer
        finally:
            self._readers.discard(request.task)

    async def _send(
        self,
        request: web.Request,
        answer: web.StreamResponse,
        app: AppName,
        transcript: Transcript,
    ) -> None:
        """Pass on what is told, until it ends or nobody listens."""
        loop = asyncio.get_running_loop()
        spoke_at = loop.time()
        is_over = False
        while not is_over and not _has_gone(request):
            entries = await _within(WATCH, transcript)
            if entries is None and self._is_over(app):
                entries, is_over = [Entry(note=f"{app} is gone")], True
            if entries is None and loop.time() - spoke_at < HEARTBEAT:
                continue
            if entries is not None and not entries:
                return
            async with asyncio.timeout(PATIENCE):
                await answer.write(self._written(app, entries or ()))
            spoke_at = loop.time()

    def _written(self, app: AppName, entries: Iterable[Entry]) -> bytes:
        """Return entries as they are sent; without any, a word that says nothing."""
        status = self._service.statuses.get(app)
        roles: dict[RevisionId, str] = {}
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z"  # as Docker writes its times
        lines = []
        for entry in entries:
            revision = entry.revision
            if status is not None and revision is not None and revision not in roles:
                roles[revision] = role_of(status, revision)
            role = roles.get(revision) if revision is not None else None
            lines.append(json.dumps(_object(entry, role, now), ensure_ascii=False))
        return "\n".join([*lines, ""]).encode() or b"\n"

    def _is_over(self, app: AppName) -> bool:
        """Tell whether there is nothing of the app any more, and will not be."""
        return app not in self._service.statuses and self._service.trouble is None

    async def _let_go(self, _: web.Application) -> None:
        for task in self._readers:
            task.cancel()


def wanted_of(query: Mapping[str, str], now: datetime) -> Wanted:
    """Return what is asked for.

    Raises:
        Problem: it makes no sense.
    """
    since = query.get("since", "")
    lines = query.get("lines", "all" if since else str(DEFAULT_LINES))
    is_number = lines.isascii() and lines.isdigit() and int(lines) <= LONGEST
    if not is_number and lines != "all":
        detail = f"lines={lines} must be a number up to {LONGEST}, or all"
        raise Problem(Kind.BAD_REQUEST, detail)
    follows = query.get("follow", "false")
    if follows not in _BOOLEANS:
        raise Problem(Kind.BAD_REQUEST, f"follow={follows} must be true or false")
    return Wanted(
        lines=int(lines) if is_number else None,
        after=_moment(since, now) if since else "",
        follows=_BOOLEANS[follows],
        revision=query.get("revision", ""),
        replica=query.get("replica", ""),
    )


def _moment(since: str, now: datetime) -> str:
    """Return the time that is meant, as Docker writes times."""
    seconds = length(since.replace(" ", ""))
    try:
        if seconds is not None:
            moment = now - timedelta(seconds=seconds)
        else:
            moment = datetime.fromisoformat(since).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        detail = f"since={since} must be {DURATION}, or a time such as 2026-01-02T15:04:05Z"
        raise Problem(Kind.BAD_REQUEST, detail) from error
    return f"{max(moment, datetime.fromtimestamp(0, UTC)):%Y-%m-%dT%H:%M:%S.%f}000Z"


def _require_replica(status: AppStatus, wanted: Wanted) -> None:
    """Raise a problem where one revision or replica is wanted that is not there, nor awaited."""
    if wanted.follows or not (wanted.revision or wanted.replica) or status.seen is None:
        return
    app, replicas = status.app, status.seen.replicas
    if any(wanted.includes(app, replica.name, replica.revision) for replica in replicas):
        return
    what = wanted.replica or f"of revision {wanted.revision}"
    known = ", ".join(replica.name for replica in replicas) or "none"
    raise Problem(Kind.NOT_FOUND, f"{app} has no replica {what}; there is: {known}")


async def _within(seconds: float, transcript: Transcript) -> Iterable[Entry] | None:
    """Return the next entries; None: there were none in time."""
    try:
        async with asyncio.timeout(seconds):
            return await transcript.more()
    except TimeoutError:
        return None


def _has_gone(request: web.Request) -> bool:
    """Tell whether the reader has hung up."""
    return request.transport is None or request.transport.is_closing()


def _object(entry: Entry, role: str | None, now: str) -> dict[str, str | None]:
    line = entry.line
    return {
        "time": line.at if line is not None else now,
        "replica": entry.replica,
        "revision": entry.revision,
        "role": role,
        "stream": line.stream if line is not None else NOTE,
        "line": line.text if line is not None else entry.note,
    }
