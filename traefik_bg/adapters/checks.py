"""Asks what Traefik's figures cannot know: a Prometheus, a webhook, or a command.

Implements the port `Checker`. Who does not answer, or not clearly, is unknown: neither good nor bad
(law S5). What is said of an answer is for people, and goes into histories: it is one short line
without control characters, and never has a URL in it, for that may hold a password or a token.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import aiohttp
import structlog
from yarl import URL

from traefik_bg.adapters.check_command import run
from traefik_bg.adapters.closing import Closing
from traefik_bg.core.evidence import CheckResult, CheckVerdict
from traefik_bg.core.names import balancer_name
from traefik_bg.core.ports import Subject
from traefik_bg.core.rollout import Check, CheckKind

LONGEST_DETAIL = 200  # characters: what fits a line of status
LARGEST_ANSWER = 1 << 20  # bytes; one value is some hundred of them

_LATER = frozenset({408, 425, 429})  # "ask me later" is no verdict
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

log = structlog.get_logger()


class OutsideChecker(Closing):
    """Implements the port `Checker`; open it as a context manager, or close it at the end."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        """The provider Traefik has our services from, as its metrics name them."""
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Let go of all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, check: Check, subject: Subject) -> CheckResult:
        """Ask once, within the check's timeout; never raises for what the other side does."""
        try:
            async with asyncio.timeout(check.timeout):
                match check.kind:
                    case CheckKind.QUERY:
                        return await self._query(check, subject)
                    case CheckKind.WEBHOOK:
                        return await self._call(check, subject)
                    case CheckKind.COMMAND:
                        return _of_command(*await run(check.command, environment(subject)))
        except TimeoutError:
            return _unknown(f"no answer within {check.timeout:g} s")
        except aiohttp.ClientConnectorError as error:
            return _unknown(f"it cannot be reached: {_strerror(error.os_error)}")
        except ValueError:  # that of a URL too; none is repeated here
            return _unknown("it cannot be asked as it is written in the desired state")
        except aiohttp.ClientError:
            return _unknown("no HTTP answer")
        except OSError as error:
            return _unknown(f"it cannot be asked: {_strerror(error)}")
        except Exception:
            log.exception("check.failed", app=subject.app, check=check.name)
            return _unknown("internal error, please report this; the log has more")

    # --- Prometheus -------------------------------------------------------------------------------

    async def _query(self, check: Check, subject: Subject) -> CheckResult:
        query = check.query
        for name, value in _placeholders(subject, self._provider).items():
            query = query.replace(f"{{{name}}}", value)  # a query has braces of its own
        base = URL(check.target)
        url = base.with_path(base.path.rstrip("/") + "/api/v1/query").with_query(
            [*base.query.items(), ("query", query)]
        )
        async with self._open().get(url, allow_redirects=False) as response:
            text = await _body(response)
        try:
            found = json.loads(text)
            if response.status != 200:
                return _unknown(f"HTTP {response.status}: {line(str(found['error']))}")
            return _within(check, _value(found["data"]))
        except (IndexError, KeyError, TypeError, ValueError):
            return _unknown(f"HTTP {response.status}, which is not Prometheus' answer")

    # --- webhook ----------------------------------------------------------------------------------

    async def _call(self, check: Check, subject: Subject) -> CheckResult:
        asked = {
            "check": check.name,
            "app": subject.app,
            "revision": subject.revision,
            "blue": subject.blue,
            "image": subject.image,
            "weight": subject.weight,
        }
        async with self._open().post(check.target, json=asked, allow_redirects=False) as response:
            status, said = response.status, line(await _body(response))
        if 200 <= status < 300:
            return CheckResult(verdict=CheckVerdict.GOOD, detail=said)
        if 400 <= status < 500 and status not in _LATER:
            return CheckResult(verdict=CheckVerdict.BAD, detail=said or f"HTTP {status}")
        return _unknown(f"HTTP {status}")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "traefik-bg"},
                timeout=aiohttp.ClientTimeout(),  # the check's own limit holds for the whole
            )
        return self._session


# --- answers --------------------------------------------------------------------------------------


def _placeholders(subject: Subject, provider: str) -> dict[str, str]:
    return {
        "app": subject.app,
        "revision": subject.revision,
        "service": f"{balancer_name(subject.app, subject.revision)}@{provider}",
    }


def _value(data: Any) -> float | str:
    """Return the one value of a result, or what is wrong with it."""
    match data["resultType"]:
        case "scalar":
            return float(data["result"][1])
        case "vector":
            series = data["result"]
            if len(series) == 1:
                return float(series[0]["value"][1])
            return f"the query gave {len(series)} values" if series else "the query gave no value"
        case other:
            return f"the query gave a {line(str(other))}, not a value"


def _within(check: Check, value: float | str) -> CheckResult:
    if isinstance(value, str):
        return _unknown(value)
    if value != value:  # noqa: PLR0124 - only NaN is not itself: a division of nothing by nothing
        return _unknown("the query gave NaN")
    if check.at_most is not None and value > check.at_most:
        detail = f"{value:.6g} is more than {check.at_most:g}"
        return CheckResult(verdict=CheckVerdict.BAD, detail=detail)
    if check.at_least is not None and value < check.at_least:
        detail = f"{value:.6g} is less than {check.at_least:g}"
        return CheckResult(verdict=CheckVerdict.BAD, detail=detail)
    return CheckResult(verdict=CheckVerdict.GOOD, detail=f"{value:.6g}")


def environment(subject: Subject) -> dict[str, str]:
    """Return what a command is told of what it is asked about."""
    return {
        "TRAEFIK_BG_APP": subject.app,
        "TRAEFIK_BG_REVISION": subject.revision,
        "TRAEFIK_BG_BLUE": subject.blue or "",
        "TRAEFIK_BG_IMAGE": subject.image,
        "TRAEFIK_BG_WEIGHT": str(subject.weight),
    }


def _of_command(code: int, output: str) -> CheckResult:
    said = line(output, last=True)
    match code:
        case 0:
            return CheckResult(verdict=CheckVerdict.GOOD, detail=said)
        case 1:
            return CheckResult(verdict=CheckVerdict.BAD, detail=said or "exit code 1")
        case _:
            ended = f"exit code {code}" if code > 0 else f"killed by signal {-code}"
            return _unknown(f"{ended}: {said}" if said else ended)


def line(text: str, *, last: bool = False) -> str:
    """Return the first or the last line that says something, short and in plain characters."""
    plain = _COLOURS.sub("", text)
    lines = [
        " ".join("".join(c if c.isprintable() else " " for c in raw).split())
        for raw in plain.splitlines()
    ]
    said = [found for found in lines if found]
    chosen = said[-1 if last else 0] if said else ""
    is_long = len(chosen) > LONGEST_DETAIL
    return chosen[: LONGEST_DETAIL - 1].rstrip() + "…" if is_long else chosen


async def _body(response: aiohttp.ClientResponse) -> str:
    """Return what was answered, or its beginning."""
    found = bytearray()
    async for chunk in response.content.iter_any():
        found += chunk
        if len(found) >= LARGEST_ANSWER:
            break
    return bytes(found[:LARGEST_ANSWER]).decode(errors="replace")


def _strerror(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _unknown(detail: str) -> CheckResult:
    return CheckResult(verdict=CheckVerdict.UNKNOWN, detail=detail)
