"""Finds what others started and the desired state adopts: by Compose's labels, or by name.

Apart from the inventory because nothing here is ours: it is looked for only while an app says so,
and may be started and stopped, never removed. What its labels have Traefik send to it is read too,
for all of that must be taken over before it stops (law S2).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from docker.errors import APIError

from traefik_bg.adapters.compose_labels import ROOT, Option, is_off, options_of, split
from traefik_bg.adapters.compose_rules import modern
from traefik_bg.adapters.desired_route import EVERY_CONNECTION
from traefik_bg.adapters.desired_tree import Entry, Kind, Place, Scalar, Table
from traefik_bg.adapters.docker_connection import ASK_TIMEOUT, Connection
from traefik_bg.adapters.docker_errors import is_gone, unexpected
from traefik_bg.adapters.docker_inventory import described
from traefik_bg.adapters.docker_settings import INSTANCE_LABEL
from traefik_bg.core.matchers import default_priority
from traefik_bg.core.model import ADOPTED, Adoption, AppName
from traefik_bg.core.observation import Claim
from traefik_bg.core.ports import Container

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
ONE_OFF = "com.docker.compose.oneoff"  # "True": of docker compose run

_NOWHERE = Place("labels", 1)


class Adopted:
    """The containers that apps adopt, as far as they have been asked for."""

    def __init__(self, connection: Connection, network: str) -> None:
        self._connection = connection
        self._network = network
        self._wanted: dict[AppName, Adoption] = {}
        self._ids: dict[str, AppName] = {}

    def __contains__(self, container_id: str) -> bool:
        """Tell whether an app has adopted this container."""
        return container_id in self._ids

    def app_of(self, attributes: Mapping[str, str]) -> AppName | None:
        """Return the app that adopts what an event is about; None: none does."""
        return next(
            (app for app, wanted in self._wanted.items() if _is_meant(wanted, attributes)), None
        )

    async def containers(self, app: AppName, wanted: Adoption | None) -> Sequence[Container]:
        """Return the containers that the app adopts, whatever their state.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        if wanted is None:
            self._wanted.pop(app, None)
            self._remember(app, ())
            return ()
        self._wanted[app] = wanted
        rows = await self._rows(wanted)
        found = await asyncio.gather(*(self._inspected(app, row["Id"]) for row in rows))
        made = [container for container in found if container is not None]
        self._remember(app, made)
        return made

    def _remember(self, app: AppName, found: Sequence[Container]) -> None:
        others = {key: owner for key, owner in self._ids.items() if owner != app}
        self._ids = others | {container.id: app for container in found}

    async def _rows(self, wanted: Adoption) -> Sequence[Mapping[str, Any]]:
        queries: list[dict[str, Any]] = [
            {"name": [f"^/?{re.escape(name)}$"]} for name in wanted.containers
        ]
        if wanted.project:
            labels = [f"{PROJECT}={wanted.project}", f"{SERVICE}={wanted.service}"]
            queries.append({"label": labels})
        listed = await asyncio.gather(*(self._list(query) for query in queries))
        found = {row["Id"]: row for rows in listed for row in rows}
        return [row for row in found.values() if _is_strange(row["Labels"] or {})]

    async def _list(self, filters: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        try:
            found: Sequence[Mapping[str, Any]] = await self._connection.call(
                lambda client: client.containers(all=True, filters=filters), within=ASK_TIMEOUT
            )
        except APIError as error:
            raise unexpected(error, "list what is to be adopted") from error
        return found

    async def _inspected(self, app: AppName, container_id: str) -> Container | None:
        try:
            item = await self._connection.call(
                lambda client: client.inspect_container(container_id), within=ASK_TIMEOUT
            )
        except APIError as error:
            if is_gone(error):
                return None
            raise unexpected(error, f"inspect {container_id[:12]}") from error
        labels = item["Config"]["Labels"] or {}
        container = described(
            item, self._network, app=app, revision=ADOPTED, number=labels.get(NUMBER, "")
        )
        return replace(container, claims=tuple(claims(labels)), defines=tuple(defined(labels)))


def _is_strange(labels: Mapping[str, str]) -> bool:
    """Tell whether nobody like us made it, and it is there to serve."""
    return INSTANCE_LABEL not in labels and labels.get(ONE_OFF, "").lower() != "true"


def _is_meant(wanted: Adoption, attributes: Mapping[str, str]) -> bool:
    if attributes.get("name") in wanted.containers:
        return True
    of = (attributes.get(PROJECT), attributes.get(SERVICE))
    return bool(wanted.project) and of == (wanted.project, wanted.service)


def claims(labels: Mapping[str, str]) -> Iterator[Claim]:
    """Yield what these labels have Traefik's Docker provider send to their container.

    Routers that lead to a service of somewhere else are not about the container. A router without
    a rule has one that only Traefik's own settings know: nothing can be said of it.
    """
    options = _options(labels)
    for protocol in ("http", "tcp"):
        own = {option.name.lower() for option in options.children(protocol, "services")}
        for router in options.children(protocol, "routers"):
            service = router.text("service").removesuffix("@docker").lower()
            if (service and own and service not in own) or "@" in service:
                continue
            if rule := router.text("rule"):
                yield _claim(router, rule)


def defined(labels: Mapping[str, str]) -> Iterator[str]:
    """Yield the middlewares that these labels define, as others name them."""
    options = _options(labels)
    for protocol in ("http", "tcp"):
        for middleware in options.children(protocol, "middlewares"):
            yield f"{middleware.name}@docker"


def _options(labels: Mapping[str, str]) -> Option:
    """Return what Traefik's Docker provider reads in these labels."""
    entries = {
        key: Entry(_NOWHERE, Scalar(value, Kind.TEXT, _NOWHERE))
        for key, value in sorted(labels.items())
    }
    options = options_of(Table(_NOWHERE, entries), [])
    enable = options.at("enable")
    is_left_alone = enable is not None and is_off(enable)
    return Option(ROOT, _NOWHERE) if is_left_alone else options


def _claim(router: Option, rule: str) -> Claim:
    said = router.text("priority")
    tls = router.at("tls")
    number = int(said) if said.removeprefix("-").isdecimal() else 0
    is_last = rule.replace(" ", "") == EVERY_CONNECTION  # Traefik asks that one after all others
    return Claim(
        router=router.name,
        rule=rule if router.text("rulesyntax").lower() == "v3" else modern(rule),
        priority=number or (0 if is_last else default_priority(rule)),
        entrypoints=tuple(sorted(split(router.text("entrypoints")))),
        has_tls=tls is not None and not is_off(tls),
    )
