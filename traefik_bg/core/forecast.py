"""Plays plans: what a deployment will look like if nothing goes wrong.

`World` is Docker, Traefik and the passing of time in the smallest form that plans can be carried
out on. `traefik-bg plan` prints what it tells; the laws are tested on the same world with faults
added, so what is promised and what is proven cannot drift apart. Pure: its time is a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from traefik_bg.core.actions import (
    Action,
    CreateHook,
    CreateReplica,
    Phase,
    Plan,
    PublishRouting,
    PullImage,
    RemoveReplica,
    RunHook,
    StartReplica,
    StopReplica,
    counted_down,
)
from traefik_bg.core.commands import Verb, obey
from traefik_bg.core.evidence import CheckResult, CheckVerdict, Evidence, Figures, Latency
from traefik_bg.core.model import AppName, AppSpec, ReplicaName, Routing
from traefik_bg.core.observation import ContainerState, Health, HookRun, Observation, Replica
from traefik_bg.core.pins import ways_to_have
from traefik_bg.core.planner import plan
from traefik_bg.core.record import Record
from traefik_bg.core.situation import Situation

ASSUMED_START = 2.0
"""Seconds a forecast assumes a new replica needs until it is healthy; nobody can know."""
ASSUMED_HOOK = 5.0
"""Seconds a forecast assumes a hook needs; nobody can know that either."""
MAX_LOOKS = 500
"""A forecast that has not settled by then never will: it is cut, and says so."""


@dataclass(kw_only=True)
class World:
    """Docker, Traefik and time, as far as one app is concerned."""

    app: AppName
    desired: AppSpec | None
    record: Record = field(default_factory=Record)
    replicas: dict[ReplicaName, Replica] = field(default_factory=dict)
    hooks: dict[ReplicaName, HookRun] = field(default_factory=dict)
    hook_ends: dict[ReplicaName, float] = field(default_factory=dict)
    """At what age each hook is assumed to end."""
    published: Routing | None = None
    images: set[str] = field(default_factory=set)
    confirmed_for: float = 0.0
    weights_for: float = 0.0
    guard_available: bool = False
    hold_available: bool = False
    answers_well: bool = False
    """Whether there are figures and answers of checks, all of them good; else there are none."""
    now: float = 0.0

    @classmethod
    def of(cls, seen: Observation, record: Record) -> World:
        """Return a world that starts where an observation found things."""
        return cls(
            app=seen.app,
            desired=seen.desired,
            record=record,
            replicas={replica.name: replica for replica in seen.replicas},
            hooks={run.name: run for run in seen.hooks},
            hook_ends={run.name: _assumed_age(run) for run in seen.hooks},
            published=seen.published,
            images={image for image, is_here in seen.images.items() if is_here},
            confirmed_for=seen.confirmed_for or 0.0,
            weights_for=seen.weights_for or 0.0,
            guard_available=seen.guard_available,
            hold_available=seen.hold_available,
        )

    def observe(self) -> Observation:
        """Look at everything."""
        specs = [spec for spec in (self.desired, self.record.good) if spec is not None]
        wanted = {way for spec in specs for way in ways_to_have(spec, self.record)}
        return Observation(
            app=self.app,
            desired=self.desired,
            replicas=tuple(self.replicas[name] for name in sorted(self.replicas)),
            hooks=tuple(self.hooks[name] for name in sorted(self.hooks)),
            published=self.published,
            confirmed_for=self.confirmed_for,
            weights_for=self.weights_for,
            images={image: image in self.images for image in wanted},
            guard_available=self.guard_available,
            hold_available=self.hold_available,
            evidence=self._good_evidence() if self.answers_well else None,
            checks=self._good_checks() if self.answers_well else {},
        )

    def _good_evidence(self) -> Evidence:
        """Return enough fast answers of everybody, without an error."""
        analysis = self.desired.rollout.analysis if self.desired is not None else None
        enough = max(1, analysis.min_requests if analysis is not None else 1)
        at_once = Latency(about=0.0, at_least=0.0, at_most=0.0)
        fine = Figures(requests=enough, p50=at_once, p95=at_once, p99=at_once)
        revisions = {replica.revision for replica in self.replicas.values()}
        return Evidence(figures=dict.fromkeys(sorted(revisions), fine), fed_for=self.weights_for)

    def _good_checks(self) -> dict[str, CheckResult]:
        analysis = self.desired.rollout.analysis if self.desired is not None else None
        checks = analysis.checks if analysis is not None else ()
        return {check.name: CheckResult(verdict=CheckVerdict.GOOD) for check in checks}

    def apply(self, action: Action) -> None:
        """Carry out an action, at once and without fail; doing it twice changes nothing."""
        match action:
            case PullImage(image=image):
                self.images.add(image)
            case CreateReplica(name=name, number=number, spec=spec):
                self.replicas.setdefault(
                    name,
                    Replica(
                        name=name,
                        revision=spec.revision,
                        number=number,
                        state=ContainerState.CREATED,
                        unrouted_for=0.0,
                    ),
                )
            case CreateHook() | RunHook():
                self._apply_to_hook(action)
            case StartReplica(name=name):
                self._start(name)
            case PublishRouting(routing=routing):
                self._publish(routing)
            case StopReplica(name=name) if name in self.hooks:
                self.end_hook(name, 143)
            case StopReplica(name=name):
                if name in self.replicas:
                    self.replicas[name] = replace(
                        self.replicas[name],
                        state=ContainerState.EXITED,
                        is_blameless=True,
                        address="",
                        health=Health.UNKNOWN,
                    )
            case RemoveReplica(name=name):
                self.replicas.pop(name, None)
                self.hooks.pop(name, None)

    def _apply_to_hook(self, action: CreateHook | RunHook) -> None:
        """Create a hook's container, or start one that has never been started."""
        name, run = action.name, self.hooks.get(action.name)
        if isinstance(action, CreateHook) and run is None:
            self.hooks[name] = HookRun(
                name=name,
                moment=action.hook.moment,
                revision=action.spec.revision,
                deployment=action.deployment,
                timeout=action.hook.timeout,
                state=ContainerState.CREATED,
            )
        if isinstance(action, RunHook) and run is not None and run.state is ContainerState.CREATED:
            self.hooks[name] = replace(run, state=ContainerState.RUNNING)
            self.hook_ends[name] = _assumed_age(run)

    def end_hook(self, name: ReplicaName, code: int) -> None:
        """Let a hook end."""
        self.hooks[name] = replace(
            self.hooks[name], state=ContainerState.EXITED, exit_code=code, log=("it is done",)
        )

    def _start(self, name: ReplicaName) -> None:
        replica = self.replicas.get(name)
        if replica is None or replica.is_running:
            return
        self.replicas[name] = replace(
            replica,
            state=ContainerState.RUNNING,
            is_blameless=False,
            address=name,
            health=Health.STARTING,
            unrouted_for=0.0,
        )

    def _publish(self, routing: Routing | None) -> None:
        before = self.published
        if routing == before:
            return
        self.published = routing
        self.confirmed_for = 0.0
        if before is None or routing is None or before.split != routing.split:
            self.weights_for = 0.0
        for name, replica in self.replicas.items():
            is_routed = routing is not None and routing.has(name)
            if is_routed:
                self.replicas[name] = replace(replica, unrouted_for=None, idle_for=None)
            elif replica.unrouted_for is None:
                self.replicas[name] = replace(replica, unrouted_for=0.0, idle_for=0.0)

    def advance(self, seconds: float) -> None:
        """Let time pass: replicas come up, timers run."""
        self.now += seconds
        self.confirmed_for += seconds
        self.weights_for += seconds
        for name, replica in self.replicas.items():
            self.replicas[name] = self._aged(replica, seconds)
        for name, run in self.hooks.items():
            if run.state is ContainerState.RUNNING:
                self.hooks[name] = replace(run, age=run.age + seconds)
                self._go_on(name)

    def _go_on(self, name: ReplicaName) -> None:
        """Let a hook that runs end well, when it has had the time it needs."""
        if self.hooks[name].age >= self.hook_ends[name]:
            self.end_hook(name, 0)

    def _aged(self, replica: Replica, seconds: float) -> Replica:
        age = replica.age + (0.0 if replica.state is ContainerState.CREATED else seconds)
        health = replica.health
        if replica.is_running and health is not Health.UNHEALTHY and age >= ASSUMED_START:
            health = Health.HEALTHY
        return replace(
            replica,
            age=age,
            health=health,
            unrouted_for=_plus(replica.unrouted_for, seconds),
            idle_for=_plus(replica.idle_for, seconds),
        )


def _assumed_age(run: HookRun) -> float:
    """Return at what age a hook ends well: in time, however long it has run already."""
    return run.age + min(ASSUMED_HOOK, (run.timeout - run.age) / 2)


def _plus(timer: float | None, seconds: float) -> float | None:
    return None if timer is None else timer + seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One line of a forecast: when, what is done, and why."""

    after: float
    """Seconds from now, without those for which somebody lets it wait for approval."""
    plan: Plan
    approvals: int = 0
    """How many approvals it comes after."""
    is_judged: bool = False
    """Whether green's answers, which are assumed to be good, decide if this goes on."""

    @property
    def awaits_approval(self) -> bool:
        """Tell whether nothing more happens until somebody promotes it."""
        return self.plan.phase is Phase.WAITING


def forecast(seen: Observation, record: Record) -> Iterator[Stage]:
    """Yield every plan to come until the app is settled, if all goes well.

    If green answers well, that is, and if somebody promotes it whenever it waits for that: nobody
    can know when.
    """
    world = World.of(seen, record)
    world.answers_well = True
    last, approvals = "", 0
    for _ in range(MAX_LOOKS):
        looked_at = world.observe()
        now = plan(looked_at, world.record)
        if _news(now) != last or now.actions:
            last = _news(now)
            is_judged = _is_judged(world, now)
            yield Stage(after=world.now, plan=now, approvals=approvals, is_judged=is_judged)
        world.record = now.record
        if now.phase is Phase.WAITING:
            s = Situation(seen=looked_at, record=world.record)
            world.record = obey(Verb.PROMOTE, s).record
            approvals += 1
            continue
        for action in now.actions:
            world.apply(action)
        if now.actions or now.recheck_after == 0.0:
            continue
        if (pause := _pause(world, now)) is None:
            return
        world.advance(pause)


def _news(now: Plan) -> str:
    """Return the reason without its countdown: that fewer seconds are left is no news."""
    return counted_down(now.reason, now.left, now.left or 0.0)


def _is_judged(world: World, now: Plan) -> bool:
    """Tell whether it is a wait in which green's answers count."""
    deployment, desired, routing = world.record.deployment, world.desired, world.published
    if deployment is None or desired is None or routing is None or now.actions:
        return False
    is_asked = routing.weights.get(desired.revision, 0) > 0 or routing.mirror is not None
    return desired.rollout.analysis is not None and is_asked and now.left is not None


def _pause(world: World, now: Plan) -> float | None:
    """Return how long to wait before anything can change; None: nothing will."""
    starting = [
        ASSUMED_START - replica.age
        for replica in world.replicas.values()
        if replica.is_running and replica.health is not Health.HEALTHY
    ]
    working = [
        world.hook_ends[run.name] - run.age
        for run in world.hooks.values()
        if run.state is ContainerState.RUNNING
    ]
    waits = [w for w in (*starting, *working, now.recheck_after) if w is not None and w > 0]
    return min(waits, default=None)
