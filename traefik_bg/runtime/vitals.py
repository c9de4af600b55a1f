"""Keeps a finger on every running replica: one probing task each.

Separate from the observer because probing goes on between looks; a look only reads what is known.
A change of health says "look again". What was learnt of one life of a container is not carried to
the next: a restarted container is unproven, and one that we stopped, or that had ended before we
first looked, starts afresh.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import structlog

from traefik_bg.core.health import Pulse
from traefik_bg.core.model import AppName, HealthPolicy, ReplicaName
from traefik_bg.core.observation import ContainerState, Health
from traefik_bg.core.ports import Container, Prober, Wake

ASK_AGAIN_UNBOUND = 0.05  # seconds; a refused connection costs the app nothing, so ask often


log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """How a container is to be probed."""

    policy: HealthPolicy
    port: int
    """0: nobody knows it, so it cannot be probed."""
    is_urgent: bool
    """Probe at the starting interval: a deployment depends on it."""
    is_serving: bool
    """It was routed when this look was made."""
    is_meant: bool | None
    """Whether we last told it to run, or to end; None: neither."""
    is_busy: bool
    """Something is under way for it."""


@dataclass(slots=True)
class _Patient:
    """What is known of one container."""

    container: Container
    checkup: Checkup
    pulse: Pulse
    first_seen: float
    restarts: int = 0
    task: asyncio.Task[None] | None = None
    hurry: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vital:
    """What a look reads of one container."""

    health: Health
    reason: str
    age: float
    restarts: int
    is_blameless: bool = False
    """It has ended, and that is no evidence against it."""


_BLANK = Vital(health=Health.UNKNOWN, reason="", age=0.0, restarts=0)


def _was_stopped(container: Container, checkup: Checkup) -> bool:
    return container.state is ContainerState.EXITED and checkup.is_meant is False


def _is_to_blame(checkup: Checkup) -> bool:
    """Tell whether a container that has ended without having been seen to run has failed."""
    return checkup.is_meant is True and not checkup.is_busy


class Vitals:
    """The health of one app's replicas."""

    def __init__(self, app: AppName, prober: Prober, wake: Wake) -> None:
        self._app = app
        self._prober = prober
        self._wake = wake
        self._patients: dict[ReplicaName, _Patient] = {}

    def read(
        self, containers: Iterable[Container], checkup: Callable[[Container], Checkup]
    ) -> dict[ReplicaName, Vital]:
        """Take in what Docker says now, and return what is known of each container."""
        now = asyncio.get_running_loop().time()
        present = {container.name: container for container in containers}
        for name in self._patients.keys() - present.keys():
            self._let_go(self._patients.pop(name))
        return {
            name: self._examine(container, checkup(container), now)
            for name, container in present.items()
        }

    def _examine(self, container: Container, checkup: Checkup, now: float) -> Vital:
        patient = self._patients.get(container.name)
        is_running = container.state is ContainerState.RUNNING
        if patient is not None and (
            patient.container.id != container.id or _was_stopped(container, checkup)
        ):
            self._let_go(self._patients.pop(container.name))
            patient = None
        if patient is None:
            if container.state is ContainerState.CREATED:
                return _BLANK
            if container.state is ContainerState.EXITED and not _is_to_blame(checkup):
                return replace(_BLANK, is_blameless=True)
            pulse = Pulse(is_presumed=is_running and checkup.is_serving)
            patient = _Patient(container, checkup, pulse, now)
            self._patients[container.name] = patient
        if patient.pulse.has_been_well and (
            not is_running or patient.container.life != container.life
        ):
            patient.first_seen = now  # how long it may take to be healthy counts from here
            patient.pulse = Pulse(reason=patient.pulse.reason)
        if patient.container.life != container.life and is_running:
            patient.restarts += 1
            patient.pulse = Pulse(health=Health.STARTING, reason="it was restarted")
        if patient.container != container or patient.checkup != checkup:
            patient.container, patient.checkup = container, checkup
            patient.hurry.set()
        can_be_probed = is_running and checkup.port > 0
        if is_running and not can_be_probed:
            patient.pulse = Pulse(reason="nobody knows its port")
        self._attend(patient, can_be_probed)
        return Vital(
            health=patient.pulse.health if is_running else Health.UNKNOWN,
            reason=patient.pulse.reason,
            age=now - patient.first_seen,
            restarts=patient.restarts,
        )

    def _attend(self, patient: _Patient, can_be_probed: bool) -> None:
        if can_be_probed and patient.task is None:
            patient.task = asyncio.create_task(
                self._probe(patient), name=f"probe {patient.container.name}"
            )
        elif not can_be_probed:
            self._let_go(patient)

    async def _probe(self, patient: _Patient) -> None:
        while True:
            patient.hurry.clear()
            container, checkup = patient.container, patient.checkup
            policy = checkup.policy
            try:
                result = await self._prober.probe(container, checkup.port, policy)
            except Exception as error:
                # Our own mistake says nothing about the replica: what is known of it stays.
                log.exception("probe.failed", app=self._app, replica=container.name)
                patient.pulse = replace(patient.pulse, reason=f"cannot be probed: {error!r}")
                await asyncio.sleep(policy.serving_interval)
                continue
            if patient.container.life != container.life:
                continue
            before, patient.pulse = patient.pulse, patient.pulse.after(result, policy)
            now = patient.pulse
            if (now.health, now.reason) != (before.health, before.reason):
                self._wake(self._app)
            pause = self._pause(patient, is_bound=result.is_bound)
            try:
                async with asyncio.timeout(pause):
                    await patient.hurry.wait()
            except TimeoutError:
                continue

    @staticmethod
    def _pause(patient: _Patient, *, is_bound: bool) -> float:
        policy, pulse = patient.checkup.policy, patient.pulse
        if pulse.health is Health.STARTING and not is_bound:
            return min(ASK_AGAIN_UNBOUND, policy.interval)
        unsure = pulse.health is not Health.HEALTHY or pulse.failures > 0
        return policy.interval if patient.checkup.is_urgent or unsure else policy.serving_interval

    @staticmethod
    def _let_go(patient: _Patient) -> None:
        if patient.task is not None:
            patient.task.cancel()
            patient.task = None

    async def close(self) -> None:
        """End all probing."""
        tasks = [patient.task for patient in self._patients.values() if patient.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._patients.clear()
