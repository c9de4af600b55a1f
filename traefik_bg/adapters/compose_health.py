"""What a Compose service says of its health and of the port it listens on.

Apart from routes because it is read from Docker's HEALTHCHECK and from the ports, for services
that no label routes as well. A probe of ours takes the place of a check only where both ask the
very same question. Pure.
"""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass
from urllib.parse import urlsplit

from traefik_bg.adapters.compose_labels import Option
from traefik_bg.adapters.compose_values import below, listed, table, text_of, word
from traefik_bg.adapters.desired_tree import Entry, Items, Kind, Node, Place, Scalar, Table
from traefik_bg.adapters.desired_values import length

DEADLINE = 60.0  # seconds: what health.deadline is when nobody says so

_HERE = {"localhost", "127.0.0.1", "0.0.0.0", "::1"}  # what a container calls itself
_ALONE = {"curl": {"--fail", "--silent", "--show-error", "--location", "--head"},
          "wget": {"-q", "--quiet", "--spider", "-nv", "--no-verbose"}}  # fmt: skip
"""Flags that change nothing about which answers are good."""
_WITH_VALUE = {"curl": {"-o", "--output", "-m", "--max-time", "--connect-timeout"},
               "wget": {"-O", "--output-document", "-T", "--timeout", "-t", "--tries"}}  # fmt: skip
_CURL_FLAGS = re.compile(r"-[fsSLI]+")
_WGET_OUTPUT = re.compile(r"-q?O(-|/dev/null)")
_ORELSE = re.compile(r"\s*\|\|\s*(exit\s+[0-9]+|false)\s*;?\s*$")
_SHELL = re.compile(r"[$`;&|<>(){}*?!\n\\]")
_INTERVAL, _TIMEOUT, _RETRIES = 30.0, 30.0, 3  # Docker's own


@dataclass(frozen=True, slots=True)
class Question:
    """What a check asks over HTTP."""

    port: int
    path: str


def question(healthcheck: Node | None) -> Question | None:
    """Return what a HEALTHCHECK asks the container itself, if it is a plain GET of one page."""
    test = below(healthcheck, "test")
    if isinstance(test, Scalar):
        words = _words(test.text)
    elif isinstance(test, Items):
        kind, *rest = [text_of(item) for item in test.items] or [""]
        words = _words(rest[0]) if kind == "CMD-SHELL" and len(rest) == 1 else rest
        words = words if kind in {"CMD", "CMD-SHELL"} else []
    else:
        return None
    return _asked(words)


def _words(command: str) -> list[str]:
    """Return the words of a command that a shell does nothing further with."""
    plain = _ORELSE.sub("", command)
    if _SHELL.search(plain):
        return []
    try:
        return shlex.split(plain)
    except ValueError:
        return []


def _asked(words: list[str]) -> Question | None:
    program = words[0].rpartition("/")[2] if words else ""
    if program not in _ALONE:
        return None
    urls: list[str] = []
    flags: set[str] = set()
    rest = iter(words[1:])
    for each in rest:
        if each in _WITH_VALUE[program]:
            next(rest, None)
        elif not each.startswith("-"):
            urls.append(each)
        elif each in _ALONE[program] or _is_bundle(program, each):
            flags.add(each)
        else:
            return None
    if program == "curl" and not any(
        flag == "--fail" or (flag[1] != "-" and "f" in flag) for flag in flags
    ):
        return None  # it takes every answer for a good one
    return _of_url(urls[0]) if len(urls) == 1 else None


def _is_bundle(program: str, flag: str) -> bool:
    pattern = _CURL_FLAGS if program == "curl" else _WGET_OUTPUT
    return pattern.fullmatch(flag) is not None


def _of_url(url: str) -> Question | None:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or 80
    except ValueError:
        return None
    if parts.scheme != "http" or parts.hostname not in _HERE or parts.query or parts.fragment:
        return None
    return Question(port, parts.path or "/")


# --- our own health -------------------------------------------------------------------------------


def health_of(healthcheck: Entry | None, labels: Option | None, port: str) -> Entry | None:
    """Return what to say under `health`; None: nothing beyond the defaults.

    `labels` is what Traefik's labels say under loadbalancer.healthcheck.
    """
    node = healthcheck.node if healthcheck is not None else None
    made: dict[str, Node] = {}
    place = healthcheck.place if healthcheck is not None else None
    asked = question(node)
    if (
        labels is not None
        and (path := labels.take("path")) is not None
        and not _is_elsewhere(labels, port)
    ):
        place = place or path.place
        made["path"] = path
        if (timeout := labels.take("timeout")) is not None:
            made["timeout"] = timeout
    elif asked is not None and str(asked.port) == port and healthcheck is not None:
        made["path"] = word(asked.path, healthcheck.place)
    if node is not None and (seconds := longest_start(node)) > DEADLINE and healthcheck is not None:
        made["deadline"] = word(f"{math.ceil(seconds)}s", healthcheck.place)
    return Entry(place, table(place, made)) if made and place is not None else None


def _is_elsewhere(labels: Option, port: str) -> bool:
    """Tell whether Traefik asks something that a GET of a path at the app's port is not."""
    mode, method, other = (labels.at(key) for key in ("mode", "method", "port"))
    return any(
        found is not None and found.value is not None and found.value.text.lower() not in {fine, ""}
        for found, fine in ((mode, "http"), (method, "get"), (other, port))
    )


def longest_start(healthcheck: Node) -> float:
    """Return the seconds after which Docker itself gives up on a container that starts."""
    if is_off(healthcheck):
        return 0.0
    interval = _seconds(healthcheck, "interval") or _INTERVAL
    timeout = _seconds(healthcheck, "timeout") or _TIMEOUT
    retries = text_of(below(healthcheck, "retries"))
    times = int(retries) if retries.isdecimal() and 0 < int(retries) < 1000 else _RETRIES
    return (_seconds(healthcheck, "start_period") or 0.0) + times * interval + timeout


def is_off(healthcheck: Node | None) -> bool:
    """Tell whether there is no HEALTHCHECK, or it is switched off."""
    test = below(healthcheck, "test")
    first = text_of(test.items[0]) if isinstance(test, Items) and test.items else ""
    disabled = text_of(below(healthcheck, "disable")).lower()
    return healthcheck is None or first == "NONE" or disabled in {"true", "yes", "on"}


def _seconds(healthcheck: Node, key: str) -> float | None:
    found = length(text_of(below(healthcheck, key)).replace(" ", ""))
    return found if found is not None and found < 86400 else None


# --- the port -------------------------------------------------------------------------------------


def published(service: Table) -> Scalar | None:
    """Return the least TCP port that a service exposes or publishes: the one Traefik takes."""
    found: dict[int, Scalar] = {}
    for key in ("expose", "ports"):
        entry = service.entries.get(key)
        for item in listed(entry.node) if entry is not None else ():
            port = _container_port(item)
            if port is not None:
                found.setdefault(port, Scalar(str(port), Kind.TEXT, item.place))
    return found[min(found)] if found else None


def _container_port(item: Node) -> int | None:
    if isinstance(item, Table):
        text, protocol = text_of(below(item, "target")), text_of(below(item, "protocol"))
    else:
        text, _, protocol = text_of(item).partition("/")
        text = text.rpartition(":")[2]
    first = text.partition("-")[0]
    is_port = first.isascii() and first.isdecimal() and len(first) <= 5 and 0 < int(first) < 65536
    return int(first) if is_port and protocol in {"", "tcp"} else None


def asked_port(healthcheck: Entry | None) -> Scalar | None:
    """Return the port that a HEALTHCHECK asks."""
    found = question(healthcheck.node) if healthcheck is not None else None
    return word(str(found.port), _place(healthcheck)) if found is not None else None


def _place(entry: Entry | None) -> Place:
    return entry.place if entry is not None else Place("", 0)
