"""The ledger has teeth: a service without its guard that does wrong is found out.

Everything else here trusts the ledger to see what breaks a law. So the service is made careless in
one way at a time, and the ledger must say which law that broke.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.core.build import WEB
from tests.runtime.fakes import Behaviour
from tests.runtime.stage import Stage, web
from traefik_bg.core import replica_rules, verdict
from traefik_bg.core.actions import Action, CreateReplica, Plan, PublishRouting, StopReplica
from traefik_bg.core.model import ReplicaName, RevisionId, Routing, Server, Share
from traefik_bg.core.observation import Observation
from traefik_bg.core.planner import plan
from traefik_bg.core.record import Record
from traefik_bg.runtime import executor, reconciler

V1, V2 = web("web:1"), web("web:2")
BAD = web("web:bad")

Bad = Callable[[Stage], Action]


def routing_to(*servers: Server, weight: int = 100, revision: RevisionId = V1.revision) -> Routing:
    """Return a routing to these servers."""
    share = Share(revision=revision, weight=weight, servers=servers)
    return Routing(shares=(share,), routes=V1.routes)


def at(name: str) -> Server:
    """Return the address of a replica."""
    return Server(replica=ReplicaName(name), address=name, port=8000)


FIRST, SECOND = f"web-{V1.revision}-0", f"web-{V1.revision}-1"
DEEDS: dict[str, tuple[Bad, str]] = {
    "stop what is routed": (
        lambda _stage: StopReplica(name=ReplicaName(FIRST)),
        f"S2: {FIRST} stopped while routed to",
    ),
    "publish a ghost": (
        lambda _stage: PublishRouting(app=WEB, routing=routing_to(at("web-ghost-0"))),
        "S7: web-ghost-0 published, it is not there",
    ),
    "give half the weight": (
        lambda _stage: PublishRouting(app=WEB, routing=routing_to(at(FIRST), weight=50)),
        "S1: weights of web are 50",
    ),
    "empty the app": (
        lambda _stage: PublishRouting(app=WEB, routing=replace(routing_to(), shares=())),
        "S3: web emptied",
    ),
    "unroute the app": (
        lambda _stage: PublishRouting(app=WEB, routing=None),
        "S3: web taken out of the routing while desired",
    ),
    "create for nothing": (
        lambda _stage: CreateReplica(name=ReplicaName(f"web-{V2.revision}-0"), number=0, spec=V2),
        f"web-{V2.revision}-0 created before it was remembered why",
    ),
    "create under another's name": (
        lambda _stage: CreateReplica(name=ReplicaName("blog-0"), number=0, spec=V1),
        "S6: blog-0 is not ours",
    ),
}


@pytest.mark.parametrize("deed", DEEDS)
async def test_a_bad_deed_is_found_out(deed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned by mistake, and no guard to stop it."""
    bad, law = DEEDS[deed]
    monkeypatch.setattr(executor, "broken_by_publishing", lambda *_: None)
    monkeypatch.setattr(executor, "broken_by_stopping", lambda *_: None)
    async with Stage() as stage:
        stage.laws_may_break = True
        await stage.deployed(V1)
        once = [bad(stage)]

        def planned(seen: Observation, record: Record) -> Plan:
            made = plan(seen, record)
            return replace(made, actions=(once.pop(),)) if once else made

        monkeypatch.setattr(reconciler, "plan", planned)
        stage.triggers.wake(WEB)
        await asyncio.sleep(2)
        assert law in "\n".join(stage.ledger.broken)


async def broken_by(stage: Stage) -> str:
    """Deploy v1 and then v2, and return what was broken on the way."""
    stage.laws_may_break = True
    async with stage:
        await stage.deployed(V1)
        stage.want(V2)
        await asyncio.sleep(20)
        return "\n".join(stage.ledger.broken)


async def test_a_drain_that_is_not_waited_for_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody is still being answered (S2)."""
    monkeypatch.setattr(replica_rules, "is_drained", lambda *_: True)
    async with Stage() as stage:
        stage.laws_may_break = True
        await stage.deployed(V1)
        for box in stage.boxes(V1):
            box.connections = 1
        stage.want(V2)
        await stage.until(lambda: stage.serves(V2) and not stage.boxes(V1))
        assert f"S2: {FIRST} cut off" in "\n".join(stage.ledger.broken)


async def test_a_blue_that_is_not_kept_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Green has not baked (S4)."""
    monkeypatch.setattr(replica_rules, "_kept_revisions", lambda *_: frozenset())
    stage = Stage()
    stage.router.guard_available = False
    assert f"S4: {FIRST} stopped" in await broken_by(stage)


async def test_a_bake_that_is_cut_short_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Green is made good before its time (S4)."""

    def hasty(seen: Observation, record: Record) -> Plan:
        stood = seen.weights_for
        return plan(replace(seen, weights_for=stood + 3.0 if stood is not None else None), record)

    monkeypatch.setattr(reconciler, "plan", hasty)
    assert "S4: web:2 made good after 2" in await broken_by(Stage())


async def test_a_rejection_that_is_forgotten_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bad version is tried again (L3)."""

    def forgetful(seen: Observation, record: Record) -> Plan:
        is_gone = all(replica.revision != BAD.revision for replica in seen.replicas)
        return plan(seen, replace(record, rejection=None) if is_gone else record)

    async with Stage() as stage:
        stage.laws_may_break = True
        stage.engine.images["web:bad"] = Behaviour(status=503)
        await stage.deployed(V1)
        monkeypatch.setattr(reconciler, "plan", forgetful)
        stage.want(BAD)
        await asyncio.sleep(60)
        assert "L3: web:bad was rejected" in "\n".join(stage.ledger.broken)


async def test_traffic_for_the_unproven_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A green that never was healthy gets everything (S1)."""
    monkeypatch.setattr(executor, "broken_by_publishing", lambda *_: None)
    monkeypatch.setattr(verdict, "rejection", lambda *_: None)
    async with Stage() as stage:
        stage.laws_may_break = True
        stage.engine.images["web:bad"] = Behaviour(status=503)
        await stage.deployed(V1)
        stage.want(BAD)
        await stage.until(lambda: stage.running(BAD) == 2)
        names = [box.name for box in stage.boxes(BAD)]
        bad = routing_to(*map(at, names), revision=BAD.revision)
        await stage.router.publish(WEB, bad)
        broken = "\n".join(stage.ledger.broken)
        assert f"S1: nothing of {BAD.revision} is healthy" in broken
        assert "S3: web emptied" in broken


async def test_a_stop_before_traefik_has_loaded_is_found_out() -> None:
    """One Traefik still sends requests there (S2)."""
    async with Stage(traefiks=2) as stage:
        stage.laws_may_break = True
        await stage.deployed(V1)
        stage.router.stick(1)
        await stage.router.publish(WEB, routing_to(at(FIRST)))
        await stage.engine.stop(ReplicaName(SECOND))
        stage.router.unstick(1)
        assert f"S2: {SECOND} stopped while routed to" in "\n".join(stage.ledger.broken)
