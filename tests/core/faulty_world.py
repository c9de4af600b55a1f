"""The forecast's world with faults, and checkers that know the laws but not the rules.

The checkers keep their own ledger (who is good, what Traefik may run, for how long it has stood),
so that a planner that fools itself does not fool them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from traefik_bg.core.actions import (
    Action,
    CreateHook,
    CreateReplica,
    Outcome,
    Plan,
    PublishRouting,
    PullImage,
    RemoveReplica,
    RunHook,
    StartReplica,
    StopReplica,
    subject,
)
from traefik_bg.core.commands import Verb, obey
from traefik_bg.core.errors import CommandRefused
from traefik_bg.core.evidence import Evidence, Figures
from traefik_bg.core.forecast import ASSUMED_HOOK, World
from traefik_bg.core.hooks import Moment
from traefik_bg.core.model import AppName, AppSpec, ReplicaName, RevisionId, Routing, Server
from traefik_bg.core.names import is_hook_of
from traefik_bg.core.observation import ContainerState, Health, Observation, Replica
from traefik_bg.core.planner import plan
from traefik_bg.core.record import Record
from traefik_bg.core.rollout import Approval, Inconclusive, Sessions, Strategy
from traefik_bg.core.situation import FULL, Situation

NEVER_HEALTHY = "web:never-healthy"
CRASHES = "web:crashes"
ERRS = "web:errs"
"""Healthy to every probe, but one answer in ten is an error."""
BAD_MIGRATION = "web:bad-migration"
"""What is to run before it ends with an error."""
MISSING = "web:missing"
REFUSED = "web:refused"
BAD_RULE = "Host(`web.example`"
"""A rule that Traefik refuses."""


@dataclass(kw_only=True)
class FaultyWorld(World):
    """Docker and Traefik on a bad day, watched by the laws."""

    loaded: Routing | None = None
    """What Traefik runs: behind `published` while it lags."""
    may_run: list[Routing | None] = field(default_factory=list)
    """Everything published since Traefik was last known to be up to date."""
    lags: bool = False
    answers: bool = True
    connections: Counter[ReplicaName] = field(default_factory=Counter)
    unrouted_since: dict[ReplicaName, float] = field(default_factory=dict)
    """Truth: since when no Traefik can have routed to it."""
    stood_since: float = 0.0
    """Truth: since when the loaded weights are what they are."""
    refusals: dict[str, str] = field(default_factory=dict)
    proven_good: AppSpec | None = None
    """Truth: the last spec that was made good."""
    rejected: set[str] = field(default_factory=set)
    """Truth: digests of rejected specs that nobody asked to retry."""
    timers_lost_at: float = 0.0
    requests: float = 10.0
    """A second, as Traefik counts them; 0: nobody comes."""
    has_figures: bool = True
    is_starved: bool = False
    """Traefik reloads so often that a small share gets nothing."""
    promoted: tuple[RevisionId, int, bool] | None = None
    """Truth: what an operator let go on in the deployment under way, from which weight, how far."""
    turned_from: set[RevisionId] = field(default_factory=set)
    """Truth: what an operator went back from, since the last edit."""
    starts: dict[ReplicaName, list[float]] = field(default_factory=dict)
    """When each container was started: starting it again and again is slowed down."""

    hooks_hang: bool = False
    hooks_obey: bool = False
    """A hook that is told to end says that all is well."""
    hooks_started: set[ReplicaName] = field(default_factory=set)
    """Truth: every hook that was started, since nothing was forgotten."""
    hooks_of_lost_records: set[ReplicaName] = field(default_factory=set)
    """Truth: hooks that were told to start before all was forgotten, and have not started yet."""
    hooks_began: dict[ReplicaName, float] = field(default_factory=dict)
    """Truth: when each hook began."""
    hooks_done: set[RevisionId] = field(default_factory=set)
    """Truth: whose migration has ended well."""
    docker_takes: float = 0.0
    """Seconds until what is done to a hook has happened; until then it is seen as busy, no more."""
    in_flight: list[tuple[float, float, Action]] = field(default_factory=list)
    """When Docker was told to do something to a hook, when it will have done it, and what."""
    exclusive_since: float | None = None
    """Truth: since when it is wished that no two versions run at once."""
    held_since: float | None = None
    """Truth: since when requests wait for us."""
    longest_hold: float = 0.0

    # --- looking ----------------------------------------------------------------------------------

    def observe(self) -> Observation:
        """Look, as far as Traefik lets itself be asked."""
        self._load()
        is_confirmed = self.answers and self.loaded == self.published and not self.lags
        if is_confirmed:
            self.may_run = [self.loaded]
        routable = {
            server.replica
            for routing in (*self.may_run, self.loaded, self.published)
            if routing is not None
            for server in routing.servers
        }
        seen = super().observe()
        return replace(
            seen,
            replicas=tuple(self._seen(r, is_confirmed, routable) for r in seen.replicas),
            confirmed_for=self._since(self.stood_since) if is_confirmed else None,
            weights_for=self._since(self.stood_since) if is_confirmed else None,
            routable=frozenset(routable),
            refusals=self.refusals | self._refused_routes(),
            busy=frozenset(action.name for action in self._under_way()),
            cooling=self._cooling(),
            evidence=self._evidence() if is_confirmed and self.has_figures else None,
        )

    def _under_way(self) -> Iterator[CreateHook | RunHook | StopReplica | RemoveReplica]:
        for _, _, action in self.in_flight:
            if isinstance(action, CreateHook | RunHook | StopReplica | RemoveReplica):
                yield action

    def _evidence(self) -> Evidence:
        """Count what every revision answered since the split is what it is."""
        stood, loaded = self._since(self.stood_since), self.loaded or Routing()
        shares = dict(loaded.weights)
        if loaded.mirror is not None:
            shares[loaded.mirror.share.revision] = loaded.mirror.percent
        small = [revision for revision in shares if self.is_starved and shares[revision] < 20]
        counted = {
            revision: 0 if revision in small else int(stood * self.requests * weight / 100)
            for revision, weight in shares.items()
        }
        return Evidence(
            figures={
                revision: Figures(requests=count, errors=count // 10 if self.errs(revision) else 0)
                for revision, count in counted.items()
            },
            fed_for=0.0 if small and self.requests else stood,
        )

    def errs(self, revision: RevisionId) -> bool:
        """Tell whether a revision answers with errors, to requests though not to probes."""
        return self.known_images.get(revision) == ERRS

    def _refused_routes(self) -> dict[str, str]:
        """Say what Traefik says of the routes it has loaded."""
        loaded = self.loaded or Routing()
        bad = any(route.rule == BAD_RULE for route in (*loaded.routes, *loaded.trial))
        return {self.app: f"error while parsing rule {BAD_RULE}"} if bad and self.answers else {}

    def _cooling(self) -> dict[str, float]:
        """Leave alone what was started again and again, longer each time."""
        until = {
            name: started[-1] + min(60.0, 2.0 ** (len(started) - 2))
            for name, started in self.starts.items()
            if len(started) > 1
        }
        return {name: end - self.now for name, end in until.items() if end > self.now}

    def _seen(self, replica: Replica, is_confirmed: bool, routable: set[ReplicaName]) -> Replica:
        can_tell = is_confirmed and replica.name not in routable
        is_idle = self.connections[replica.name] == 0
        since = self.unrouted_since.get(replica.name, 0.0)
        return replace(
            replica,
            unrouted_for=self._since(since) if can_tell else None,
            open_connections=self.connections[replica.name],
            idle_for=self._since(since) if is_idle else None,
            log=("it broke",) if replica.is_dead else (),
        )

    def _since(self, instant: float) -> float:
        return self.now - max(instant, self.timers_lost_at)

    # --- acting -----------------------------------------------------------------------------------

    def tick(self, *, cut: int | None = None, amnesia: bool = False) -> Plan:
        """Look, decide, remember and act; `cut` actions only when the service dies then."""
        seen = self.observe()
        if not amnesia:
            self.rejected &= {self.desired.digest} if self.desired is not None else set()
        made = plan(seen, self.record)
        if not amnesia:
            self._check_record(seen, made)
            before, self.record = self.record.deployment, made.record
            now = made.record.deployment
            if (before and before.number) != (now and now.number):
                self.promoted = None
            if self.record == Record():
                self.hooks_started.clear()  # the app is forgotten: deployments count from 1 again
        for about in [key for key in self.refusals if made.endings]:
            del self.refusals[about]
        self._check_hold(seen, made)
        self._check_judged(seen, made)
        for action in made.actions[:cut]:
            self._check(action)
            self.apply(action)
        self._time_hold()
        if cut is None:
            self._check_blue_is_awake(seen, made)
            self._check_late(seen, made)
            self._check_dead_are_unrouted()
            self._check_undone()
            self._check_mirror()
        return made

    def apply(self, action: Action) -> None:
        """Carry out an action, or find out why not."""
        match action:
            case PullImage(image=image) if image in {MISSING, REFUSED}:
                self.refusals[image] = f"no such image: {image}"
            case StartReplica(name=name):
                self.starts.setdefault(name, []).append(self.now)
                super().apply(action)
                if self.image_of(name) == CRASHES:
                    self.kill(name)
            case PublishRouting(routing=routing):
                self.may_run.append(routing)
                self.published = routing
            case _ if self.docker_takes and _is_about_a_hook(action, self.app):
                self.in_flight.append((self.now, self.now + self.docker_takes, action))
            case _:
                self._land(action, self.now)

    def _land(self, action: Action, told_at: float) -> None:
        """Let Docker have done something, to a hook if it took its time."""
        match action:
            case RunHook(name=name) if name in self.hooks:
                if self.hooks[name].state is ContainerState.CREATED:
                    self._check_hook_begins(name, told_at)
                    if name not in self.hooks_of_lost_records:
                        self.hooks_started.add(name)
                    self.hooks_of_lost_records.discard(name)
                    self.hooks_began[name] = self.now
                super().apply(action)
            case StopReplica(name=name) if name in self.hooks:
                if self.hooks[name].state is ContainerState.RUNNING:
                    self.end_hook(name, 0 if self.hooks_obey else 143)
            case RemoveReplica(name=name) if self._has_running(name):
                pass  # Docker refuses that
            case StopReplica(name=name):
                super().apply(action)
                self.connections[name] = 0
            case _:
                super().apply(action)

    def _has_running(self, name: ReplicaName) -> bool:
        run = self.hooks.get(name)
        return run is not None and run.state is ContainerState.RUNNING

    def land(self, *, until: float | None = None) -> None:
        """Let Docker have done what it was told to do by then; None: all of it."""
        waiting, self.in_flight = self.in_flight, []
        for told_at, due, action in waiting:
            if until is None or due <= until:
                self._land(action, told_at)
            else:
                self.in_flight.append((told_at, due, action))

    def image_of(self, name: ReplicaName) -> str:
        """Return the image a replica runs."""
        return self.known_images.get(self.replicas[name].revision, "")

    known_images: dict[RevisionId, str] = field(default_factory=dict)

    def advance(self, seconds: float) -> None:
        """Let time pass; bad images do not become healthy of it."""
        self._load()
        super().advance(seconds)
        self.land(until=self.now)
        self._time_hold()
        for name, replica in self.replicas.items():
            bad = self.known_images.get(replica.revision) == NEVER_HEALTHY
            if bad and replica.health is Health.HEALTHY:
                self.replicas[name] = replace(
                    replica, health=Health.STARTING, health_reason="HTTP 503"
                )

    def _go_on(self, name: ReplicaName) -> None:
        """Let a hook end as it does, unless it hangs."""
        if self.hooks[name].age < ASSUMED_HOOK or self.hooks_hang:
            return
        revision = next((r for r in self.known_images if f"-{r}-" in name), None)
        is_bad = revision is not None and self.known_images[revision] == BAD_MIGRATION
        self.end_hook(name, 1 if is_bad else 0)
        if revision is not None and not is_bad:
            self.hooks_done.add(revision)

    def _load(self) -> None:
        """Let Traefik load what is published, unless it lags."""
        if self.lags or self.loaded == self.published:
            return
        before, now = self.loaded, self.published
        self.loaded = now
        if before is None or now is None or before.split != now.split:
            self.stood_since = self.now
        for server in before.servers if before else ():
            if now is None or not now.has(server.replica):
                self.unrouted_since[server.replica] = self.now

    # --- faults -----------------------------------------------------------------------------------

    def kill(self, name: ReplicaName) -> None:
        """Let a container exit."""
        self.replicas[name] = replace(
            self.replicas[name],
            state=ContainerState.EXITED,
            exit_code=1,
            address="",
            health=Health.UNKNOWN,
        )
        self.connections[name] = 0

    def lose_timers(self) -> None:
        """Forget every duration, as a restart of the service does."""
        self.timers_lost_at = self.now
        for name, replica in self.replicas.items():
            health = Health.UNKNOWN if replica.is_running else replica.health
            self.replicas[name] = replace(replica, age=0.0, health=health)
        for name, run in self.hooks.items():
            self.hooks[name] = replace(run, age=0.0)

    def die(self, *, lands: bool) -> None:
        """Let the service be killed: what is under way is done in a moment, or never was heard."""
        if lands:
            self.land()
        self.in_flight.clear()
        self.lose_timers()

    def remove_hook(self, name: ReplicaName) -> None:
        """Let somebody remove the container of a hook by force."""
        del self.hooks[name]

    def lose_record(self) -> None:
        """Forget the record, as a deleted state.db does."""
        self.record = Record()
        self.hooks_started.clear()
        self.hooks_of_lost_records = set(self._starting_hooks)
        if self.hooks_obey:  # nobody knows any more who was told to end: what they say counts
            self.hooks_done |= {run.revision for run in self.hooks.values()}
        self.rejected.clear()
        self.promoted = None

    def want(self, spec: AppSpec | None) -> None:
        """Edit the desired state."""
        if spec != self.desired:
            self.turned_from.clear()
        self.desired = spec
        if not self._is_exclusive:
            self.exclusive_since = None
        elif self.exclusive_since is None:
            self.exclusive_since = self.now
        if spec is not None:
            self.known_images[spec.revision] = spec.image

    def command(self, verb: Verb) -> None:
        """Say something as the operator; nonsense is refused."""
        try:
            obeyed = obey(verb, Situation(seen=self.observe(), record=self.record))
        except CommandRefused:
            return
        waiver = obeyed.record.waiver
        if verb is Verb.PROMOTE and waiver is not None:
            self.promoted = (waiver.revision, waiver.weight, waiver.is_full)
        if verb in {Verb.ABORT, Verb.ROLLBACK}:
            good = obeyed.record.good
            self.turned_from |= {r.revision for r in self.replicas.values()}
            self.turned_from -= {good.revision} if good is not None else set()
        self.record = obeyed.record
        if verb is Verb.RETRY and self.desired is not None:
            self.turned_from.clear()
            self.rejected.discard(self.desired.digest)
        if verb is Verb.ROLLBACK:
            self.proven_good = obeyed.record.good
        if verb in {Verb.ABORT, Verb.ROLLBACK} and self.desired is not None:
            self.rejected = {self.desired.digest}

    # --- the laws ---------------------------------------------------------------------------------

    def _check(self, action: Action) -> None:
        match action:
            case PublishRouting(routing=routing):
                self._check_s1(routing)
                self._check_s3(routing)
                self._check_steps(routing)
                self._check_kept(routing)
                self._check_waiting(routing)
            case CreateHook(name=name) | RunHook(name=name):
                self._check_hook(name, is_start=isinstance(action, RunHook))
            case StopReplica(name=name) | RemoveReplica(name=name) if name in self.hooks:
                self._check_hook_over(name, is_removed=isinstance(action, RemoveReplica))
            case StopReplica(name=name):
                self._check_s2(name)
                self._check_s4(name)
                self._check_held(name)
            case StartReplica(name=name):
                self._check_s8(name)
                self._check_migrated(name)
            case RemoveReplica(name=name):
                assert not self.replicas[name].is_running, f"S2: {name} removed while it runs"
                assert not self._may_be_routed(name), f"S7: {name} removed while routed"
                self._check_grave(name)
            case CreateReplica(name=name, spec=spec):
                assert name.startswith(f"{self.app}-"), f"S6: {name} is not ours"
                assert name not in self.replicas, f"S7: {name} exists"
                assert not self._may_be_routed(name), f"S7: {name} may still be routed to"
                is_asked_back = spec == self.proven_good  # by two rollbacks, say
                is_rejected = spec.digest in self.rejected
                assert is_asked_back or not is_rejected, f"L3: {spec.image} was rejected"
            case _:
                pass

    def _may_be_routed(self, name: ReplicaName) -> bool:
        known = (*self.may_run, self.loaded, self.published)
        return any(routing is not None and routing.has(name) for routing in known)

    def _is_right(self, server: Server) -> bool:
        replica = self.replicas.get(server.replica)
        return replica is not None and replica.is_running and replica.address == server.address

    def _check_s1(self, routing: Routing | None) -> None:
        if routing is None:
            return
        before = self.published or Routing()
        assert all(share.weight > 0 for share in routing.shares), "S1: a share without weight"
        for share in routing.all_shares:
            healthy = [
                s
                for s in share.servers
                if self._is_right(s) and self.replicas[s.replica].is_healthy
            ]
            presumed = all(s in list(before.servers) and self._is_right(s) for s in share.servers)
            assert healthy or presumed, (
                f"S1: {share.revision} gets weight, nothing of it is healthy"
            )
        for server in routing.servers:
            assert self._is_right(server), f"S7: {server} belongs to nobody"
        is_bad = any(route.rule == BAD_RULE for route in routing.routes)
        assert (
            not is_bad
            or self.published is None
            or is_bad == any(route.rule == BAD_RULE for route in before.routes)
        ), "routes: changed to what Traefik refuses"

    def _check_s3(self, routing: Routing | None) -> None:
        if self.desired is None or self.published is None:
            return
        shares = routing.shares if routing is not None else ()
        had = any(
            self._is_right(s) and self.replicas[s.replica].is_healthy
            for share in self.published.shares
            for s in share.servers
        )
        well = {Health.HEALTHY, Health.UNKNOWN}  # what served is presumed well until it is probed
        has = any(
            self._is_right(s) and self.replicas[s.replica].health in well
            for share in shares
            for s in share.servers
        )
        is_held = routing is not None and routing.holds_for is not None and self._is_exclusive
        assert has or not had or is_held, "S3: traffic taken from what is healthy, given to nothing"

    def _check_s8(self, name: ReplicaName) -> None:
        """Check that nothing is started beside another revision that must not run twice."""
        if not self._is_exclusive or name not in self.replicas:
            return
        mine = self.replicas[name].revision
        others = [r.name for r in self.replicas.values() if r.revision != mine and r.is_running]
        hooks = [*self._running_hooks, *self._starting_hooks]
        others += [name for name in hooks if f"-{mine}-" not in name]
        assert not others, f"S8: {name} started while {others} run"

    @property
    def _running_hooks(self) -> list[ReplicaName]:
        running = ContainerState.RUNNING
        return [run.name for run in self.hooks.values() if run.state is running]

    @property
    def _starting_hooks(self) -> list[ReplicaName]:
        """The hooks that will run in a moment, though nobody can see that."""
        return [action.name for action in self._under_way() if isinstance(action, RunHook)]

    def _check_hook(self, name: ReplicaName, *, is_start: bool) -> None:
        """Check that a hook is made and started for what is wanted, and alone."""
        desired = self.desired
        assert desired is not None, f"S9: {name} runs for what nobody wants"
        mine = desired.revision
        assert f"-{mine}-" in name, f"S9: {name} runs, and {mine} is wanted"
        assert desired.digest not in self.rejected, f"L3: {name} runs for what was rejected"
        assert name not in self.hooks_started, f"S9: {name} is begun twice"
        assert not self._starting_hooks, f"S9: {name} runs beside {self._starting_hooks}"
        assert not self._running_hooks, f"S9: {name} runs beside {self._running_hooks}"
        self._check_beside(name, mine)
        deployment = self.record.deployment
        begun = deployment.begun if deployment is not None else ()
        is_known = any(f"-{moment}-" in name for moment in begun)
        assert is_known or not is_start, f"S9: {name} begins before that is remembered"

    def _check_hook_begins(self, name: ReplicaName, told_at: float) -> None:
        """Check that a hook begins once and alone, whatever has happened since it was told to."""
        assert name not in self.hooks_started, f"S9: {name} is begun twice"
        assert not self._running_hooks, f"S9: {name} begins beside {self._running_hooks}"
        if self.exclusive_since is not None and self.exclusive_since <= told_at:
            self._check_beside(name, self.hooks[name].revision)

    def _check_beside(self, name: ReplicaName, mine: RevisionId) -> None:
        running = [r for r in self.replicas.values() if r.is_running]
        others = [r.name for r in running if r.revision != mine]
        assert not (self._is_exclusive and others), f"S8: {name} runs beside {others}"
        green = [r.name for r in running if r.revision == mine]
        is_before = f"-{mine}-{Moment.BEFORE}-" in name
        assert not (is_before and green), f"S9: {name} runs beside {green}"

    def _check_hook_over(self, name: ReplicaName, *, is_removed: bool) -> None:
        """Check that a hook is stopped for its time only, and removed when it is of no use."""
        run = self.hooks[name]
        if is_removed:
            assert run.state is not ContainerState.RUNNING, f"S9: {name} removed while it runs"
            deployment = self.record.deployment
            is_needed = (
                deployment is not None
                and deployment.number == run.deployment
                and f"-{deployment.revision}-" in name
            )
            told = deployment is not None and any(r.moment is run.moment for r in deployment.hooks)
            is_forgotten = run.has_ended and name not in self.hooks_started
            assert told or is_forgotten or not is_needed, f"S9: {name} removed before it was judged"
        else:
            is_in_the_way = self._is_exclusive and run.moment is Moment.AFTER_CUTOVER
            is_late = self.now - self.hooks_began.get(name, self.now) >= run.timeout - 0.01
            assert is_late or is_in_the_way, f"S9: {name} cut off after {run.age} s"

    def _check_migrated(self, name: ReplicaName) -> None:
        """Check that nothing of green starts before its migration is done."""
        desired, published = self.desired, self.published or Routing()
        revision = self.replicas[name].revision if name in self.replicas else None
        if desired is None or desired.revision != revision or not self._is_doubtful(desired):
            return
        deployment = self.record.deployment
        ran = deployment.ran(Moment.BEFORE) if deployment is not None else None
        is_served = revision in published.weights or desired.digest in self.rejected
        is_served = is_served or (ran is not None and "was not run" in ran.trouble)
        is_served = is_served or (deployment is not None and deployment.blue == revision)
        is_asked = desired.hook(Moment.BEFORE) is not None and not is_served
        assert not is_asked or revision in self.hooks_done, f"S9: {name} starts before it"
        mine = f"-{revision}-{Moment.BEFORE}-"
        beside = [x for x in (*self._running_hooks, *self._starting_hooks) if mine in x]
        assert not beside, f"S9: {name} starts beside {beside}"

    @property
    def _is_exclusive(self) -> bool:
        spec = self.desired
        return spec is not None and spec.rollout.strategy is Strategy.RECREATE

    def _check_grave(self, name: ReplicaName) -> None:
        """Check that a stopped blue is not removed while green is in doubt."""
        good, desired = self.proven_good, self.desired
        if not self._is_exclusive or good is None or desired is None:
            return
        revision = self.replicas[name].revision
        if revision != good.revision or desired.digest in self.rejected:
            return
        left = sum(r.revision == revision for r in self.replicas.values())
        surplus = desired.revision == revision and left > desired.replicas
        assert surplus, f"S4: {name} removed while {desired.image} is in doubt"

    def _check_held(self, name: ReplicaName) -> None:
        """Check that what serves is stopped only while requests are held for it."""
        if not self._is_exclusive or not self.replicas[name].is_healthy:
            return
        loaded = self.loaded
        if loaded is None or loaded.shares:
            return  # nobody has asked for the app yet, or somebody else answers
        assert loaded.holds_for is not None, f"S8: {name} stopped, and requests are not held"

    def _check_kept(self, routing: Routing | None) -> None:
        """Check that clients may finish where they began."""
        before, spec, good = self.published, self.desired, self.record.good
        kept = before.kept if before is not None else None
        if before is not None and spec is not None and routing is not None and good is not None:
            lost = before.weights.keys() - routing.weights.keys()
            is_well = any(
                r.revision == good.revision and r.is_healthy for r in self.replicas.values()
            )
            is_asked = before.keeps_sessions and spec.rollout.sessions is Sessions.KEEP
            is_back = spec.digest in self.rejected or routing.holds_for is not None
            if is_asked and kept is None and good.revision in lost and is_well and not is_back:
                assert routing.kept is not None, "sessions: those that began on blue are cut off"
        if kept is None or routing is None or spec is None or routing.kept is not None:
            return
        alive = [s for s in kept.servers if self._is_right(s)]
        well = [s for s in alive if self.replicas[s.replica].is_healthy]
        if not well or kept.revision in routing.weights or routing.holds_for is not None:
            return
        if spec.rollout.sessions is not Sessions.KEEP:
            return
        rejection = self.record.rejection
        if rejection is not None and rejection.revision == kept.revision:
            return
        stood = self.now - self.stood_since
        assert stood >= spec.rollout.drain - 0.01, f"sessions: cut off after {stood} s"

    def _check_steps(self, routing: Routing | None) -> None:
        """Check that green waits for its approval and for the pause of each step."""
        spec, before = self.desired, self.published
        if spec is None or routing is None or before is None or not self._is_doubtful(spec):
            return
        had, gets = before.weights.get(spec.revision, 0), routing.weights.get(spec.revision, 0)
        blue_lives = any(
            self._is_right(s) and self.replicas[s.replica].is_healthy
            for share in before.shares
            for s in share.servers
            if share.revision != spec.revision
        )
        if gets <= had or not blue_lives:
            return
        revision, promoted_at, is_full = self.promoted or ("", 0, False)
        waived = revision == spec.revision and (promoted_at >= had or is_full)
        assert self.loaded == self.published, "steps: shifted before it was confirmed"
        if had == 0:
            manual = spec.rollout.approval is Approval.MANUAL
            assert waived or not manual, f"approval: {spec.image} gets traffic without it"
            mirrored = before.mirror is not None or spec.rollout.mirror is None
            assert waived or mirrored, f"mirror: {spec.image} gets traffic without it"
            pause = spec.rollout.mirror.pause if spec.rollout.mirror else 0.0
        else:
            step = next((x for x in reversed(spec.rollout.steps) if x.weight <= had), None)
            pause = step.pause if step else 0.0
            asks = step is not None and step.needs_approval
            assert waived or not asks, f"approval: {spec.image} goes on without it"
        stood = self.now - self.stood_since
        assert waived or stood >= pause - 0.01, f"steps: {had} % stood for {stood} s only"
        self._check_evidence(spec, had)
        analysis, evidence = spec.rollout.analysis, self.observe().evidence
        is_strict = analysis is not None and analysis.inconclusive is Inconclusive.REJECT
        is_blind = had == 0 and spec.rollout.mirror is None  # nobody has asked green anything
        if analysis is None or waived or not is_strict or is_blind:
            return
        if had == 0 and spec.rollout.mirror is None:
            return  # it has been asked nothing yet
        figures = evidence.figures.get(spec.revision, Figures()) if evidence else Figures()
        has_enough = figures.requests >= analysis.min_requests
        assert has_enough, f"analysis: {spec.image} goes on from {had} % without evidence"

    def _check_judged(self, seen: Observation, made: Plan) -> None:
        """Check that what is known to answer with errors is rejected, while there is a blue."""
        spec, good, evidence = self.desired, self.proven_good, seen.evidence
        analysis = spec.rollout.analysis if spec is not None else None
        if spec is None or good is None or evidence is None or analysis is None:
            return
        blue = [r for r in seen.replicas if r.revision == good.revision and r.is_healthy]
        is_in_doubt = self._is_doubtful(spec) and self.record.good is not None
        if good.revision == spec.revision or not blue or not is_in_doubt:
            return
        figures = evidence.figures.get(spec.revision, Figures())
        limit = analysis.max_error_ratio
        is_enough = figures.requests >= analysis.min_requests
        if limit is None or not is_enough or figures.error_ratio <= limit:
            return
        assert made.record.rejects(spec), f"analysis: {spec.image} is not rejected for {figures}"

    def _check_evidence(self, spec: AppSpec, weight: int) -> None:
        """Check that what is known to answer with errors gets no more traffic than it has."""
        analysis, evidence = spec.rollout.analysis, self.observe().evidence
        if analysis is None or evidence is None or analysis.max_error_ratio is None:
            return
        figures = evidence.figures.get(spec.revision, Figures())
        has_enough = figures.requests >= analysis.min_requests
        is_bad = has_enough and figures.error_ratio > analysis.max_error_ratio
        assert not is_bad, f"analysis: {spec.image} goes on from {weight} % with {figures}"

    def _is_doubtful(self, spec: AppSpec) -> bool:
        good = self.record.good
        return good is None or good.revision != spec.revision

    def _check_hold(self, seen: Observation, made: Plan) -> None:
        """Check that nothing but the routing is touched while the app is held."""
        held = self.record.paused or (seen.desired is not None and seen.desired.hold)
        if seen.published is not None and seen.published.holds_for is not None:
            return  # requests wait: that is no state to leave an app in
        if self._is_exclusive and self.desired is not None and self.desired.digest in self.rejected:
            return  # there is no way back but to stop what was turned down
        late = {run.name for run in seen.hooks if run.may_run}  # see the check of hooks
        touched = [a for a in made.actions if not isinstance(a, PublishRouting)]
        touched = [a for a in touched if not (isinstance(a, StopReplica) and a.name in late)]
        assert not (held and touched), f"hold: {touched}"

    def _check_s2(self, name: ReplicaName) -> None:
        assert not self._may_be_routed(name), f"S2: {name} stopped, Traefik may route to it"
        spec = self.desired or self.record.good
        limit = spec.rollout.drain if spec else 30.0
        if spec is not None and self.loaded is not None and self.loaded.holds_for is not None:
            limit = min(limit, spec.rollout.hold_requests / 3)
        unrouted = self.now - self.unrouted_since.get(name, 0.0)
        assert self.connections[name] == 0 or unrouted >= limit, f"S2: {name} cut off"

    def _check_s4(self, name: ReplicaName) -> None:
        good, desired = self.proven_good, self.desired
        if good is None or desired is None or self.replicas[name].revision != good.revision:
            return
        if self._is_exclusive:
            return  # it is stopped, but stays: see S8, and the removals
        is_back = desired.digest in self.rejected
        if is_back and desired.revision == good.revision:
            return  # nobody remembered that it was good when it failed
        assert desired.revision == good.revision or is_back, f"S4: {name} is of the good revision"
        wanted = good.replicas if is_back else desired.replicas
        left = [r for r in self.replicas.values() if r.revision == good.revision and r.is_running]
        assert len(left) > wanted, f"S4: {name} is not surplus"

    def _check_record(self, seen: Observation, made: Plan) -> None:
        """Check what is remembered: rejections and promotions need evidence."""
        for ending in made.endings:
            if ending.outcome is Outcome.REJECTED and made.record.rejection is not None:
                self.rejected = {made.record.rejection.spec}
                self._check_patience(made.record.rejection.reason)
        if self.desired is not None and made.record.rejects(self.desired):
            assert self.desired.digest in self.rejected, "L3: rejected, though nobody rejected it"
        good = made.record.good
        if good is None and self.desired is None:
            self.proven_good = None
        if good is None or good == self.record.good:
            return
        waived = self.record.waiver is not None
        assert seen.published is not None, "S4: promoted without traffic"
        assert seen.published.weights == {good.revision: 100}, "S4: promoted without all traffic"
        assert self.loaded == self.published, "S4: promoted without confirmation"
        serving = [r for r in seen.replicas if r.revision == good.revision and r.is_healthy]
        assert len(serving) >= good.replicas, "S5: promoted without being healthy"
        before = self.proven_good
        is_new = any(ending.outcome is Outcome.SUCCEEDED for ending in made.endings)
        if is_new and good.hook(Moment.AFTER_CUTOVER) is not None:
            ran = self.record.deployment.hooks if self.record.deployment is not None else ()
            is_told = any(r.moment is Moment.AFTER_CUTOVER for r in ran)
            assert is_told, f"S9: {good.image} is good before its last hook has run"
        if before is None or before.revision != good.revision:
            if not waived:
                self._check_evidence(good, FULL)
            stood = self.now - self.stood_since
            assert waived or stood >= good.rollout.bake - 0.01, f"S4: promoted after {stood} s"
        self.proven_good = good

    def _check_patience(self, reason: str) -> None:
        """Check that a lack of evidence rejects nobody whom people keep waiting."""
        desired = self.desired
        if desired is None or not reason.startswith("no evidence"):
            return
        has = self.published.weights.get(desired.revision, 0) if self.published else 0
        steps = desired.rollout.steps
        step = next((x for x in reversed(steps) if 0 < x.weight <= has < 100), None)
        asks = step is not None and step.needs_approval
        asks = asks or (has == 0 and desired.rollout.approval is Approval.MANUAL)
        held = self.record.paused or desired.hold
        is_waited_for = asks or held
        assert not is_waited_for, f"rejected while somebody is waited for: {reason}"

    def _check_undone(self) -> None:
        """Check that what was turned down has no traffic while the good revision is there."""
        desired, good, published = self.desired, self.record.good, self.published
        if desired is None or good is None or published is None:
            return
        if not self.record.rejects(desired) or desired.revision == good.revision:
            return
        of_good = [r for r in self.replicas.values() if r.revision == good.revision]
        is_there = sum(r.is_healthy for r in of_good) >= good.replicas / 2
        has_traffic = published.weights.get(desired.revision, 0) > 0
        assert not (is_there and has_traffic), "undo: what was turned down has traffic still"
        further = {s.revision for s in published.all_shares if s.weight == 0}
        back = published.weights == {good.revision: 100}
        left = further & ({desired.revision} | self.turned_from)
        assert not (back and left), f"undo: {left} was turned down and gets requests still"

    def _check_waiting(self, routing: Routing | None) -> None:
        """Check that requests wait for somebody only, and are not sent away."""
        before, desired = self.published, self.desired
        if routing is None or before is None or desired is None:
            return
        is_held = routing.holds_for is not None
        if before.holds_for is not None and not is_held:
            assert routing.shares, "hold: requests that wait are sent away"
        if is_held and before.holds_for is None and desired.digest not in self.rejected:
            serves = [
                s
                for share in before.shares
                for s in share.servers
                if self._is_right(s) and self.replicas[s.replica].is_healthy
            ]
            is_first = desired.revision not in before.weights and self._is_doubtful(desired)
            is_asked = desired.rollout.approval is Approval.MANUAL and is_first
            is_promoted = self.promoted is not None and self.promoted[0] == desired.revision
            assert not serves or is_promoted or not is_asked, "approval: nobody let requests wait"
            hooks = [*self._running_hooks, *self._starting_hooks]
            assert not (serves and hooks), f"hold: requests wait for {hooks}"
            has_all = before.weights == {desired.revision: 100}
            assert not (has_all and serves), "hold: requests wait although what is wanted serves"

    def _check_mirror(self) -> None:
        """Check that only what has no traffic gets copies, and as many as is wished."""
        routing, desired = self.published, self.desired
        if routing is None or desired is None or routing.mirror is None:
            return
        mirror, wished = routing.mirror, desired.rollout.mirror
        green = mirror.share.revision
        assert green not in routing.weights, f"mirror: {green} gets copies and traffic"
        assert green == desired.revision, f"mirror: {green} gets copies, and is not wanted"
        assert wished is not None, "mirror: nobody wants copies"
        asked = (wished.percent, wished.all_methods)
        assert (mirror.percent, mirror.all_methods) == asked, "mirror: other copies than asked for"

    def _check_blue_is_awake(self, seen: Observation, made: Plan) -> None:
        """Check that blue is started again while green is awaited, whatever that waits for."""
        desired, good = self.desired, self.proven_good
        if desired is None or good is None or self._is_exclusive or self.record.good != good:
            return
        is_held = self.record.paused or desired.hold
        if is_held or not self._is_doubtful(desired) or made.record.rejects(desired):
            return
        if made.record.deployment is None or made.actions:
            return
        asleep = [
            r.name
            for r in seen.replicas
            if r.revision == good.revision and r.state is ContainerState.EXITED
        ]
        asleep = [name for name in asleep if name not in seen.cooling]
        assert not asleep, f"blue: {asleep} ended and stay so: {made.reason}"

    def _check_late(self, seen: Observation, made: Plan) -> None:
        """Check that a hook gets no more than its time, even while the app is held."""
        late = [run.name for run in seen.hooks if run.may_run and run.is_late]
        late = [name for name in late if name not in seen.busy]
        assert made.actions or not late, f"S9: {late} take too long: {made.reason}"

    def _time_hold(self) -> None:
        """Measure for how long requests wait for us."""
        is_held = self.published is not None and self.published.holds_for is not None
        if not is_held:
            self.held_since = None
            return
        self.held_since = self.now if self.held_since is None else self.held_since
        self.longest_hold = max(self.longest_hold, self.now - self.held_since)

    def _check_dead_are_unrouted(self) -> None:
        for server in self.published.servers if self.published and self.desired else ():
            assert self._is_right(server), f"S7: {server} is still routed"


def _is_about_a_hook(action: Action, app: AppName) -> bool:
    return is_hook_of(app, subject(action))
