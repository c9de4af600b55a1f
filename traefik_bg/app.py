"""The composition root: builds everything from the settings, and runs it.

The only module that knows every part. Nothing here decides or acts; parts are made, given to each
other and started in the order in which they need each other, under one task group: if one of them
ends, all do, and whoever runs the service starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import structlog

from traefik_bg.adapters.checks import OutsideChecker
from traefik_bg.adapters.connections import ProcConnectionCounter
from traefik_bg.adapters.desired_file import DesiredFile, edit_image
from traefik_bg.adapters.docker_engine import DockerEngine
from traefik_bg.adapters.lock import Lock
from traefik_bg.adapters.probe import NetworkProber
from traefik_bg.adapters.state_db import StateDb
from traefik_bg.adapters.state_db_history import JournalEntry, PastDeployment
from traefik_bg.adapters.traefik import TraefikRouter
from traefik_bg.adapters.traefik_metrics import TraefikMeter
from traefik_bg.adapters.vault import Vault
from traefik_bg.core.commands import Verb
from traefik_bg.core.errors import CommandRefused, DesiredStateError, Refused
from traefik_bg.core.model import AppName, RevisionId
from traefik_bg.core.observation import Observation
from traefik_bg.core.ports import DesiredState
from traefik_bg.core.record import Record
from traefik_bg.core.tags import TagStatus, with_tag
from traefik_bg.runtime.observer import Observer
from traefik_bg.runtime.operations import Operations
from traefik_bg.runtime.reconciler import AppStatus, Parts
from traefik_bg.runtime.retention import Pulls, Retention
from traefik_bg.runtime.supervisor import Senses, Supervisor
from traefik_bg.runtime.tags import Tags
from traefik_bg.runtime.transcript import Scribe, Transcript, Wanted
from traefik_bg.runtime.triggers import Triggers, wait
from traefik_bg.runtime.vitals import Vitals
from traefik_bg.settings import AddressBy, Settings
from traefik_bg.web.provider import Provider
from traefik_bg.web.server import application, listening, read_token

log = structlog.get_logger()


@dataclass(kw_only=True)
class Service:
    """What the web layer may ask of the running service."""

    settings: Settings
    supervisor: Supervisor
    source: DesiredFile
    tags: Tags
    store: StateDb
    scribe: Scribe

    @property
    def statuses(self) -> Mapping[AppName, AppStatus]:
        """What is known of every app."""
        return self.supervisor.statuses

    @property
    def trouble(self) -> str | None:
        """Why the service does not see everything; None when it does."""
        return self.supervisor.trouble

    @property
    def desired_error(self) -> str | None:
        """Why the newest desired state is not in force; None when it is."""
        return self.source.current().error

    async def command(
        self, app: AppName, verb: Verb, to: RevisionId | None = None, *, is_full: bool = False
    ) -> str:
        """Have an app obey a command; returns the sentence to answer.

        Raises:
            CommandRefused: it makes no sense now.
            Unavailable: it could not be judged or remembered.
        """
        return await self.supervisor.command(app, verb, to, is_full=is_full)

    async def deploy(self, app: AppName, image: str) -> str:
        """Edit the desired state so that the app runs this image.

        Raises:
            CommandRefused: the file cannot be edited; says why.
        """
        try:
            await asyncio.to_thread(edit_image, self.settings.desired, app, image)
        except DesiredStateError as error:
            raise CommandRefused(str(error)) from error
        return f"{app} is to run {image}"

    async def update(self, app: AppName) -> str:
        """Ask at once what the tag of an app's image means, and deploy it if it has moved.

        Raises:
            CommandRefused: there is no tag to follow, or no such image.
            Unavailable: the registry did not answer.
        """
        try:
            return await self.tags.ask(app)
        except Refused as error:
            raise CommandRefused(str(error)) from error

    def tag(self, app: AppName) -> TagStatus | None:
        """Return what is known of an app's tag; None: it is not followed."""
        return self.tags.status(app)

    async def history(self, app: AppName, limit: int = 20) -> tuple[PastDeployment, ...]:
        """Return the app's deployments, newest first."""
        return await self.store.history(app, limit)

    async def journal(self, app: AppName, limit: int = 100) -> tuple[JournalEntry, ...]:
        """Return what was said of the app, newest first."""
        return await self.store.journal(app, limit)

    def transcript(self, app: AppName, wanted: Wanted) -> Transcript:
        """Return what the app's replicas print; it begins when its context is entered."""
        return self.scribe.transcript(app, wanted)


async def serve(settings: Settings) -> None:
    """Run the service until it is told to stop.

    Raises:
        SettingsError: a setting cannot be used.
        StoreUnavailable: another service holds the lock, or the state folder cannot be used.
    """
    token = read_token(settings.token_file)
    with Lock(settings.state_dir, settings.instance) as lock:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        async with _running(settings, token):
            log.info("service.started", listen=str(settings.listen), instance=settings.instance)
            while not stop.is_set():
                await wait(stop, settings.resync)
                lock.acquire()  # anew, if somebody removed the folder it is in
            log.info("service.stopping")


@contextlib.asynccontextmanager
async def _running(settings: Settings, token: str | None) -> AsyncIterator[None]:
    """Start every part, and stop them in reverse order."""
    triggers = Triggers()
    vault = Vault()
    engine = DockerEngine(settings.instance, settings.network, triggers.wake, vault=vault)
    router = _router(settings, triggers)
    store = StateDb(settings.state_dir)
    source = DesiredFile(
        settings.desired,
        lambda app: tags.woken(app),  # noqa: PLW0108 - there are none yet
        vault=vault,
    )
    tags = Tags(source, registry=engine.images, store=store, wake=triggers.wake)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        await stack.enter_async_context(engine)
        supervisor = Supervisor(
            parts=Parts(
                engine=engine,
                images=Pulls(engine.images, store),
                router=router,
                store=store,
                source=tags,
            ),
            senses=await _senses(settings, stack),
            triggers=triggers,
            resync=settings.resync,
            addresses_are_names=settings.address_by is AddressBy.NAME,
            changed=lambda status: retention.hear(status),  # noqa: PLW0108 - it is not made yet
        )
        retention = Retention(
            keep=settings.keep_images,
            shelf=engine.images,
            store=store,
            source=tags,
            statuses=lambda: supervisor.statuses,
            is_blind=lambda: supervisor.trouble is not None,
        )
        scribe = Scribe(roster=engine, logs=engine.logs, triggers=triggers)
        service = Service(
            settings=settings,
            supervisor=supervisor,
            source=source,
            tags=tags,
            store=store,
            scribe=scribe,
        )
        app = application(
            service,
            token=token,
            is_loopback=settings.listen.is_loopback,
            mounts=[Provider(router.publication)],
        )
        listen = settings.listen
        await stack.enter_async_context(listening(app, listen.host, listen.port))
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(source.run(), name="desired state"),
                group.create_task(tags.run(), name="tags"),
                group.create_task(router.run(), name="router"),
                group.create_task(retention.run(), name="retention"),
                group.create_task(supervisor.run(), name="supervisor"),
            ]
            yield
            for task in tasks:
                task.cancel()


def _router(settings: Settings, triggers: Triggers) -> TraefikRouter:
    return TraefikRouter(
        state_dir=settings.state_dir,
        dynamic_dir=settings.dynamic_dir,
        wake=triggers.wake,
        api_urls=settings.traefik_api,
        marker_urls=settings.traefik_marker,
        settle=settings.settle,
    )


async def _senses(settings: Settings, stack: contextlib.AsyncExitStack) -> Senses:
    """Open everybody who is asked how the replicas are."""
    meter = TraefikMeter(settings.traefik_api, settings.traefik_metrics)
    provider = "http" if settings.dynamic_dir is None else "file"
    return Senses(
        prober=await stack.enter_async_context(NetworkProber()),
        counter=ProcConnectionCounter(),
        meter=await stack.enter_async_context(meter),
        checker=await stack.enter_async_context(OutsideChecker(provider)),
    )


async def observe_once(
    settings: Settings, desired: DesiredState
) -> list[tuple[Observation, Record]]:
    """Look at every app once, wanted or still there, changing nothing; for `traefik-bg plan`.

    Raises:
        Unavailable: Docker, the routing file or the record cannot be read.
    """
    triggers = Triggers()
    engine = DockerEngine(settings.instance, settings.network, triggers.wake)
    router = _router(settings, triggers)
    store = StateDb(settings.state_dir)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        await stack.enter_async_context(engine)
        prober = await stack.enter_async_context(NetworkProber())
        await router.look()
        names = {*desired.apps, *await engine.apps(), *router.apps()}
        known = await store.tags() if store.exists else {}
        looks = []
        for name in sorted(names):
            spec = desired.apps.get(name)
            spec = None if spec is None else with_tag(spec, known.get(name))
            observer = Observer(
                name,
                engine=engine,
                images=engine.images,
                router=router,
                counter=ProcConnectionCounter(),
                vitals=Vitals(name, prober, triggers.wake),
                witness=None,  # a single look is no evidence, and no reason to run checks
                inquiry=None,
                operations=Operations(name, triggers.wake),
                addresses_are_names=settings.address_by is AddressBy.NAME,
            )
            stack.push_async_callback(observer.close)
            # Reading makes the database where there is none; looking is to change nothing.
            record = await store.record(name) if store.exists else Record()
            looks.append(((await observer.look(spec, record)).seen, record))
        return looks
