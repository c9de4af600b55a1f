"""The planner's eyes: what an observation and a record mean, worked out once.

Separate from the rules so that each rule reads as the sentence it enforces. Pure, and only asked
by the planner, the laws and the operator's commands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from traefik_bg.core.hooks import Moment
from traefik_bg.core.model import ADOPTED, AppSpec, ReplicaName, RevisionId, Routing, Server
from traefik_bg.core.names import hook_name
from traefik_bg.core.observation import ContainerState, Health, HookRun, Observation, Replica
from traefik_bg.core.record import Record, Waiver
from traefik_bg.core.rollout import Strategy

FULL = 100


@dataclass(frozen=True, kw_only=True)
class Situation:
    """One look at one app, with the words the rules are written in."""

    seen: Observation
    record: Record

    # --- what is to run ---------------------------------------------------------------------------

    @cached_property
    def is_rejected(self) -> bool:
        """Tell whether what the user wants has been tried and rejected."""
        return self.seen.desired is not None and self.record.rejects(self.seen.desired)

    @cached_property
    def target(self) -> AppSpec | None:
        """The spec to bring about: the desired one, or the good one when that is rejected."""
        if self.seen.desired is None:
            return None
        return self.record.good if self.is_rejected else self.seen.desired

    @cached_property
    def is_proven(self) -> bool:
        """Tell whether the target's revision has passed its bake before."""
        good = self.record.good
        return (
            self.target is not None and good is not None and good.revision == self.target.revision
        )

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """Everything of this app that Docker knows."""
        return self.seen.replicas

    def of(self, revision: RevisionId | None) -> tuple[Replica, ...]:
        """Return the replicas of one revision, without those Docker is removing already."""
        return tuple(
            replica
            for replica in self.replicas
            if replica.revision == revision and replica.state is not ContainerState.REMOVING
        )

    @cached_property
    def green(self) -> tuple[Replica, ...]:
        """The target's replicas that are to stay."""
        return tuple(r for r in self.of(self._target_revision) if r not in self.surplus)

    @property
    def is_held(self) -> bool:
        """Tell whether nothing but repairs may be done."""
        return self.record.paused or (self.seen.desired is not None and self.seen.desired.hold)

    @cached_property
    def surplus(self) -> tuple[Replica, ...]:
        """The target's replicas beyond the number wanted: the least useful ones.

        There are none while the app is held still: that scales nothing down.
        """
        if self.target is None or self.is_held:
            return ()
        ranked = sorted(self.of(self.target.revision), key=_usefulness)
        return tuple(ranked[self.target.replicas :])

    @property
    def _target_revision(self) -> RevisionId | None:
        return self.target.revision if self.target else None

    # --- who can take traffic ---------------------------------------------------------------------

    @cached_property
    def routed(self) -> Routing:
        """What is published; an empty routing when nothing is."""
        return self.seen.published or Routing()

    def can_serve(self, replica: Replica) -> bool:
        """Tell whether the replica may get traffic: proven, or presumed so since it has some.

        Presuming keeps a restart of the service from becoming an outage: until the first probe
        answers, what serves is taken to be well.
        """
        if not replica.address:
            return False
        if replica.is_healthy:
            return True
        return replica.is_running and replica.health is Health.UNKNOWN and self.routes_to(replica)

    def routes_to(self, replica: Replica) -> bool:
        """Tell whether the published routing gives this replica traffic at its present address."""
        return any(
            server.replica == replica.name and server.address == replica.address
            for server in self.routed.servers
        )

    def servers(self, revision: RevisionId) -> tuple[Server, ...]:
        """Return the addresses of the revision's replicas that may get traffic.

        The surplus leaves once all that is to stay has been seen to be healthy: after a restart of
        the service nobody knows yet which of them are.
        """
        port = self.port(revision)
        leaving = self.surplus if self.is_complete else ()
        able = [
            replica
            for replica in self.of(revision)
            if replica not in leaving and self.can_serve(replica)
        ]
        return tuple(sorted(Server(replica=r.name, address=r.address, port=port) for r in able))

    def port(self, revision: RevisionId) -> int:
        """Return the port a revision listens on: from its spec, or from what is published."""
        if revision == ADOPTED and (said := self._adopted_port) is not None:
            return said
        for spec in (self.seen.desired, self.record.good, *self.record.previous):
            if spec is not None and spec.revision == revision:
                return spec.port
        ports = [
            s.port for sh in self.routed.all_shares if sh.revision == revision for s in sh.servers
        ]
        return ports[0] if ports else self.fallback_port

    @property
    def _adopted_port(self) -> int | None:
        """Where what was adopted is said to listen; None: it is found out in other ways."""
        desired = self.seen.desired
        adopt = desired.adopt if desired is not None else None
        if adopt is not None and adopt.port is not None:
            return adopt.port
        return next((r.port for r in self.of(ADOPTED) if r.port is not None), None)

    @property
    def fallback_port(self) -> int:
        """The best guess for a revision nobody remembers: what the app listens on now."""
        return self.seen.desired.port if self.seen.desired else 0

    def is_alive(self, revision: RevisionId | None) -> bool:
        """Tell whether a revision has a replica that may get traffic."""
        return revision is not None and bool(self.servers(revision))

    @cached_property
    def others(self) -> tuple[RevisionId, ...]:
        """Every revision but the target's, in a stable order."""
        revisions = {r.revision for r in self.replicas} | set(self.routed.weights)
        return tuple(sorted(revisions - {self._target_revision}))

    @cached_property
    def blue(self) -> RevisionId | None:
        """Where traffic goes that green does not get; None when nothing else is alive.

        Who has all the traffic keeps it; else it goes home to the good revision, or to what served
        before, or to whoever has the most.
        """
        alive = [revision for revision in self.others if self.is_alive(revision)]
        weights = self.routed.weights
        holder = next((r for r in alive if weights.get(r) == FULL), None)
        good = self.record.good.revision if self.record.good else ADOPTED
        deployment = self.record.deployment
        bad = self.bad
        ranked = sorted(
            alive,
            key=lambda revision: (
                revision == bad,
                revision != holder,
                revision != good,
                revision != (deployment.blue if deployment else None),
                -weights.get(revision, 0),
                revision,
            ),
        )
        return ranked[0] if ranked else None

    @property
    def bad(self) -> RevisionId | None:
        """The revision that has been found wanting; None when none has."""
        rejection = self.record.rejection
        return None if rejection is None or rejection.is_about_routes else rejection.revision

    @property
    def is_exclusive(self) -> bool:
        """Tell whether no two revisions may run at once, as the desired state says."""
        desired = self.seen.desired
        return desired is not None and desired.rollout.strategy is Strategy.RECREATE

    @property
    def occupants(self) -> tuple[Replica, ...]:
        """The replicas of other revisions that run, or may come to."""
        resting = {ContainerState.CREATED, ContainerState.EXITED}
        return tuple(
            replica
            for replica in self.replicas
            if replica.revision != self._target_revision
            and (replica.state not in resting or replica.name in self.seen.busy)
        )

    @property
    def resting(self) -> tuple[Replica, ...]:
        """What ran before the target and was stopped for it, where only one may run."""
        if not self.is_exclusive:
            return ()
        return tuple(
            replica
            for replica in self.replicas
            if replica.state is ContainerState.EXITED
            and replica.is_blameless
            and replica.revision not in {self._target_revision, self.bad}
        )

    @property
    def is_holding(self) -> bool:
        """Tell whether requests wait, because nothing is to serve for a moment."""
        return self.routed.holds_for is not None

    @property
    def ways_back(self) -> frozenset[RevisionId]:
        """The revisions that traffic could return to: the good one, and what served before."""
        good, deployment = self.record.good, self.record.deployment
        found = {good.revision if good else None, deployment.blue if deployment else None}
        return frozenset(revision for revision in found if revision is not None)

    @property
    def holder(self) -> RevisionId | None:
        """The revision with the most weight now."""
        weights = self.routed.weights
        return max(sorted(weights), key=weights.__getitem__) if weights else None

    def may_limp(self, replica: Replica) -> bool:
        """Tell whether a routed replica that cannot serve well is still better than nothing."""
        return (
            replica.is_running
            and replica.health in {Health.UNHEALTHY, Health.UNKNOWN}
            and self.routes_to(replica)
        )

    def may_live(self, replica: Replica) -> bool:
        """Tell whether a replica of a revision nobody remembers may yet be needed."""
        if not replica.is_running:
            return False
        limit = self.seen.desired.health.deadline if self.seen.desired else 0.0
        return replica.health is not Health.STARTING or replica.age < limit

    def is_published(self, replica: ReplicaName) -> bool:
        """Tell whether the published routing names this replica."""
        return self.seen.published is not None and self.seen.published.has(replica)

    @cached_property
    def weight(self) -> int:
        """The weight the target has now."""
        return self.routed.weights.get(self._target_revision, 0) if self._target_revision else 0

    def is_own(self, run: HookRun) -> bool:
        """Tell whether a hook runs, or ran, for the deployment under way.

        Where a record was lost, deployments are counted from 1 again: so by its revision too, and
        what has begun without the record's knowing is another's.
        """
        deployment = self.record.deployment
        if deployment is None:
            return False
        if run.state is not ContainerState.CREATED and run.moment not in deployment.begun:
            return False
        return (run.revision, run.deployment) == (deployment.revision, deployment.number)

    def has_told_to_end(self, run: HookRun) -> bool:
        """Tell whether a hook was told to end, in this life of the service or in one before."""
        deployment = self.record.deployment
        return self.is_own(run) and deployment is not None and run.moment in deployment.stopped

    def own_hook(self, moment: Moment) -> ReplicaName | None:
        """Return the name of the container of a hook of the deployment under way."""
        deployment = self.record.deployment
        if deployment is None:
            return None
        name = hook_name(self.seen.app, deployment.revision, moment, deployment.number)
        return ReplicaName(name)

    @property
    def hooks_of_others(self) -> tuple[str, ...]:
        """The hooks under way that belong to other deployments."""
        own = {self.own_hook(moment) for moment in Moment}
        own -= {run.name for run in self.seen.hooks if not self.is_own(run)}
        return tuple(name for name in self.seen.hooks_under_way if name not in own)

    # --- how far things are -----------------------------------------------------------------------

    @cached_property
    def proven_replicas(self) -> tuple[Replica, ...]:
        """The target's replicas that are healthy now."""
        return tuple(replica for replica in self.green if replica.is_healthy)

    @cached_property
    def is_complete(self) -> bool:
        """Tell whether all wanted replicas of the target are healthy."""
        return self.target is not None and len(self.proven_replicas) == self.target.replicas

    @property
    def is_half_there(self) -> bool:
        """Tell whether at least half of the wanted replicas of the target are healthy."""
        return self.target is not None and 2 * len(self.proven_replicas) >= self.target.replicas

    @property
    def is_confirmed(self) -> bool:
        """Tell whether every Traefik runs what is published."""
        return self.seen.confirmed_for is not None

    @property
    def stood_for(self) -> float:
        """Seconds that the present split is confirmed."""
        return self.seen.weights_for or 0.0

    @property
    def waiver(self) -> Waiver | None:
        """The operator's leave to go on, as far as it concerns the target."""
        waiver = self.record.waiver
        return waiver if waiver is not None and waiver.revision == self._target_revision else None

    def is_promised(self, weight: int) -> bool:
        """Tell whether an operator has waived the wait at this weight of the target."""
        waiver = self.waiver
        if waiver is None:
            return False
        return waiver.weight >= weight or (waiver.is_full and weight < FULL)


def _usefulness(replica: Replica) -> tuple[bool, bool, int]:
    """Rank replicas: healthy before running before the rest, and low numbers first."""
    return (not replica.is_healthy, not replica.is_running, replica.number)
