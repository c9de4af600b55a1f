"""Makes containers: asks for what they need first, and joins the networks creation leaves out.

Apart from the engine because replicas and hooks are made in the same way, and because a creation
takes several questions. A container of that name and meaning that is already there is fine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from docker.errors import APIError, NotFound

from traefik_bg.adapters.docker_connection import ACT_TIMEOUT, ASK_TIMEOUT, Connection
from traefik_bg.adapters.docker_errors import is_name_taken, refused_creation, spoken, unexpected
from traefik_bg.adapters.docker_filling import Filling
from traefik_bg.adapters.docker_settings import APP_LABEL, Creation
from traefik_bg.core.errors import EngineUnavailable, SpecRefused
from traefik_bg.core.model import ReplicaName

_Description = Mapping[str, Any]

log = structlog.get_logger(__name__)


class Creating:
    """Makes containers of one instance."""

    def __init__(
        self,
        docker: Connection,
        filling: Filling,
        ours: Callable[[ReplicaName], Awaitable[_Description | None]],
    ) -> None:
        self._docker = docker
        self._filling = filling
        self._ours = ours

    async def make(self, name: ReplicaName, wanted: Creation) -> None:
        """Create a container; it is not started.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been created.
            ImageNotFound: the image is not on this machine.
            SpecRefused: Docker rejects the settings, what a secret held is not to be had any
                more, or the name belongs to a stranger.
        """
        for network in wanted.endpoints:
            await self._require_network(network)
        for volume in sorted(wanted.volumes):
            await self._require_volume(volume)
        labels, image = wanted.body["Labels"], wanted.body["Image"]
        await self._filling.held(labels[APP_LABEL], wanted.contents)  # before anything is made
        try:
            made = await self._docker.call(
                lambda docker: docker.create_container_from_config(  # type: ignore[no-untyped-call]
                    wanted.body, name, wanted.platform
                ),
                within=ACT_TIMEOUT,
            )
        except APIError as error:
            if not is_name_taken(error):
                raise refused_creation(error, name, image) from error
            made = await self._already_there(name, wanted.identity)
        for warning in made.get("Warnings") or ():
            log.warning("container.odd", app=labels[APP_LABEL], container=name, what=warning)
        await self._connect(name, made["Id"], wanted)

    async def _require_network(self, network: str) -> None:
        """Refuse a network that does not exist: Docker itself says so only at the start."""
        try:
            await self._docker.call(
                lambda docker: docker.inspect_network(network), within=ASK_TIMEOUT
            )
        except NotFound as error:
            raise SpecRefused(
                f"network {network} does not exist; create it: docker network create {network}"
            ) from error
        except APIError as error:
            raise unexpected(error, f"look for network {network}") from error

    async def _require_volume(self, volume: str) -> None:
        """Refuse an external volume that does not exist: Docker itself would make an empty one."""
        try:
            await self._docker.call(
                lambda docker: docker.inspect_volume(volume), within=ASK_TIMEOUT
            )
        except NotFound as error:
            raise SpecRefused(
                f"volume {volume} is external and does not exist; create it: docker volume create"
                f" {volume}"
            ) from error
        except APIError as error:
            raise unexpected(error, f"look for volume {volume}") from error

    async def _already_there(self, name: ReplicaName, labels: Mapping[str, str]) -> _Description:
        """Return the container that has the name already, if it is the one that was wanted."""
        found = await self._ours(name)
        if found is None:
            raise EngineUnavailable(f"{name} was there and is gone again; look once more")
        if not labels.items() <= found["Config"]["Labels"].items():
            raise SpecRefused(
                f"the name {name} belongs to another container of ours;"
                f" remove it once nothing is routed to it: docker rm {name}"
            )
        return found

    async def _connect(self, name: ReplicaName, container_id: str, wanted: Creation) -> None:
        """Attach the networks that creation has left out, before anything is started."""
        if len(wanted.endpoints) == 1:
            return
        try:
            found = await self._docker.call(
                lambda docker: docker.inspect_container(container_id), within=ASK_TIMEOUT
            )
            attached = found["NetworkSettings"]["Networks"]
            for network, endpoint in wanted.endpoints.items():
                if network not in attached:
                    await self._attach(container_id, network, endpoint)
        except APIError as error:
            raise refused_creation(error, name, "") from error

    async def _attach(self, container_id: str, network: str, endpoint: Mapping[str, Any]) -> None:
        """Attach a network; one that is attached already is fine."""
        try:
            await self._docker.call(
                lambda docker: docker.connect_container_to_network(
                    container_id,
                    network,
                    aliases=endpoint.get("Aliases"),
                    driver_opt=endpoint.get("DriverOpts"),
                ),
                within=ACT_TIMEOUT,
            )
        except APIError as error:
            if "already exists in network" not in spoken(error):
                raise
