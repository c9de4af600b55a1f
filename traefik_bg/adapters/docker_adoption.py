"""Finds what others started and the desired state adopts: by Compose's labels, or by name.

Apart from the inventory because nothing here is ours: it is looked for only while an app says so,
and may be started and stopped, never removed. What its labels have Traefik send to it is read too,
for all of that must be taken over before it stops (law S2).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from docker.errors import APIError

from traefik_bg.adapters.adopted_labels import Said
from traefik_bg.adapters.docker_connection import ASK_TIMEOUT, Connection
from traefik_bg.adapters.docker_errors import is_gone, unexpected
from traefik_bg.adapters.docker_inventory import described
from traefik_bg.adapters.docker_settings import INSTANCE_LABEL
from traefik_bg.core.model import ADOPTED, Adoption, AppName
from traefik_bg.core.ports import Container

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
ONE_OFF = "com.docker.compose.oneoff"  # "True": of docker compose run


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
        wanted = self._wanted.get(app) or Adoption()
        said = Said.by(labels, moved=wanted.moved)
        return replace(
            container,
            claims=said.claims,
            defines=said.defines,
            oddities=said.oddities,
            port=said.port,
            health_path=said.health_path,
        )


def _is_strange(labels: Mapping[str, str]) -> bool:
    """Tell whether nobody like us made it, and it is there to serve."""
    return INSTANCE_LABEL not in labels and labels.get(ONE_OFF, "").lower() != "true"


def _is_meant(wanted: Adoption, attributes: Mapping[str, str]) -> bool:
    if attributes.get("name") in wanted.containers:
        return True
    of = (attributes.get(PROJECT), attributes.get(SERVICE))
    return bool(wanted.project) and of == (wanted.project, wanted.service)
