"""Watches what is really done, and knows the laws but not the rules.

It sees containers and Traefiks as they are, not as the service observes them, so a service that
fools itself does not fool it. What is broken is written down rather than raised: the service would
take an exception for trouble of the adapter's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from traefik_bg.core.actions import Ending, Outcome
from traefik_bg.core.commands import Verb
from traefik_bg.core.hooks import Moment
from traefik_bg.core.model import AppName, AppSpec, ReplicaName, Routing, Server, Share
from traefik_bg.core.record import Record
from traefik_bg.core.rollout import Strategy

if TYPE_CHECKING:
    from tests.runtime.fakes import Box, FakeEngine, FakeRouter, FakeStore, FakeTraefik

DEFAULT_DRAIN = 30.0
TO_NOTICE_WISH = 0.1
TO_NOTICE_DEATH = 0.1  # seconds that may pass between the last look and the write
TO_NOTICE_SICKNESS = 8.0  # seconds until `fall` probes have failed
TO_NOTICE_HEALTH = 15.0  # seconds until it is looked at again, when a write has hung


@dataclass(slots=True)
class Ledger:
    """The truth about every action."""

    engine: FakeEngine = field(init=False)
    router: FakeRouter = field(init=False)
    store: FakeStore = field(init=False)
    desired: Callable[[AppName], AppSpec | None] = field(init=False)
    broken: list[str] = field(default_factory=list)
    """Every law that was broken, when and how."""
    good: dict[AppName, AppSpec] = field(default_factory=dict)
    """The last spec of each app that was made good, whatever is remembered of it."""
    rejected: dict[AppName, str] = field(default_factory=dict)
    """The digest of the rejected spec nobody has asked to retry."""
    unrouted_since: dict[ReplicaName, float] = field(default_factory=dict)
    """Since when no Traefik can have sent a request there."""
    stood_since: dict[AppName, float] = field(default_factory=dict)
    """Since when all Traefiks run the same weights."""
    hooks_started: set[ReplicaName] = field(default_factory=set)
    """Every hook that was started, since nothing was forgotten."""
    waived: set[AppName] = field(default_factory=set)
    """Apps whose waits an operator has cut short."""

    def _say(self, what: str) -> None:
        self.broken.append(f"{asyncio.get_running_loop().time():.3f}: {what}")

    def _require(self, is_true: bool, what: str) -> None:
        if not is_true:
            self._say(what)

    # --- what operators and accidents allow -------------------------------------------------------

    def record_lost(self) -> None:
        """Take note that nothing is remembered: what was rejected may be tried once more (L4)."""
        self.rejected.clear()
        self.hooks_started.clear()

    def wished(self, app: AppName, spec: AppSpec | None) -> None:
        """Take note of an edit: coming back to what was rejected is a new wish (L3)."""
        self._wished_at[app] = asyncio.get_running_loop().time()
        if spec is None or self.rejected.get(app) != spec.digest:
            self.rejected.pop(app, None)

    def _has_just_wished(self, app: AppName) -> bool:
        wished_at = self._wished_at.get(app, -1.0)
        return asyncio.get_running_loop().time() - wished_at < TO_NOTICE_WISH

    def commanded(self, app: AppName, verb: Verb, *, is_certain: bool = True) -> None:
        """Take note of a command that was obeyed, or may have been."""
        if verb is Verb.PROMOTE:
            self.waived.add(app)
        if verb is Verb.RETRY:
            self._retried.add(app)
            if is_certain:
                self.rejected.pop(app, None)

    # --- containers -------------------------------------------------------------------------------

    def creating(self, name: ReplicaName, spec: AppSpec) -> None:
        """Check a creation: S6, S7, L3, and that it is remembered what it is for."""
        self._require(name.startswith(f"{spec.name}-{spec.revision}-"), f"S6: {name} is not ours")
        # What a Traefik runs that was published before the service started, nobody can know for sure;
        # it is the same revision's name then, and those requests would be lost otherwise.
        is_routable = self.router.may_route_to(name, since=self.router.known_from)
        self._require(not is_routable, f"S7: {name} may still be routed to")
        rejected = self.rejected.get(spec.name)
        is_retried = spec.name in self._retried
        self._require(is_retried or rejected != spec.digest, f"L3: {spec.image} was rejected")
        record = self.store.records.get(spec.name, Record())
        known = {record.good.revision} if record.good else set()
        known |= {record.deployment.revision} if record.deployment else set()
        self._require(spec.revision in known, f"{name} created before it was remembered why")

    def starting(self, box: Box) -> None:
        """Check a start: S8."""
        others = [b for b in self.engine.boxes.values() if b.app == box.app and b.is_running]
        twice = [b.name for b in others if b.revision != box.revision]
        is_exclusive = self._is_exclusive(box.app) and not self._has_just_wished(box.app)
        self._require(not (is_exclusive and twice), f"S8: {box.name} started beside {twice}")

    def hook_starting(self, box: Box) -> None:
        """Check the start of a hook: once for its deployment and alone (S9), and S8."""
        self._require(box.name not in self.hooks_started, f"{box.name} runs twice")
        self.hooks_started.add(box.name)
        of_app = [other for other in self.engine.boxes.values() if other.app == box.app]
        beside = [other.name for other in of_app if other.hook is not None and other.is_running]
        self._require(not beside, f"S9: {box.name} started beside {beside}")
        if box.hook is not None and box.hook.moment is Moment.BEFORE:
            green = [b.name for b in of_app if b.revision == box.revision and b.is_running]
            self._require(not green, f"S9: {box.name} started beside {green}")
        self.starting(box)

    def _is_exclusive(self, app: AppName) -> bool:
        desired = self.desired(app)
        return desired is not None and desired.rollout.strategy is Strategy.RECREATE

    def stopping(self, box: Box) -> None:
        """Check a stop: S2 and S4."""
        name = box.name
        self._require(not self.router.may_route_to(name), f"S2: {name} stopped while routed to")
        spec = self.desired(box.app) or self.good.get(box.app)
        limit = spec.rollout.drain if spec else DEFAULT_DRAIN
        part = self.router.part(box.app)
        if spec is not None and part is not None and part.holds_for is not None:
            limit = min(limit, spec.rollout.hold_requests / 3)
        since = asyncio.get_running_loop().time() - self.unrouted_since.get(name, 0.0)
        is_quiet = box.connections == 0
        self._require(is_quiet or since >= limit - 0.01, f"S2: {name} cut off after {since:.2f} s")
        self._check_s4(box)

    def _check_s4(self, box: Box) -> None:
        good, desired = self.good.get(box.app), self.desired(box.app)
        if good is None or desired is None or box.revision != good.revision or not box.is_running:
            return
        if self._has_just_wished(box.app):
            return  # it was decided for the wish before
        if self._is_exclusive(box.app):
            return  # it stays, though stopped
        record = self.store.records.get(box.app, Record())
        is_well = box.is_well and self._since(box) > TO_NOTICE_HEALTH
        if record.good is None and (record.rejection is not None or not is_well):
            return  # who was good has been forgotten: what is bad now counts
        is_back = self.rejected.get(box.app) == desired.digest
        wanted = good.replicas if is_back else desired.replicas
        self._require(
            desired.revision == good.revision or is_back,
            f"S4: {box.name} stopped, it is of the good revision and green has not baked",
        )
        left = [b for b in self.engine.of(box.revision) if b.is_running and not b.is_stopping]
        self._require(len(left) > wanted, f"S4: {box.name} stopped, it is not surplus")

    def removing(self, box: Box) -> None:
        """Check a removal: S2, S7, and S4 where blue is kept stopped."""
        good, desired = self.good.get(box.app), self.desired(box.app)
        if (
            good is not None
            and desired is not None
            and self._is_exclusive(box.app)
            and not self._has_just_wished(box.app)
            and self.rejected.get(box.app) != desired.digest
            and self.store.records.get(box.app, Record()).good is not None
        ):
            is_doubtful = box.revision == good.revision != desired.revision
            self._require(not is_doubtful, f"S4: {box.name} removed before green is good")
        self._require(
            not self.router.may_route_to(box.name), f"S7: {box.name} removed while routed"
        )

    # --- traffic ----------------------------------------------------------------------------------

    def publishing(self, app: AppName, routing: Routing | None) -> None:
        """Check a publication: S1, S3 and S7."""
        desired = self.desired(app)
        before = self.router.part(app)
        if routing is None:
            self._require(
                desired is None or self._has_just_wished(app),
                f"S3: {app} taken out of the routing while desired",
            )
            return
        for server in routing.servers:
            self._once_routed.add(server.replica)
            self._require(
                self._is_right(server) or self._has_just_died(server),
                f"S7: {server.replica} published, it is not there",
            )
        weights = sum(share.weight for share in routing.shares)
        self._require(not routing.shares or weights == 100, f"S1: weights of {app} are {weights}")
        kept = set(before.servers) if before else set()
        for share in routing.shares:
            is_kept = set(share.servers) <= kept
            self._require(
                is_kept or self._has_well(share), f"S1: nothing of {share.revision} is healthy"
            )
        had = before is not None and any(map(self._has_long_been_well, before.shares))
        has = any(map(self._has_well, routing.shares))
        is_held = routing.holds_for is not None and self._is_exclusive(app)
        may_be = desired is None or self._has_just_wished(app) or is_held
        self._require(has or not had or may_be, f"S3: {app} emptied")

    def loaded(self, traefik: FakeTraefik) -> None:
        """Check what a Traefik has come to run: nobody behind it may have been taken away by us."""
        for app, part in traefik.loaded.parts.items():
            for server in part.servers:
                self._require(
                    self._is_right(server) or self._died_by_itself(server),
                    f"S2: {traefik.name} routes {app} to {server.replica}, which was stopped",
                )
        self._note_times()

    def _note_times(self) -> None:
        now = asyncio.get_running_loop().time()
        for name in [name for name in self.engine.boxes if name in self._once_routed]:
            if self.router.may_route_to(name):
                self.unrouted_since.pop(name, None)
            else:
                self.unrouted_since.setdefault(name, now)
        runs = [traefik.loaded for traefik in self.router.traefiks]
        for app in {app for edition in runs for app in edition.parts}:
            splits = [e.parts[app].split if app in e.parts else None for e in runs]
            same = all(each == splits[0] for each in splits)
            key = str(splits[0]) if same and splits[0] is not None else ""
            if self._weights.get(app) != key:
                self._weights[app] = key
                self.stood_since[app] = now

    _retried: set[AppName] = field(default_factory=set)
    _wished_at: dict[AppName, float] = field(default_factory=dict)
    _weights: dict[AppName, str] = field(default_factory=dict)
    _once_routed: set[ReplicaName] = field(default_factory=set)

    def _is_right(self, server: Server) -> bool:
        """Tell whether the replica is there to answer at its address."""
        box = self.engine.boxes.get(server.replica)
        return (
            box is not None
            and box.is_running
            and not box.is_stopping
            and server.address in {box.name, box.ip}
        )

    def _died_by_itself(self, server: Server) -> bool:
        box = self.engine.boxes.get(server.replica)
        return box is None or box.died_by_itself or box.restarts > 0

    def _has_just_died(self, server: Server) -> bool:
        box = self.engine.boxes.get(server.replica) or self.engine.graveyard.get(server.replica)
        return box is not None and box.died_by_itself and self._since(box) < TO_NOTICE_DEATH

    def _has_well(self, share: Share) -> bool:
        """Tell whether a replica of the share is healthy, as far as anybody can know."""
        boxes = [self.engine.boxes.get(server.replica) for server in share.servers]
        return any(map(self._has_just_died, share.servers)) or any(
            box is not None
            and box.is_running
            and not box.is_stopping
            and (box.is_well or box.sick_for < TO_NOTICE_SICKNESS)
            for box in boxes
        )

    def _has_long_been_well(self, share: Share) -> bool:
        boxes = [self.engine.boxes[s.replica] for s in share.servers if self._is_right(s)]
        return any(box.is_well and self._since(box) > TO_NOTICE_HEALTH for box in boxes)

    def _since(self, box: Box) -> float:
        return asyncio.get_running_loop().time() - box.changed_at

    # --- memory -----------------------------------------------------------------------------------

    def saving(self, app: AppName, record: Record, endings: Sequence[Ending]) -> None:
        """Check what is remembered: who is made good has had all traffic for its bake (S4)."""
        if record.rejection is not None:
            if self.rejected.get(app) != record.rejection.spec:
                self._retried.discard(app)
            self.rejected[app] = record.rejection.spec
        elif app in self.rejected and not self._is_still_desired(app):
            del self.rejected[app]
        good, before = record.good, self.good.get(app)
        if good is None:
            return
        is_ours = any(
            e.outcome is Outcome.SUCCEEDED and e.revision == good.revision for e in endings
        )
        if is_ours:
            self._check_promotion(app, good, before)
        self.good[app] = good

    def _is_still_desired(self, app: AppName) -> bool:
        desired = self.desired(app)
        return desired is not None and desired.digest == self.rejected.get(app)

    def _check_promotion(self, app: AppName, good: AppSpec, before: AppSpec | None) -> None:
        for traefik in self.router.traefiks:
            part = traefik.loaded.parts.get(app)
            weights = part.weights if part is not None else {}
            self._require(
                weights == {good.revision: 100},
                f"S4: {good.image} made good while {traefik.name} runs {dict(weights)}",
            )
        if before is not None and before.revision == good.revision:
            return
        stood = asyncio.get_running_loop().time() - self.stood_since.get(app, 0.0)
        self._require(
            app in self.waived or stood >= good.rollout.bake - 0.02,
            f"S4: {good.image} made good after {stood:.2f} s",
        )
        self.waived.discard(app)

    def forgetting(self, app: AppName) -> None:
        """Take note that an app is gone."""
        boxes = [box.name for box in self.engine.boxes.values() if box.app == app]
        self._require(not boxes, f"{app} forgotten while there is {boxes}")
        self.good.pop(app, None)
        self.rejected.pop(app, None)
