"""Talks to the running service.

With the standard library's HTTP client: the larger ones take longer to import than a status takes
to show. What the service says comes back as plain data; what it refuses, and that it cannot be
reached, as errors that know their exit code.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast
from urllib.parse import quote, urlencode

from traefik_bg.core.errors import TraefikBgError
from traefik_bg.settings import Address, Settings

if TYPE_CHECKING:
    from traefik_bg.web.view import AppView

TIMEOUT = 15.0  # seconds; the service answers a command within 10, and is never silent for longer
PIECE = 64 * 1024  # bytes of a log that are read at once

_HERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
_PROBLEM = "application/problem+json"
_LOG = "application/x-ndjson"
_MARK = "urn:traefik-bg:problem:"


class Unreachable(TraefikBgError):
    """The service cannot be reached."""


class Declined(TraefikBgError):
    """The service answers that it will not, or cannot now."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        super().__init__(detail)


class AppsAnswer(TypedDict):
    """Every app, and what is wrong with the service as a whole."""

    apps: list[AppView]
    trouble: str | None
    desired_error: str | None


class DeploymentAnswer(TypedDict):
    """One deployment of an app's history."""

    number: int
    revision: str
    image: str
    digest: str
    started: str | None
    ended: str | None
    duration: float | None
    outcome: str | None
    reason: str
    log: list[str]


class Noted(TypedDict):
    """One sentence of an app's history."""

    at: str
    sentence: str


class HistoryAnswer(TypedDict):
    """What there is to tell of an app's past."""

    app: str
    deployments: list[DeploymentAnswer]
    journal: list[Noted]


class Told(TypedDict):
    """One line of a replica, or a note about one."""

    time: str
    replica: str | None
    revision: str | None
    role: str | None
    stream: str
    """`stdout` or `stderr`; `note` for what is said of a replica, not by it."""
    line: str


class Client:
    """The running service, from here."""

    def __init__(self, listen: Address, token_file: Path | None = None) -> None:
        self._host = _HERE.get(listen.host, listen.host)
        self._port = listen.port
        self._token_file = token_file

    @classmethod
    def of(cls, settings: Settings) -> Client:
        """Return the client of the service that runs with these settings."""
        return cls(settings.listen, settings.token_file)

    @property
    def url(self) -> str:
        """Where the service is."""
        return f"http://{Address(self._host, self._port)}"

    def apps(self) -> AppsAnswer:
        """Ask for every app."""
        return cast("AppsAnswer", self._asked("GET", "/api/apps", "apps"))

    def app(self, app: str) -> AppView:
        """Ask for one app."""
        return cast("AppView", self._asked("GET", f"/api/apps/{quote(app, safe='')}", "phase"))

    def history(self, app: str, limit: int) -> HistoryAnswer:
        """Ask for the past of an app."""
        path = f"/api/apps/{quote(app, safe='')}/history?limit={limit}"
        return cast("HistoryAnswer", self._asked("GET", path, "deployments"))

    def log(self, app: str, query: Mapping[str, str]) -> Generator[list[Told], None, None]:
        """Ask for what an app prints; yields what has come, as long as the service sends.

        Raises:
            Unreachable: there is no answer, or it broke off.
            Declined: the answer is a no.
        """
        path = f"/api/apps/{quote(app, safe='')}/logs?{urlencode(query)}"
        with self._connected() as connection:
            connection.request("GET", path, headers={"Accept": _LOG, "User-Agent": "traefik-bg"})
            response = connection.getresponse()
            kind = response.headers.get_content_type()
            if response.status != 200 or kind != _LOG:
                raise self._unfit(response.status, kind, response.read())
            rest = b""
            while piece := self._piece(response):
                *lines, rest = (rest + piece).split(b"\n")
                yield [json.loads(line) for line in lines if line]

    def _piece(self, response: HTTPResponse) -> bytes:
        try:
            return response.read1(PIECE)
        except (IncompleteRead, ConnectionError) as error:
            raise Unreachable(
                f"the answer of the service at {self.url} broke off: it was stopped, or nothing "
                "was read here for minutes; its log may say more"
            ) from error

    def command(self, app: str, verb: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        """Give a command; the answer has a sentence."""
        path = f"/api/apps/{quote(app, safe='')}/{verb}"
        return self._asked("POST", path, "sentence", json.dumps(body or {}).encode())

    # --- how --------------------------------------------------------------------------------------

    def _asked(self, method: str, path: str, key: str, body: bytes | None = None) -> dict[str, Any]:
        """Return the answer, which must have a key.

        Raises:
            Unreachable: there is none, or it is not from traefik-bg.
            Declined: it is a no.
        """
        headers = {"Accept": "application/json", "User-Agent": "traefik-bg"}
        hint = ""
        if body is not None:
            headers["Content-Type"] = "application/json"
            hint = self._authorize(headers)
        with self._connected() as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            status, kind = response.status, response.headers.get_content_type()
            content = response.read()
        answer = _document(content)
        if answer is not None and 200 <= status < 300 and key in answer:
            return answer
        raise self._unfit(status, kind, content, hint)

    def _unfit(self, status: int, kind: str, content: bytes, hint: str = "") -> Exception:
        """Return the error for an answer that is not what was asked for."""
        answer = _document(content)
        if kind == _PROBLEM and answer is not None and _MARK in str(answer.get("type")):
            return Declined(status, f"{answer.get('detail', '')}{hint if status == 401 else ''}")
        return Unreachable(
            f"what answers at {self.url} is not the API of traefik-bg (HTTP {status}); "
            "say where the service is with --listen or TRAEFIK_BG_LISTEN"
        )

    def _authorize(self, headers: dict[str, str]) -> str:
        """Add the token if there is one; return why there is none, for when it is wanted."""
        if self._token_file is None:
            return "; here, name that file with --token-file or TRAEFIK_BG_TOKEN_FILE"
        try:
            token = self._token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = str(getattr(error, "strerror", None) or "is not text").lower()
            return f"; {self._token_file} cannot be read: {reason}"
        if token and token.isascii() and token.isprintable():
            headers["Authorization"] = f"Bearer {token}"
            return f" (sent: the one in {self._token_file})"
        return f"; {self._token_file} holds no token"

    @contextmanager
    def _connected(self) -> Iterator[HTTPConnection]:
        """Lend a connection to the service; what it cannot do is said in our words."""
        connection = HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        try:
            yield connection
        except TimeoutError as error:
            detail = f"the service at {self.url} does not answer within {TIMEOUT:g} s"
            raise Unreachable(f"{detail}; its log may say why") from error
        except (OSError, HTTPException) as error:
            reason = (
                getattr(error, "strerror", None) or str(error) or type(error).__name__
            ).lower()
            raise Unreachable(
                f"cannot reach the service at {self.url}: {reason}; is it running? "
                "Start it with: traefik-bg run; or say where it is with --listen or "
                "TRAEFIK_BG_LISTEN"
            ) from error
        finally:
            connection.close()


def _document(content: bytes) -> dict[str, Any] | None:
    """Return the JSON object of an answer, if it is one."""
    try:
        answer = json.loads(content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
