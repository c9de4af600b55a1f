"""What can be asked of the running service, and told it, over HTTP.

Called by the command line, the dashboard and other people's programs. It knows the service by what
it needs of it (`Service`), so it can be tried with a fake one; what may be known of an app is
decided in `view`, who may give commands in `server`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from traefik_bg.core.actions import Outcome
from traefik_bg.core.commands import Verb
from traefik_bg.core.model import AppName, RevisionId
from traefik_bg.core.tags import TagStatus
from traefik_bg.runtime.reconciler import AppStatus
from traefik_bg.runtime.transcript import Transcript, Wanted
from traefik_bg.web.problem import Kind, Problem
from traefik_bg.web.view import AppView, app_view

COMMAND_TIMEOUT = 10.0
"""Seconds a command may wait for its app to be looked at: nobody wants it obeyed much later."""
LONGEST_HISTORY = 200
DEFAULT_HISTORY = 20


class PastDeployment(Protocol):
    """One deployment, as the history has it."""

    @property
    def number(self) -> int:
        """Which one it was of the app's."""
        ...

    @property
    def revision(self) -> RevisionId:
        """What was deployed."""
        ...

    @property
    def image(self) -> str:
        """The image it came from; empty when its beginning was not recorded."""
        ...

    @property
    def digest(self) -> str:
        """What exactly ran, or its ID on this machine; empty: nothing was seen of it."""
        ...

    @property
    def started(self) -> datetime | None:
        """When it began."""
        ...

    @property
    def ended(self) -> datetime | None:
        """When it ended."""
        ...

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None: it is under way, or its end was not recorded."""
        ...

    @property
    def reason(self) -> str:
        """Why it ended so."""
        ...

    @property
    def log(self) -> tuple[str, ...]:
        """The last lines of what failed."""
        ...


class JournalEntry(Protocol):
    """One sentence, and when it was said."""

    @property
    def at(self) -> datetime:
        """When."""
        ...

    @property
    def sentence(self) -> str:
        """What."""
        ...


class Service(Protocol):
    """What the web layer needs of the service."""

    @property
    def statuses(self) -> Mapping[AppName, AppStatus]:
        """What is known of every app."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why the service does not see everything; None when it does."""
        ...

    @property
    def desired_error(self) -> str | None:
        """Why the newest desired state is not in force; None when it is."""
        ...

    async def command(
        self, app: AppName, verb: Verb, to: RevisionId | None = None, *, is_full: bool = False
    ) -> str:
        """Have an app obey a command; returns the sentence to answer.

        Raises:
            CommandRefused: it makes no sense now.
            Unavailable: it could not be judged or remembered.
        """
        ...

    async def deploy(self, app: AppName, image: str) -> str:
        """Desire another image for an app; returns the sentence to answer.

        Raises:
            CommandRefused: the desired state cannot be changed so.
        """
        ...

    async def update(self, app: AppName) -> str:
        """Ask at once what the tag of an app means; returns the sentence to answer.

        Raises:
            CommandRefused: there is no tag to follow, or no such image.
            Unavailable: the registry did not answer.
        """
        ...

    def tag(self, app: AppName) -> TagStatus | None:
        """Return what is known of an app's tag; None: it is not followed."""
        ...

    async def history(self, app: AppName, limit: int) -> Sequence[PastDeployment]:
        """Return the app's deployments, the newest first.

        Raises:
            Unavailable: they cannot be read.
        """
        ...

    async def journal(self, app: AppName, limit: int) -> Sequence[JournalEntry]:
        """Return what was noted of the app, the newest first.

        Raises:
            Unavailable: it cannot be read.
        """
        ...

    def transcript(self, app: AppName, wanted: Wanted) -> Transcript:
        """Return what the app's replicas print; it begins when its context is entered."""
        ...


class Order(BaseModel):
    """The body of a command that needs none."""

    model_config = ConfigDict(extra="forbid", strict=True)


class DeployOrder(Order):
    """The body of `deploy`."""

    image: str = Field(min_length=1, max_length=1000)


class PromoteOrder(Order):
    """The body of `promote`."""

    full: bool = False


class RollbackOrder(Order):
    """The body of `rollback`."""

    to: str | None = Field(default=None, min_length=1, max_length=100)


AnyOrder = TypeVar("AnyOrder", bound=Order)


class Api:
    """The handlers below `/api`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        one = "/api/apps/{app}"
        app.router.add_get("/api/apps", self.apps)
        app.router.add_get(one, self.app)
        app.router.add_get(f"{one}/history", self.history)
        app.router.add_post(f"{one}/deploy", self.deploy)
        app.router.add_post(f"{one}/update", self.update)
        app.router.add_post(f"{one}/{{verb:{'|'.join(Verb)}}}", self.command)

    # --- questions --------------------------------------------------------------------------------

    async def apps(self, _: web.Request) -> web.Response:
        """Answer with every app."""
        views = [self._view(status) for status in self._service.statuses.values()]
        trouble, desired_error = self._service.trouble, self._service.desired_error
        return web.json_response(
            {"apps": views, "trouble": trouble, "desired_error": desired_error}
        )

    async def app(self, request: web.Request) -> web.Response:
        """Answer with one app."""
        return web.json_response(self._view(self._status(request)))

    async def history(self, request: web.Request) -> web.Response:
        """Answer with the deployments of an app and what else was noted; also when it is gone."""
        app, limit = AppName(request.match_info["app"]), _limit(request)
        deployments = await self._service.history(app, limit)
        journal = await self._service.journal(app, limit)
        if not deployments and not journal:
            self._status(request)
        return web.json_response(
            {
                "app": app,
                "deployments": [_deployment(past) for past in deployments],
                "journal": [{"at": _date(e.at), "sentence": e.sentence} for e in journal],
            }
        )

    # --- commands ---------------------------------------------------------------------------------

    async def deploy(self, request: web.Request) -> web.Response:
        """Desire another image."""
        order = await _order(request, DeployOrder, '{"image": "ghcr.io/acme/web:1.4.3"}')
        app = self._status(request).app
        sentence = await self._service.deploy(app, order.image)
        return web.json_response({"app": app, "image": order.image, "sentence": sentence})

    async def update(self, request: web.Request) -> web.Response:
        """Ask what the tag of an app means now; whatever the body says, as registries send any."""
        app = self._status(request).app
        return web.json_response({"app": app, "sentence": await self._service.update(app)})

    async def command(self, request: web.Request) -> web.Response:
        """Have an app obey a command."""
        verb = Verb(request.match_info["verb"])
        to, is_full = None, False
        match verb:
            case Verb.ROLLBACK:
                to = (await _order(request, RollbackOrder, '{} or {"to": "1a2b3c4d"}')).to
            case Verb.PROMOTE:
                is_full = (await _order(request, PromoteOrder, '{} or {"full": true}')).full
            case _:
                await _order(request, Order, "empty")
        app = self._status(request).app
        sentence = await self._obeyed(app, verb, RevisionId(to) if to else None, is_full=is_full)
        return web.json_response({"app": app, "sentence": sentence})

    async def _obeyed(
        self, app: AppName, verb: Verb, to: RevisionId | None, *, is_full: bool
    ) -> str:
        """Return the sentence the app answers, or why it does not answer."""
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                return await self._service.command(app, verb, to, is_full=is_full)
        except TimeoutError as error:
            status = self._service.statuses.get(app)
            why = f": {status.trouble}" if status and status.trouble else ""
            detail = f"{app} could not be looked at within {COMMAND_TIMEOUT:g} s{why}"
            raise Problem(Kind.UNAVAILABLE, f"{detail}; {verb} was not obeyed") from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            detail = f"{app} went away before it could obey {verb}"
            raise Problem(Kind.UNAVAILABLE, detail) from error

    # --- common to them ---------------------------------------------------------------------------

    def _status(self, request: web.Request) -> AppStatus:
        return status_of(self._service, request)

    def _view(self, status: AppStatus) -> AppView:
        """Return the view of an app, with what is known of the desired state by now."""
        known = replace(status, desired_error=self._service.desired_error)
        tag = self._service.tag(status.app)
        return app_view(known, asyncio.get_running_loop().time(), tag)


def status_of(service: Service, request: web.Request) -> AppStatus:
    """Return the status of the app a request is about.

    Raises:
        Problem: there is no such app, or not all apps are known yet.
    """
    name = request.match_info["app"]
    statuses = service.statuses
    status = statuses.get(AppName(name))
    if status is not None:
        return status
    if (trouble := service.trouble) is not None:
        raise Problem(Kind.UNAVAILABLE, f"the apps are not all known yet: {trouble}")
    known = ", ".join(statuses) or "none"
    raise Problem(Kind.NOT_FOUND, f"there is no app {name}; there is: {known}")


async def _order(request: web.Request, model: type[AnyOrder], example: str) -> AnyOrder:
    """Return the body of a command."""
    body = await request.read()
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        said = "; ".join(
            ".".join(str(key) for key in mistake["loc"])
            + (": " if mistake["loc"] else "")
            + mistake["msg"]
            for mistake in error.errors(include_url=False, include_input=False)
        )
        detail = f"the body is not what can be used ({said}); it must be {example}"
        raise Problem(Kind.BAD_REQUEST, detail) from error


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(DEFAULT_HISTORY))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= LONGEST_HISTORY:
        detail = f"limit={text} must be a number from 1 to {LONGEST_HISTORY}"
        raise Problem(Kind.BAD_REQUEST, detail)
    return int(text)


def _deployment(past: PastDeployment) -> dict[str, object]:
    duration = None
    if past.started is not None and past.ended is not None:
        duration = round((past.ended - past.started).total_seconds(), 3)
    return {
        "number": past.number,
        "revision": past.revision,
        "image": past.image,
        "digest": past.digest,
        "started": _date(past.started),
        "ended": _date(past.ended),
        "duration": duration,
        "outcome": past.outcome,
        "reason": past.reason,
        "log": list(past.log),
    }


def _date(date: datetime | None) -> str | None:
    return None if date is None else date.isoformat()
