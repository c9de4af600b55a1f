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
from docker.errors import APIError

from traefik_bg.adapters.docker_adoption import Adopted
from traefik_bg.adapters.docker_connection import ACT_TIMEOUT, ASK_TIMEOUT, Connection
from traefik_bg.adapters.docker_creating import Creating
from traefik_bg.adapters.docker_errors import (
    is_gone,
    refused_start,
    spoken,
    unexpected,
)
from traefik_bg.adapters.docker_events import EventStream
from traefik_bg.adapters.docker_filling import Filling
from traefik_bg.adapters.docker_hooks import as_hook, hook_labels
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
from traefik_bg.core.errors import Conflict, SpecRefused
from traefik_bg.core.hooks import Hook
from traefik_bg.core.model import Adoption, AppName, AppSpec, ReplicaName
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
        self._adopted = Adopted(self._docker, network)
        self._filling = Filling(self._docker, instance, vault or Vault())
        self._creating = Creating(self._docker, self._filling, self._ours)
        self._events: EventStream | None = None
        self.logs = DockerLogs(self._docker, instance)
        """What the containers print."""
        self.images = DockerImages(self._docker)
        """The images they are made from."""

    async def __aenter__(self) -> Self:
        self._events = EventStream(
            self._docker,
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

    def _look_at(self, container_id: str, attributes: Mapping[str, str]) -> None:
        if attributes.get(INSTANCE_LABEL) == self._instance:
            self._inventory.forget(container_id)
            app = AppName(attributes[APP_LABEL]) if APP_LABEL in attributes else None
        else:
            app = self._adopted.app_of(attributes)
        if app is not None:
            self._wake(app)

    # --- what there is ----------------------------------------------------------------------------

    async def containers(self, app: AppName) -> Sequence[Container]:
        """Return all containers of an app, whatever their state; listed after this call.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        return await self._inventory.containers(app)

    async def adopted(self, app: AppName, adopt: Adoption | None) -> Sequence[Container]:
        """Return the containers of others that an app adopts; from now on they are its own.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        return await self._adopted.containers(app, adopt)

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
        await self._creating.make(
            name, await self._creation(spec, {REPLICA_LABEL: str(number)}, image)
        )

    async def create_hook(
        self, name: ReplicaName, hook: Hook, deployment: int, spec: AppSpec, image: str
    ) -> None:
        """Create the container in which a hook of the app is to run, from this image.

        It has the app's settings but no route, no health check and no restart. One of that name
        that is already there is fine.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been created.
            ImageNotFound: the image is not on this machine.
            SpecRefused: as for a replica.
        """
        wanted = await self._creation(spec, hook_labels(hook, deployment), image)
        await self._creating.make(name, as_hook(wanted, hook))

    async def _creation(self, spec: AppSpec, labels: Mapping[str, str], image: str) -> Creation:
        identity = {
            INSTANCE_LABEL: self._instance,
            APP_LABEL: str(spec.name),
            REVISION_LABEL: str(spec.revision),
            **labels,
        }
        api = await self._docker.api_version()
        return creation(spec, labels=identity, network=self._network, api=api, image=image)

    async def start_once(self, name: ReplicaName) -> None:
        """Start a container that has never been started; any other is left as it is.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been started.
            SpecRefused: as for a replica.
            Conflict: it is gone.
        """
        found = await self._ours(name)
        if found is None or found["State"]["Status"] == "created":
            await self.start(name)

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
        if found["Id"] not in self._adopted:
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
        if container_id in self._adopted:
            raise SpecRefused(f"{name} is not ours to remove: it was adopted")
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

        What an app has adopted counts as ours.

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
        if owner == self._instance or found["Id"] in self._adopted:
            return found
        whose = f"instance {owner!r}" if owner else "someone else"
        raise SpecRefused(
            f"the name {name} belongs to a container of {whose}, which is left alone;"
            f" rename it (docker rename {name} …), or rename the app"
        )
