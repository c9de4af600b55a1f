"""Docker, as the runtime needs it: what there is of ours, and the verbs that change it.

The only way to containers. Each verb is safe to find already done, and touches a
container by its id, only after Docker's description of that very id has shown our instance's label
(law S6): a name can change hands at any moment, an id cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import requests
import structlog
from docker import APIClient
from docker.errors import APIError, NotFound

from traefik_bg.adapters.docker_connection import ACT_TIMEOUT, ASK_TIMEOUT, Connection
from traefik_bg.adapters.docker_errors import (
    is_gone,
    is_name_taken,
    refused_creation,
    refused_start,
    spoken,
    unexpected,
)
from traefik_bg.adapters.docker_events import EventStream
from traefik_bg.adapters.docker_filling import Filling
from traefik_bg.adapters.docker_images import DockerImages
from traefik_bg.adapters.docker_inventory import Inventory
from traefik_bg.adapters.docker_log_lines import printable
from traefik_bg.adapters.docker_logs import DockerLogs
from traefik_bg.adapters.docker_settings import (
    APP_LABEL,
    INSTANCE_LABEL,
    REPLICA_LABEL,
    REVISION_LABEL,
    Creation,
    creation,
)
from traefik_bg.adapters.vault import Vault
from traefik_bg.core.errors import Conflict, EngineUnavailable, SpecRefused
from traefik_bg.core.model import AppName, AppSpec, ReplicaName
from traefik_bg.core.ports import Container, Wake

T = TypeVar("T")

DOCKER_GRACE = 10  # seconds between signal and kill, where neither image nor spec says otherwise
LINE_LENGTH = 500  # of a log line, for people: a rejection's reason is no place for a dump

log = structlog.get_logger(__name__)

_Description = Mapping[str, Any]


class DockerEngine:
    """Implements the port `Engine`; as a context manager it listens to events too."""

    def __init__(
        self,
        instance: str,
        network: str,
        wake: Wake,
        base_url: str | None = None,
        *,
        vault: Vault | None = None,
    ) -> None:
        self._instance = instance
        self._network = network
        self._wake = wake
        self._docker = Connection(base_url)
        self._inventory = Inventory(self._docker, instance, network, wake)
        self._filling = Filling(self._docker, instance, vault or Vault())
        self._events: EventStream | None = None
        self.logs = DockerLogs(self._docker, instance)
        """What the containers print."""
        self.images = DockerImages(self._docker)
        """The images they are made from."""

    async def __aenter__(self) -> Self:
        self._events = EventStream(
            self._docker,
            self._instance,
            opened=self._look_at_everything,
            seen=self._look_at,
            lost=self._inventory.distrust,
        )
        self._events.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._events is not None:
            await self._events.close()
        await self.logs.close()
        await self._inventory.close()
        await self._docker.close()

    def _look_at_everything(self) -> None:
        self._inventory.trust()
        self._wake(None)

    def _look_at(self, container_id: str, app: AppName | None) -> None:
        self._inventory.forget(container_id)
        if app is not None:
            self._wake(app)

    # --- what there is ----------------------------------------------------------------------------

    async def containers(self, app: AppName) -> Sequence[Container]:
        """Return all containers of an app, whatever their state; listed after this call.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        return await self._inventory.containers(app)

    async def apps(self) -> frozenset[AppName]:
        """Return the names of all apps that have a container.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        return await self._inventory.apps()

    async def tail(self, name: ReplicaName, lines: int) -> tuple[str, ...]:
        """Return the last lines a container wrote; none when it is gone or a stranger.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        try:
            found = await self._ours(name)
            if found is None:
                return ()
            raw = await self._ask(lambda docker: docker.logs(found["Id"], tail=lines))
        except (APIError, SpecRefused):
            return ()  # gone meanwhile, or its logging driver cannot be read
        text = printable(raw).rstrip()
        return tuple(line.rstrip()[:LINE_LENGTH] for line in text.splitlines())

    # --- the verbs --------------------------------------------------------------------------------

    async def create(self, name: ReplicaName, number: int, spec: AppSpec, image: str) -> None:
        """Create a container from this image, which may be named more exactly than in the spec.

        One of that name and revision that is already there is fine. Its secrets and configs are
        put in when it is started.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been created.
            ImageNotFound: the image is not on this machine.
            SpecRefused: Docker rejects the settings, what a secret held is not to be had any
                more, or the name belongs to a stranger.
        """
        labels = {
            INSTANCE_LABEL: self._instance,
            APP_LABEL: str(spec.name),
            REVISION_LABEL: str(spec.revision),
            REPLICA_LABEL: str(number),
        }
        api = await self._docker.api_version()
        wanted = creation(spec, labels=labels, network=self._network, api=api, image=image)
        for network in wanted.endpoints:
            await self._require_network(network)
        for volume in sorted(wanted.volumes):
            await self._require_volume(volume)
        await self._filling.held(spec.name, wanted.contents)  # say so before anything is made
        try:
            made = await self._act(
                lambda docker: docker.create_container_from_config(  # type: ignore[no-untyped-call]
                    wanted.body, name, wanted.platform
                )
            )
        except APIError as error:
            if not is_name_taken(error):
                raise refused_creation(error, name, image) from error
            made = await self._already_there(name, labels)
        for warning in made.get("Warnings") or ():
            log.warning("container.odd", app=spec.name, container=name, what=warning)
        await self._connect(name, made["Id"], wanted)

    async def start(self, name: ReplicaName) -> None:
        """Start a container; one that runs already is fine, one that is paused goes on.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been started.
            SpecRefused: it cannot be started, what a secret held is not to be had any more, or the
                name belongs to a stranger.
            Conflict: it is gone.
        """
        found = await self._ours(name)
        if found is None:
            raise Conflict(f"{name} is gone")
        await self._filling.fill(name, found)
        container_id, is_paused = found["Id"], found["State"]["Paused"]
        try:
            if is_paused:
                await self._act(lambda docker: docker.unpause(container_id))
            else:
                await self._act(lambda docker: docker.start(container_id))
        except APIError as error:
            raise refused_start(error, name) from error

    async def stop(self, name: ReplicaName) -> None:
        """Stop a container with its own signal and grace period; gone or stopped is fine.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been stopped.
            SpecRefused: the name belongs to a stranger.
        """
        found = await self._ours(name)
        if found is None or not found["State"]["Running"]:
            return
        container_id, grace = found["Id"], found["Config"].get("StopTimeout")
        try:
            # docker-py adds the grace period to its own time limit.
            await self._docker.call(
                lambda docker: docker.stop(container_id, timeout=grace),
                within=(grace or DOCKER_GRACE) + ACT_TIMEOUT,
                is_slow=True,
            )
        except APIError as error:
            if not is_gone(error):
                raise unexpected(error, f"stop {name}") from error

    async def remove(self, name: ReplicaName) -> None:
        """Remove a container that does not run, with its anonymous volumes; gone is fine.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been removed.
            Conflict: it runs.
            SpecRefused: the name belongs to a stranger.
        """
        found = await self._ours(name)
        if found is None:
            return
        container_id = found["Id"]
        try:
            await self._act(lambda docker: docker.remove_container(container_id, v=True))
        except APIError as error:
            if is_gone(error) or "already in progress" in spoken(error):
                return
            if error.status_code == requests.codes.conflict:
                raise Conflict(f"{name} cannot be removed now: {spoken(error)}") from error
            raise unexpected(error, f"remove {name}") from error

    # --- steps ------------------------------------------------------------------------------------

    async def _ask(self, ask: Callable[[APIClient], T]) -> T:
        return await self._docker.call(ask, within=ASK_TIMEOUT)

    async def _act(self, act: Callable[[APIClient], T]) -> T:
        return await self._docker.call(act, within=ACT_TIMEOUT)

    async def _ours(self, name: ReplicaName) -> _Description | None:
        """Return Docker's description of our container of that name; None when there is none.

        Raises:
            EngineUnavailable: Docker did not answer.
            SpecRefused: the name belongs to a stranger.
        """
        try:
            found: _Description = await self._ask(lambda docker: docker.inspect_container(name))
        except APIError as error:
            if is_gone(error):
                return None
            raise unexpected(error, f"inspect {name}") from error
        owner = (found["Config"].get("Labels") or {}).get(INSTANCE_LABEL)
        if owner == self._instance:
            return found
        whose = f"instance {owner!r}" if owner else "someone else"
        raise SpecRefused(
            f"the name {name} belongs to a container of {whose}, which is left alone;"
            f" rename it (docker rename {name} …), or rename the app"
        )

    async def _require_network(self, network: str) -> None:
        """Refuse a network that does not exist: Docker itself says so only at the start."""
        try:
            await self._ask(lambda docker: docker.inspect_network(network))
        except NotFound as error:
            raise SpecRefused(
                f"network {network} does not exist; create it: docker network create {network}"
            ) from error
        except APIError as error:
            raise unexpected(error, f"look for network {network}") from error

    async def _require_volume(self, volume: str) -> None:
        """Refuse an external volume that does not exist: Docker itself would make an empty one."""
        try:
            await self._ask(lambda docker: docker.inspect_volume(volume))
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
                f"the name {name} belongs to another replica of ours;"
                f" remove it once nothing is routed to it: docker rm {name}"
            )
        return found

    async def _connect(self, name: ReplicaName, container_id: str, wanted: Creation) -> None:
        """Attach the networks that creation has left out, before anything is started."""
        if len(wanted.endpoints) == 1:
            return
        try:
            found = await self._ask(lambda docker: docker.inspect_container(container_id))
            attached = found["NetworkSettings"]["Networks"]
            for network, endpoint in wanted.endpoints.items():
                if network not in attached:
                    await self._attach(container_id, network, endpoint)
        except APIError as error:
            raise refused_creation(error, name, "") from error

    async def _attach(self, container_id: str, network: str, endpoint: Mapping[str, Any]) -> None:
        """Attach a network; one that is attached already is fine."""
        try:
            await self._act(
                lambda docker: docker.connect_container_to_network(
                    container_id,
                    network,
                    aliases=endpoint.get("Aliases"),
                    driver_opt=endpoint.get("DriverOpts"),
                )
            )
        except APIError as error:
            if "already exists in network" not in spoken(error):
                raise
