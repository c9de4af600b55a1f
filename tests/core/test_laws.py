"""The laws, against the real planner in a world full of faults.

`TestLaws` walks at random; after every walk the world is made quiet and must settle (L1, L2).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.core.build import WEB, app, canary
from tests.core.faulty_world import (
    BAD_MIGRATION,
    BAD_RULE,
    CRASHES,
    ERRS,
    MISSING,
    NEVER_HEALTHY,
    FaultyWorld,
)
from traefik_bg.core.actions import Phase, Plan, RunHook
from traefik_bg.core.commands import Verb
from traefik_bg.core.hooks import Hook, Moment
from traefik_bg.core.model import AppSpec, Route
from traefik_bg.core.observation import ContainerState, Health
from traefik_bg.core.record import Record
from traefik_bg.core.rollout import (
    Analysis,
    Approval,
    Inconclusive,
    Mirror,
    Preview,
    Rollout,
    Sessions,
    Step,
    Strategy,
)

LIMITS = Analysis(max_error_ratio=0.05, min_requests=20, max_wait=60.0)


def judged(image: str, *weights: int) -> AppSpec:
    """Return a spec whose answers are judged at every step and in the bake."""
    steps = tuple(Step(weight=weight, pause=10.0) for weight in weights)
    return app(image, rollout=Rollout(steps=steps, bake=10.0, drain=5.0, analysis=LIMITS))


def exclusive(
    image: str, *, replicas: int = 1, hooks: tuple[Hook, ...] = (), **changes: Any
) -> AppSpec:
    """Return a spec that must not run beside another."""
    rollout = Rollout(strategy=Strategy.RECREATE, bake=5.0, drain=10.0, hold_requests=15.0)
    return app(image, replicas=replicas, hooks=hooks, rollout=replace(rollout, **changes))


def everything(image: str, *weights: int) -> AppSpec:
    """Return a spec that asks for all there is, all at once."""
    return app(image, rollout=Rollout(
        steps=tuple(Step(weight=w, pause=5.0, needs_approval=w == 50) for w in weights),
        bake=5.0, drain=20.0, analysis=replace(LIMITS, inconclusive=Inconclusive.REJECT),
        preview=Preview(cookie=("preview", "green")), sessions=Sessions.KEEP,
        mirror=Mirror(percent=20, pause=5.0),
    ))  # fmt: skip


MIGRATION = (Hook(moment=Moment.BEFORE, command=("migrate",), timeout=20.0),)
HOOKS = (*MIGRATION, Hook(moment=Moment.AFTER_CUTOVER, command=("warm",), timeout=10.0))

SPECS = [
    app("web:1"),
    app("web:1", replicas=1),
    app("web:1", replicas=3),
    app("web:2"),
    canary("web:2", 10, 50, pause=20.0),
    canary("web:3", 5, pause=10.0),
    app("web:4", rollout=Rollout(bake=0.0, drain=2.0)),
    app("web:5", rollout=Rollout(bake=10.0, drain=5.0, approval=Approval.MANUAL)),
    app(NEVER_HEALTHY),
    app(CRASHES),
    app(MISSING),
    app("web:2", hold=True),
    app("web:1", routes=(Route(rule="Host(`other.example`)"),)),
    app("web:4", routes=(Route(rule="Host(`other.example`)"),)),
    app("web:1", routes=(Route(rule=BAD_RULE),)),
    app("web:4", routes=(Route(rule=BAD_RULE),)),
    judged("web:3", 5, 50),
    judged(ERRS, 10, 50),
    judged(ERRS),
    app("web:3", rollout=Rollout(
        bake=5.0, drain=5.0, analysis=replace(LIMITS, inconclusive=Inconclusive.REJECT),
    )),
    app("web:3", rollout=Rollout(
        steps=(Step(weight=25, pause=5.0, needs_approval=True), Step(weight=50, pause=5.0)),
        bake=5.0, drain=5.0, preview=Preview(header=("X-Preview", "green")),
    )),
    app("web:2", rollout=Rollout(bake=5.0, drain=20.0, sessions=Sessions.KEEP)),
    app("web:3", rollout=Rollout(
        steps=(Step(weight=50, pause=5.0),), bake=5.0, drain=20.0, sessions=Sessions.KEEP,
    )),
    app("web:4", rollout=Rollout(
        bake=5.0, drain=5.0, mirror=Mirror(percent=20, pause=10.0), analysis=LIMITS,
    )),
    app(ERRS, rollout=Rollout(bake=5.0, mirror=Mirror(percent=20, pause=10.0), analysis=LIMITS)),
    app("web:4", rollout=Rollout(
        bake=5.0, drain=5.0, mirror=Mirror(percent=50, pause=5.0, all_methods=True),
        steps=(Step(weight=50, pause=5.0),), approval=Approval.MANUAL,
    )),
    app("web:3", rollout=Rollout(
        steps=(Step(weight=10, pause=5.0),), bake=5.0, drain=5.0,
        analysis=replace(LIMITS, inconclusive=Inconclusive.REJECT),
    )),
    everything("web:3", 10, 50),
    everything("web:2", 50),
    everything("web:4", 50),
    everything(ERRS, 10),
    exclusive("web:2", replicas=2),
    exclusive("web:4", replicas=3, analysis=LIMITS),
    exclusive("web:1"),
    exclusive("web:2"),
    exclusive("web:3", approval=Approval.MANUAL),
    exclusive(ERRS, analysis=LIMITS),
    exclusive(NEVER_HEALTHY),
    exclusive(CRASHES),
    exclusive(MISSING),
    app("web:2", hooks=HOOKS),
    replace(canary("web:3", 50, pause=5.0), hooks=MIGRATION),
    app(BAD_MIGRATION, hooks=HOOKS),
    exclusive("web:2", hooks=HOOKS),
    exclusive(BAD_MIGRATION, hooks=MIGRATION),
]  # fmt: skip


THEMES = {
    "everything": SPECS,
    "side by side": [
        spec for spec in SPECS if spec.rollout.strategy is not Strategy.RECREATE and not spec.hooks
    ],
    "steps": [spec for spec in SPECS if spec.rollout.steps or spec.image == "web:1"],
    "recreate": [spec for spec in SPECS if spec.rollout.strategy is Strategy.RECREATE],
    "hooks": [spec for spec in SPECS if spec.hooks or spec.image == "web:1"],
    "sessions": [
        spec for spec in SPECS if spec.rollout.sessions is Sessions.KEEP or spec.image == "web:1"
    ],
    "analysis": [
        spec for spec in SPECS if spec.rollout.analysis is not None or spec.image == "web:1"
    ],
}
"""What a walk is about: among few wishes each is met in more ways than among all of them."""

LONGEST_HOLD = 120.0
"""Seconds that requests may wait for us in a quiet world: until a hook of a deployment that is over
has ended (20), blue has drained (5), green has migrated (5) and was not healthy in time (60), and
what ran before is back, if it has been started too often to be started at once."""
GIVEN_UP = 100.0
"""Seconds after which nobody waits any more for a replica that is not healthy."""


STUCK = {Phase.WAITING, Phase.BLOCKED}
"""Where somebody else is to do something first."""


def settle(world: FaultyWorld, *, looks: int = 400) -> None:
    """Let the service work in a quiet world until it has nothing left to do."""
    world.held_since, world.longest_hold = None, 0.0
    for _ in range(looks):
        made = world.tick()
        held = world.longest_hold
        assert held < LONGEST_HOLD, f"S3: requests wait for {held:.0f} s: {made.reason}"
        if crashes_for_ever(world) or answers_badly_for_ever(world, made):
            return
        if made.actions or made.recheck_after == 0.0:
            continue
        # What is not healthy by its deadline never will be; it may stay where nobody knows better.
        starting = any(
            r.is_running and r.health is not Health.HEALTHY and r.age < GIVEN_UP
            for r in world.replicas.values()
        )
        if made.phase is Phase.PAUSED or (made.recheck_after is None and not starting):
            return
        waits = [w for w in (made.recheck_after, 2.0 if starting else None) if w]
        world.advance(min(waits))
    raise AssertionError(f"L1: not settled after {looks} looks: {world.tick().reason}")


def crashes_for_ever(world: FaultyWorld) -> bool:
    """Tell whether all there is ends at every start, and nobody knows anything better.

    It is started again, ever more slowly, as Docker's own restart policy would: that never ends.
    """
    record, desired = world.record, world.desired
    if record.good is not None or desired is None or not record.rejects(desired):
        return False
    tried = [name for name, starts in world.starts.items() if len(starts) > 8]
    return any(name in world.replicas and world.image_of(name) == CRASHES for name in tried)


def answers_badly_for_ever(world: FaultyWorld, made: Plan) -> bool:
    """Tell whether all there is answers with errors: it stays, and does not become good."""
    desired, loaded = world.desired, world.loaded
    if world.record.good is not None or desired is None or loaded is None:
        return False
    if made.actions or made.phase is not Phase.BAKING:
        return False
    is_alone = loaded.weights == {desired.revision: 100}
    return is_alone and world.errs(desired.revision) and world.now - world.stood_since > GIVEN_UP


def quiet(world: FaultyWorld) -> None:
    """End every fault."""
    world.lags, world.answers, world.is_starved = False, True, False
    world.hooks_hang, world.docker_takes = False, 0.0
    world.land()
    world.connections.clear()
    for name, replica in world.replicas.items():
        if replica.health is Health.UNHEALTHY:
            world.replicas[name] = replace(replica, health=Health.UNKNOWN)
    world.advance(2.0)


def assert_settled(world: FaultyWorld) -> None:
    """Require that the desired state is reached, or rejected with a reason (L1, L2)."""
    made, record, desired = world.tick(), world.record, world.desired
    if crashes_for_ever(world):
        return
    assert not made.actions, "L2: a settled world yields actions"
    if desired is None:
        assert not world.replicas, "L1: an unwanted app is still there"
        assert not world.hooks, "L1: hooks of an unwanted app are still there"
        assert world.published is None, "L1: an unwanted app is still routed"
        assert record == Record(), "L1: an unwanted app is still remembered"
        return
    if desired.hold or made.phase in STUCK or answers_badly_for_ever(world, made):
        return
    assert record.deployment is None, f"L1: a deployment never ends: {made.reason}"
    wanted = desired
    if record.rejects(desired):
        assert record.rejection is not None
        assert record.rejection.reason in made.reason, "L1: rejected without saying why"
        if record.good is None:
            assert_brought_back(world)
            return
        wanted = record.good
    assert not world.hooks, "L2: what hooks left is still there"
    assert world.published is not None, "L1: not routed"
    assert world.published.weights == {wanted.revision: 100}, "L1: traffic is elsewhere"
    assert world.published.routes == wanted.routes
    further = [s.revision for s in world.published.all_shares if s.weight == 0]
    assert not further, f"L1: {further} get requests without a weight"
    assert world.published.holds_for is None, "L1: requests are held for ever"
    assert len(list(world.published.servers)) == wanted.replicas, "L1: not all replicas serve"
    assert {r.revision for r in world.replicas.values()} == {wanted.revision}, "L1: leftovers"


def assert_brought_back(world: FaultyWorld) -> None:
    """Require that what was stopped for a version that failed runs again, whoever it was (L4)."""
    desired = world.desired
    if desired is None or desired.rollout.strategy is not Strategy.RECREATE:
        return
    others = [r for r in world.replicas.values() if r.revision != desired.revision]
    stopped = [r.name for r in others if r.state is ContainerState.EXITED and r.is_blameless]
    runs = any(r.is_running for r in others)
    assert runs or not stopped, f"L4: {stopped} were stopped for {desired.image}, and stay so"


class Walk(RuleBasedStateMachine):
    """One app, one service, and everything that can happen to them."""

    about: tuple[str, ...] = tuple(THEMES)

    @initialize(
        first=st.integers(0, 4), theme=st.integers(0, len(THEMES) - 1), is_settled=st.booleans()
    )
    def begin(self, first: int, theme: int, is_settled: bool) -> None:
        self.theme = THEMES[self.about[theme % len(self.about)]]
        self.world = FaultyWorld(app=WEB, desired=None, images={"web:1"}, guard_available=True)
        self.world.want(SPECS[first])
        if is_settled:
            settle(self.world)

    @rule(which=st.integers(0, len(SPECS) - 1))
    def edit(self, which: int) -> None:
        self.world.want(self.theme[which % len(self.theme)])

    @rule()
    def remove_app(self) -> None:
        self.world.want(None)

    @rule(times=st.integers(1, 4))
    def look(self, times: int) -> None:
        for _ in range(times):
            self.world.tick()

    @rule(times=st.integers(5, 60))
    def go_on(self, times: int) -> None:
        for _ in range(times):
            made = self.world.tick()
            self.world.advance(made.recheck_after or 0.5)

    @rule(
        which=st.integers(0, 5),
        takes=st.sampled_from([0.0, 0.3, 3.0]),
        then=st.sampled_from(["nothing", "kill", "remove", "die"]),
    )
    def meet_a_hook(self, which: int, takes: float, then: str) -> None:
        hooked = [spec for spec in self.theme if spec.hooks]
        if not hooked:
            return
        self.world.docker_takes = takes
        self.world.want(hooked[which % len(hooked)] if which else self.world.desired)
        self._until_a_hook_is_under_way(stops_early=takes < 1.0)
        running = [run.name for run in self.world.hooks.values() if run.may_run]
        if then == "die":
            self.world.die(lands=takes < 1.0)
        elif running and then == "remove":
            self.world.remove_hook(running[0])
        elif running and then == "kill":
            self.world.end_hook(running[0], 137)

    def _until_a_hook_is_under_way(self, *, stops_early: bool) -> None:
        for _ in range(60):
            desired, good = self.world.desired, self.world.record.good
            if desired is None or not desired.hooks or (good and good.revision == desired.revision):
                return
            runs = any(run.may_run for run in self.world.hooks.values())
            is_starting = any(isinstance(x, RunHook) for *_, x in self.world.in_flight)
            if runs or is_starting or (self.world.in_flight and stops_early):
                return
            made = self.world.tick()
            self.world.advance(min(made.recheck_after or 0.5, 2.0))

    @rule(cut=st.integers(0, 3), amnesia=st.booleans(), lands=st.booleans())
    def die_in_the_middle(self, cut: int, amnesia: bool, lands: bool) -> None:
        self.world.tick(cut=cut, amnesia=amnesia and cut == 0)
        self.world.die(lands=lands)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 31.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(
        which=st.integers(0, 9),
        how=st.sampled_from(["kill", "sicken", "heal", "remove", "restart"]),
    )
    def touch(self, which: int, how: str) -> None:
        names = sorted(self.world.replicas)
        if not names:
            return
        name = names[which % len(names)]
        seen = self.world.replicas[name]
        if how == "remove":
            del self.world.replicas[name]
        elif how == "kill" and seen.is_running:
            self.world.kill(name)
        elif seen.is_running:
            health = {
                "sicken": Health.UNHEALTHY,
                "heal": Health.HEALTHY,
                "restart": Health.STARTING,
            }.get(how, seen.health)
            restarts = seen.restarts + (how == "restart")
            self.world.replicas[name] = replace(seen, health=health, restarts=restarts, age=0.0)

    @rule()
    def docker_restarts(self) -> None:
        for name, run in self.world.hooks.items():
            if run.state is ContainerState.RUNNING:
                self.world.end_hook(name, 137)
        for name, seen in self.world.replicas.items():
            if seen.state is ContainerState.RUNNING:
                self.world.kill(name)

    @rule(which=st.integers(0, 9), count=st.integers(0, 3))
    def connect(self, which: int, count: int) -> None:
        names = [
            server.replica for server in (self.world.loaded.servers if self.world.loaded else ())
        ]
        if names:
            self.world.connections[names[which % len(names)]] = count

    @rule(hang=st.booleans(), obey=st.booleans())
    def hooks_misbehave(self, hang: bool, obey: bool) -> None:
        self.world.hooks_hang, self.world.hooks_obey = hang, obey

    @rule(lags=st.booleans(), answers=st.booleans())
    def traefik_lags(self, lags: bool, answers: bool) -> None:
        self.world.lags, self.world.answers = lags, answers

    @rule(
        requests=st.sampled_from([0.0, 0.5, 10.0]), has_figures=st.booleans(), starved=st.booleans()
    )
    def traffic_changes(self, requests: float, has_figures: bool, starved: bool) -> None:
        self.world.requests = requests
        self.world.has_figures, self.world.is_starved = has_figures, starved

    @rule()
    def traefik_forgets(self) -> None:
        self.world.observe()
        if not self.world.lags:
            self.world.may_run.append(self.world.loaded)

    @rule(lands=st.booleans())
    def lose_record(self, lands: bool) -> None:
        self.world.die(lands=lands)  # while it lives it has the record in memory
        self.world.lose_record()

    @rule(verb=st.sampled_from(list(Verb)))
    def command(self, verb: Verb) -> None:
        self.world.command(verb)

    @precondition(lambda self: hasattr(self, "world"))
    @invariant()
    def shares_add_up(self) -> None:
        routing = self.world.published
        if routing is not None and routing.shares:
            assert sum(routing.weights.values()) == 100

    def calm_down(self) -> None:
        """End every fault, and let the service finish."""
        if self.world.record.paused:
            self.world.command(Verb.RESUME)
        quiet(self.world)
        settle(self.world)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.calm_down()
            assert_settled(self.world)


class TestLaws(Walk.TestCase):  # type: ignore[misc, valid-type]
    """S1 to S7 after every action, L1 to L4 after every walk."""

    settings = settings(
        max_examples=150,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
