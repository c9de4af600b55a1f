"""What went wrong with a request, in the form of RFC 9457 (`application/problem+json`).

Raised anywhere below the server, turned into an answer in one place: `answering`. The detail is for
people, one sentence with what would work; the type is for programs and never changes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from traefik_bg.core.errors import CommandRefused, Unavailable

CONTENT_TYPE = "application/problem+json"
PREFIX = "urn:traefik-bg:problem:"

log = structlog.get_logger(__name__)


class Kind(Enum):
    """The kinds of problems: type, HTTP status and title."""

    BAD_REQUEST = ("bad-request", 400, "The request cannot be understood")
    TOKEN_WANTED = ("token-wanted", 401, "Commands need the token")
    FORBIDDEN = ("forbidden", 403, "Commands are not taken here")
    NOT_FOUND = ("not-found", 404, "There is no such thing")
    REFUSED = ("refused", 409, "The command makes no sense now")
    BUG = ("bug", 500, "A bug of traefik-bg")
    UNAVAILABLE = ("unavailable", 503, "It cannot be known or done now")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title


class Problem(Exception):
    """A request cannot be answered as asked; says why and what would work."""

    def __init__(self, kind: Kind, detail: str) -> None:
        self.kind = kind
        self.detail = detail
        super().__init__(detail)

    @property
    def response(self) -> web.Response:
        """The answer to the request."""
        kind = self.kind
        answer = _answer(_Body(kind.slug, kind.title, kind.status, self.detail))
        if kind is Kind.TOKEN_WANTED:
            answer.headers["WWW-Authenticate"] = 'Bearer realm="traefik-bg"'
        if kind is Kind.UNAVAILABLE:
            answer.headers["Retry-After"] = "1"
        return answer


@dataclass(frozen=True, slots=True)
class _Body:
    slug: str
    title: str
    status: int
    detail: str


def _answer(body: _Body) -> web.Response:
    content = {
        "type": PREFIX + body.slug,
        "title": body.title,
        "status": body.status,
        "detail": body.detail,
    }
    return web.Response(
        status=body.status,
        body=json.dumps(content, ensure_ascii=False).encode(),
        content_type=CONTENT_TYPE,
    )


@web.middleware
async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as a problem."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response
    except CommandRefused as refused:
        return Problem(Kind.REFUSED, str(refused)).response
    except Unavailable as unavailable:
        return Problem(Kind.UNAVAILABLE, str(unavailable)).response
    except web.HTTPException as error:
        if error.status < web.HTTPBadRequest.status_code:
            raise
        return _of_aiohttp(request, error)
    except Exception as error:
        log.exception("request.failed", method=request.method, path=request.path)
        detail = f"{type(error).__name__} while answering; the log of the service has the details"
        return Problem(Kind.BUG, f"{detail}: please report this").response


def _of_aiohttp(request: web.Request, error: web.HTTPException) -> web.Response:
    """Return what aiohttp itself, or a handler in its manner, has to say."""
    slug = error.reason.lower().replace(" ", "-")
    detail = (error.text or "").strip()
    headers: dict[str, str] = {}
    if isinstance(error, web.HTTPNotFound):
        detail = f"there is nothing at {request.path}; the apps are at /api/apps"
    elif isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        detail = f"{request.path} takes {headers['Allow']}, not {error.method}"
    answer = _answer(_Body(slug, error.reason, error.status, detail))
    answer.headers.update(headers)
    return answer
