"""What Docker has of ours: one listing for all apps, and a closer look only where one is needed.

A listing never waits for a container; an inspection does wait for one that is being started, so
apps that look at the same time share a listing, but not inspections. A listing for one app alone
costs Docker a tenth of one for fifty. What an inspection said is kept until an event says look, and
only while events are heard: an app at rest costs one small listing per look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from docker.errors import APIError

from traefik_bg.adapters.docker_connection import ASK_TIMEOUT, Connection
from traefik_bg.adapters.docker_errors import is_gone, unexpected
from traefik_bg.adapters.docker_hooks import hook_label
from traefik_bg.adapters.docker_settings import (
    APP_LABEL,
    INSTANCE_LABEL,
    REPLICA_LABEL,
    REVISION_LABEL,
)
from traefik_bg.core.errors import EngineUnavailable
from traefik_bg.core.model import AppName, ReplicaName, RevisionId
from traefik_bg.core.observation import ContainerState, Health
from traefik_bg.core.ports import Container, Wake

K = TypeVar("K")
T = TypeVar("T")

_STATES = {state.value: state for state in ContainerState} | {
    "dead": ContainerState.EXITED  # its removal failed half-way: to be removed again
}
_KEPT_FOR = 60.0  # Docker drops events for whoever reads too slowly: believe nothing for ever
_HURRY = 0.03  # seconds; an inspection takes milliseconds
_NEVER = "0001-01-01T00:00:00Z"  # how Docker writes "not started yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One container of ours in a listing."""

    id: str
    name: ReplicaName
    app: AppName
    state: ContainerState
    ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inspection:
    """What was seen of a container, and until when it is believed."""

    container: Container
    until: float

    def holds(self, row: Row, now: float) -> bool:
        """Tell whether it is still believed, given what a listing says."""
        return self.container.state is row.state and now < self.until


class Inventory:
    """Answers which containers there are, with as few calls as it takes to be sure."""

    def __init__(self, connection: Connection, instance: str, network: str, wake: Wake) -> None:
        self._connection = connection
        self._wake = wake
        self._instance = instance
        self._network = network
        self._listing = Shared(self._list)
        self._inspected: dict[str, _Inspection] = {}
        self._last: dict[str, Container] = {}
        self._asking: dict[str, object] = {}
        self._late: dict[str, asyncio.Task[Any]] = {}
        """Inspections that wait for Docker: what they say will be old, that they end is news."""
        self._is_heard = False

    async def apps(self) -> frozenset[AppName]:
        """Return the apps that have a container.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        return frozenset(await self._listing.get(None))

    async def containers(self, app: AppName) -> Sequence[Container]:
        """Return the containers of an app.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        rows = (await self._listing.get(app)).get(app, ())
        found = await asyncio.gather(*(self._container(row) for row in rows))
        return tuple(container for container in found if container is not None)

    def trust(self) -> None:
        """Keep what is inspected from now on: every change of it will be heard."""
        self.distrust()
        self._is_heard = True

    def distrust(self) -> None:
        """Keep nothing: changes are not heard."""
        self._is_heard = False
        self._inspected.clear()
        self._asking.clear()

    def forget(self, container_id: str) -> None:
        """Inspect the container anew: something happened to it."""
        self._inspected.pop(container_id, None)
        self._asking.pop(container_id, None)

    async def close(self) -> None:
        """Stop asking."""
        late, self._late = list(self._late.values()), {}
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await self._listing.close()

    async def _list(self, wanted: frozenset[AppName | None]) -> Mapping[AppName, Sequence[Row]]:
        """List one app's containers if only one is wanted, or else those of all apps."""
        one = next(iter(wanted)) if len(wanted) == 1 else None
        labels = [f"{INSTANCE_LABEL}={self._instance}"]
        if one is not None:
            labels.append(f"{APP_LABEL}={one}")
        filters = {"label": labels}
        try:
            listed = await self._connection.call(
                lambda client: client.containers(all=True, filters=filters), within=ASK_TIMEOUT
            )
        except APIError as error:
            raise unexpected(error, "list the containers") from error
        rows = [row(item, self._network) for item in listed if APP_LABEL in item["Labels"]]
        ids = {found.id for found in rows}
        for key, kept in tuple(self._inspected.items()):
            if key not in ids and one in {None, kept.container.app}:
                del self._inspected[key]
        for key, last in tuple(self._last.items()):
            if key not in ids and one in {None, last.app}:
                del self._last[key]
        apps: dict[AppName, list[Row]] = {}
        for found in rows:
            apps.setdefault(found.app, []).append(found)
        return apps

    async def _container(self, row: Row) -> Container | None:
        """Return the row's container; None when it has vanished since it was listed."""
        now = asyncio.get_running_loop().time()
        if (kept := self._inspected.get(row.id)) is not None and kept.holds(row, now):
            return replace(kept.container, ip=row.ip, name=row.name)
        asking = self._asking[row.id] = object()
        last = self._last.get(row.id)
        try:
            if last is None or _runs(row):
                found = container(await self._inspect(row.id), self._network)
            elif (answer := await self._inspect_in_haste(row)) is not None:
                found = container(answer, self._network)
            else:
                return replace(last, state=row.state, ip=row.ip, pid=0, exit_code=None)
        except APIError as error:
            if is_gone(error):
                return None
            raise unexpected(error, f"inspect {row.name}") from error
        self._last[row.id] = found
        # An event since we asked has taken the mark away: then the answer may already be old.
        if self._asking.pop(row.id, None) is asking and self._is_heard:
            self._inspected[row.id] = _Inspection(container=found, until=now + _KEPT_FOR)
        return found

    async def _inspect_in_haste(self, row: Row) -> Any:
        """Return what Docker says of a container that does not run; None: it lets us wait.

        Docker answers nothing about a container while it starts it again, which takes a second on a
        busy machine. That it does not run is all one must know at once; when Docker answers again,
        its app is looked at again.
        """
        if row.id in self._late:
            return None
        task = asyncio.create_task(self._inspect(row.id), name=f"inspect {row.name}")
        try:
            done, _ = await asyncio.wait([task], timeout=_HURRY)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if done:
            return task.result()
        self._late[row.id] = task
        task.add_done_callback(lambda _task: self._answered(row))
        return None

    def _answered(self, row: Row) -> None:
        if (task := self._late.pop(row.id, None)) is not None:
            _retrieve(task)  # whatever it says is old by now
            self._wake(row.app)

    async def _inspect(self, container_id: str) -> Any:
        return await self._connection.call(
            lambda client: client.inspect_container(container_id), within=ASK_TIMEOUT
        )


class Shared(Generic[K, T]):
    """Lets all who ask at the same time share one answer; nobody gets one begun before asking."""

    def __init__(self, ask: Callable[[frozenset[K]], Awaitable[T]]) -> None:
        self._ask = ask
        self._wanted: set[K] = set()
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def get(self, wanted: K) -> T:
        """Return an answer, to a question put after this call, that covers what is wanted."""
        self._wanted.add(wanted)
        if self._next is None:
            self._next = asyncio.create_task(self._follow(self._running), name="docker-listing")
            self._next.add_done_callback(_retrieve)
        return await asyncio.shield(self._next)

    async def close(self) -> None:
        """Cancel what is under way."""
        tasks = [task for task in (self._running, self._next) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        wanted = frozenset(self._wanted)
        self._wanted.clear()
        return await self._ask(wanted)


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Keep asyncio from complaining of an error nobody waited for any more."""
    if not task.cancelled():
        task.exception()


def _runs(row: Row) -> bool:
    return row.state is ContainerState.RUNNING


def row(item: Mapping[str, Any], network: str) -> Row:
    """Return one entry of Docker's listing."""
    # A linked container is listed under "/other/alias" too; its own name has one slash.
    name = next((name for name in item["Names"] or () if name.count("/") == 1), "/" + item["Id"])
    return Row(
        id=item["Id"],
        name=ReplicaName(name[1:]),
        app=AppName(item["Labels"][APP_LABEL]),
        state=_state(item["State"]),
        ip=_address(item, network),
    )


def container(item: Mapping[str, Any], network: str) -> Container:
    """Return a container of ours as Docker's inspection describes it."""
    labels = item["Config"]["Labels"]
    return described(
        item,
        network,
        app=AppName(labels[APP_LABEL]),
        revision=RevisionId(labels.get(REVISION_LABEL, "")),
        number=labels.get(REPLICA_LABEL, ""),
    )


def described(
    item: Mapping[str, Any], network: str, *, app: AppName, revision: RevisionId, number: str
) -> Container:
    """Return whose container this is, and how, as Docker's inspection describes it."""
    state = item["State"]
    status = _state(state["Status"])
    has_ended = status in {ContainerState.EXITED, ContainerState.RESTARTING}
    started = state["StartedAt"]
    return Container(
        name=ReplicaName(item["Name"].removeprefix("/")),
        app=app,
        revision=revision,
        number=int(number) if number.isdecimal() else 0,
        id=item["Id"],
        state=status,
        life="" if started == _NEVER else started,
        image_id=item["Image"],
        ip=_address(item, network),
        pid=state["Pid"],
        exit_code=state["ExitCode"] if has_ended else None,
        restarts=item.get("RestartCount", 0),
        docker_health=_health(state.get("Health")),
        hook=hook_label(item["Config"]["Labels"] or {}),
    )


def _state(word: str) -> ContainerState:
    try:
        return _STATES[word]
    except KeyError:
        raise EngineUnavailable(f"Docker calls a container {word!r}: nobody knows what") from None


def _address(item: Mapping[str, Any], network: str) -> str:
    endpoint = (item["NetworkSettings"]["Networks"] or {}).get(network) or {}
    return str(endpoint.get("IPAddress") or endpoint.get("GlobalIPv6Address") or "")


def _health(verdict: Mapping[str, Any] | None) -> Health | None:
    """Return the HEALTHCHECK's verdict; Docker says "none" where there is no check."""
    status = (verdict or {}).get("Status") or "none"
    if status == "none":
        return None
    return Health(status) if status in set(Health) else Health.UNKNOWN
