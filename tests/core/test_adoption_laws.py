"""The laws where others have started something that an app takes over.

The same walk as in `test_laws`, through a world in which their containers run, stop, come back and
have labels of their own; with checkers that know whose they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.core.build import WEB
from tests.core.faulty_world import FaultyWorld
from tests.core.test_laws import SPECS, THEMES, Walk, assert_settled
from traefik_bg.core.actions import (
    Action,
    CreateReplica,
    RemoveReplica,
    StopReplica,
)
from traefik_bg.core.adoption import concerns
from traefik_bg.core.claims import unmet_claims
from traefik_bg.core.model import ADOPTED, Adoption, AppSpec, ReplicaName
from traefik_bg.core.observation import Claim, ContainerState, Health, Observation, Replica

THEIRS = (ReplicaName("shop-web-1"), ReplicaName("shop-web-2"))
COVERED = Claim(router="web", rule='Host("web.example")', priority=3)
UNCOVERED = Claim(router="web", rule="Host(`web.example`)", priority=900)


@dataclass(kw_only=True)
class AdoptingWorld(FaultyWorld):
    """A world in which others have started something."""

    def want(self, spec: AppSpec | None) -> None:
        """Edit the desired state; it always adopts."""
        if spec is not None:
            spec = replace(spec, adopt=Adoption(project="shop", service="web"))
        super().want(spec)

    def observe(self) -> Observation:
        """Look, at theirs too while they concern the app."""
        seen = super().observe()
        found = tuple(r for r in seen.replicas if self._is_seen(r))
        return replace(seen, replicas=found)

    def _is_seen(self, replica: Replica) -> bool:
        if replica.is_adopted and self.desired is None:
            return False
        return not replica.is_adopted or concerns(
            replica.name, replica.state, self.record, self.published
        )

    started_by_others: dict[ReplicaName, float] = field(default_factory=dict)
    """Truth: when others last started each of theirs."""

    def _check_hook_begins(self, name: ReplicaName, told_at: float) -> None:
        """Check it beside what ran when it was told to begin: others ask nobody."""
        everything = self.replicas
        later = {each for each, at in self.started_by_others.items() if at >= told_at}
        self.replicas = {
            each: r for each, r in everything.items() if each not in later and self._is_seen(r)
        }
        super()._check_hook_begins(name, told_at)
        self.replicas = everything

    def others_start(self, name: ReplicaName, *claims: Claim) -> None:
        """Let others start a container of theirs, or make it anew."""
        self.replicas[name] = Replica(
            name=name, revision=ADOPTED, number=1, state=ContainerState.RUNNING, address=name,
            health=Health.HEALTHY, claims=claims,
        )  # fmt: skip
        self.unrouted_since[name] = self.started_by_others[name] = self.now

    @property
    def _theirs(self) -> list[Replica]:
        return [r for r in self.replicas.values() if r.is_adopted and r.is_running]

    def _check(self, action: Action) -> None:
        everything = self.replicas
        self.replicas = {n: r for n, r in everything.items() if self._is_seen(r)}
        super()._check(action)
        self.replicas = everything  # what others start later is theirs, and counts for no law
        desired = self.desired
        match action:
            case RemoveReplica(name=name) if name in self.replicas:
                assert not self.replicas[name].is_adopted, f"S6: {name} is not ours to remove"
            case StopReplica(name=name) if desired is not None and name in self.replicas:
                routes = self.loaded.routes if self.loaded is not None else ()
                seen = self.replicas[name]
                lost = list(unmet_claims(seen, routes))
                assert not lost, f"S2: {name} stopped, and its label has requests: {lost}"
            case CreateReplica(name=name) if desired is not None and self.record.good is None:
                held = self.published is not None and self.published.holds_for is not None
                theirs = [] if held else self._theirs
                lost = [c for r in theirs for c in unmet_claims(r, desired.routes)]
                assert not lost, f"S2: {name} is made although {lost} stands in the way"
                serve = [r.name for r in self._theirs if r.is_healthy]
                assert self.published or not serve, f"{name} is made before {serve} are routed"
            case _:
                pass


class TakingOver(Walk):
    """One app that others have started before."""

    world: AdoptingWorld

    @initialize(first=st.integers(0, len(SPECS) - 1), theme=st.integers(0, len(THEMES) - 1))
    def begin(self, first: int, theme: int) -> None:
        self.theme = THEMES[self.about[theme % len(self.about)]]
        self.world = AdoptingWorld(app=WEB, desired=None, images={"web:1"}, guard_available=True)
        for name in THEIRS:
            self.world.others_start(name, COVERED)
        self.world.want(SPECS[first])

    @rule(which=st.integers(0, 1), claim=st.sampled_from([COVERED, UNCOVERED]))
    def others_start_again(self, which: int, claim: Claim) -> None:
        self.world.others_start(THEIRS[which], claim)

    @rule(which=st.integers(0, 1))
    def others_relabel(self, which: int) -> None:
        self.world.others_start(THEIRS[which], COVERED)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        for name, seen in self.world.replicas.items():
            self.world.replicas[name] = replace(seen, claims=())
        self.calm_down()
        for seen in list(self.world.replicas.values()):
            is_ours_to_stop = seen.name in self.world.record.adopted and seen.is_running
            if seen.is_adopted and (self.world.desired is None or not is_ours_to_stop):
                del self.world.replicas[seen.name]  # it stays where it is, and that is right
        assert_settled(self.world)


class TestLaws(TakingOver.TestCase):  # type: ignore[misc, valid-type]
    """S1 to S8 and L1 to L4, with others about."""

    settings = settings(
        max_examples=100,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
