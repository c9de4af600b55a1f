"""Our own mistakes: caught before they do harm, said aloud, and kept to one app."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import replace
from typing import Any

import pytest

from tests.core.build import WEB
from tests.runtime.fakes import Behaviour
from tests.runtime.stage import Stage, web
from traefik_bg.core.actions import Action, CreateReplica, Phase, Plan, PublishRouting, StopReplica
from traefik_bg.core.commands import Verb
from traefik_bg.core.errors import SpecRefused, Unavailable
from traefik_bg.core.model import AppName, ReplicaName
from traefik_bg.core.observation import Observation
from traefik_bg.core.planner import plan
from traefik_bg.core.record import Record
from traefik_bg.runtime import reconciler

V1 = web("web:1")
OTHER = replace(V1, name=AppName("other"))

Planner = Callable[[Observation, Record], Plan]


def replaced_planner(
    monkeypatch: pytest.MonkeyPatch, bad: Callable[[Observation], tuple[Action, ...]]
) -> None:
    """Let the planner plan something bad for one app, whenever it is settled."""

    def planned(seen: Observation, record: Record) -> Plan:
        made = plan(seen, record)
        if seen.app != WEB or made.phase is not Phase.SETTLED or made.actions:
            return made
        return replace(made, actions=bad(seen))

    monkeypatch.setattr(reconciler, "plan", planned)


async def test_a_plan_that_stops_a_routed_replica_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The guard breaks in: nothing is stopped, the app is held and says so (S2)."""
    async with Stage() as stage:
        await stage.deployed(V1)
        victim = stage.boxes(V1)[0].name
        replaced_planner(monkeypatch, lambda _seen: (StopReplica(name=victim),))
        stage.triggers.wake(WEB)
        await stage.until(lambda: stage.phase is Phase.PAUSED)
        assert stage.status().trouble == (
            f"held, please report this: law S2: Traefik may still route to {victim}"
        )
        looks = stage.tape.count("containers")
        await stage.stays(lambda: stage.running(V1) == 2, during=120)
        assert stage.tape.count("containers") - looks < 30
        assert stage.phase is Phase.PAUSED
        assert not stage.tape.said("stop")
        monkeypatch.undo()
        await stage.until(lambda: stage.phase is Phase.SETTLED)
        assert stage.status().trouble is None


async def test_a_plan_that_publishes_a_dead_replica_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The guard breaks in: what is published stays (S7)."""
    async with Stage() as stage:
        await stage.deployed(V1)
        part = stage.router.part(WEB)
        assert part is not None
        share = part.shares[0]
        ghost = replace(share.servers[0], replica=ReplicaName("web-dead-0"), address="web-dead-0")
        bad = replace(part, shares=(replace(share, servers=(ghost,)),))
        replaced_planner(monkeypatch, lambda _seen: (PublishRouting(app=WEB, routing=bad),))
        stage.triggers.wake(WEB)
        await stage.until(lambda: stage.phase is Phase.PAUSED)
        assert "law S7: nothing of that name runs at web-dead-0" in str(stage.status().trouble)
        await stage.stays(lambda: stage.router.part(WEB) == part, during=120)


async def test_a_plan_that_unroutes_a_desired_app_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The guard breaks in: a desired app is never taken out of the routing (S3)."""
    async with Stage() as stage:
        await stage.deployed(V1)
        replaced_planner(monkeypatch, lambda _seen: (PublishRouting(app=WEB, routing=None),))
        stage.triggers.wake(WEB)
        await stage.until(lambda: stage.phase is Phase.PAUSED)
        await stage.stays(lambda: stage.serves(V1), during=60)


async def test_a_plan_that_routes_a_healthy_app_to_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The guard breaks in: what is healthy and served keeps its traffic (S3)."""
    async with Stage() as stage:
        await stage.deployed(V1)
        part = stage.router.part(WEB)
        assert part is not None
        empty = replace(part, shares=())
        replaced_planner(monkeypatch, lambda _seen: (PublishRouting(app=WEB, routing=empty),))
        stage.triggers.wake(WEB)
        await stage.until(lambda: stage.phase is Phase.PAUSED)
        assert "law S3" in str(stage.status().trouble)
        await stage.stays(lambda: stage.serves(V1), during=60)


async def test_a_plan_that_hides_a_publication_in_a_chain_is_carried_out_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A publication is done before the plan's other actions are begun, wherever it stands."""
    async with Stage() as stage:
        await stage.deployed(V1)
        part = stage.router.part(WEB)
        assert part is not None
        begun = len(stage.tape.actions)
        number = 7
        name = ReplicaName(f"web-{V1.revision}-{number}")
        replaced_planner(
            monkeypatch,
            lambda _seen: (
                PublishRouting(app=WEB, routing=replace(part, sticky=True)),
                CreateReplica(name=name, number=number, spec=V1),
            ),
        )
        stage.triggers.wake(WEB)
        await stage.until(lambda: stage.tape.said()[begun:])
        monkeypatch.undo()
        await stage.settle()
        assert [a.verb for a in stage.tape.actions[begun:]][:2] == ["publish", "create"]
        assert stage.running(V1) == 2


async def test_a_world_that_moved_is_looked_at_again_and_is_nobodys_mistake(
    logs: list[MutableMapping[str, Any]],
) -> None:
    """A replica of green dies between the plan and the cutover: no law is broken."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.engine.images["web:2"] = Behaviour(comes_back=False)
        v2 = web("web:2")
        stage.want(v2)
        await stage.until(
            lambda: "1 of 2" in stage.reason or len([b for b in stage.boxes(v2) if b.is_ready]) == 2
        )
        looks = stage.tape.count("containers")
        await stage.until(lambda: stage.tape.count("containers") > looks)
        stage.engine.tells = False
        stage.engine.crash(stage.boxes(v2)[1].name)
        await stage.settle()
        assert stage.serves(V1)
        assert "law.broken" not in [entry["event"] for entry in logs]


async def test_an_internal_error_of_one_app_does_not_stop_another(
    monkeypatch: pytest.MonkeyPatch, logs: list[MutableMapping[str, Any]]
) -> None:
    """The planner raises for one app: it says so and goes on; the other one is deployed."""

    def planned(seen: Observation, record: Record) -> Plan:
        if seen.app == WEB:
            raise KeyError("a bug")
        return plan(seen, record)

    async with Stage() as stage:
        await stage.deployed(V1)
        monkeypatch.setattr(reconciler, "plan", planned)
        stage.triggers.wake(WEB)
        stage.want(OTHER)
        await stage.settle()
        assert stage.serves(OTHER)
        assert stage.status().trouble == "internal error, please report this: KeyError('a bug')"
        assert "look.failed" in [entry["event"] for entry in logs]
        monkeypatch.undo()
        await stage.settle()
        assert stage.phase is Phase.SETTLED
        assert stage.status().trouble is None


async def test_a_command_to_an_app_with_an_internal_error_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The look itself fails for a reason nobody knows: the operator is told."""
    async with Stage() as stage:
        await stage.deployed(V1)
        monkeypatch.setattr(stage.engine, "containers", lambda _app: 1 / 0)
        with pytest.raises(Unavailable, match="internal error"):
            await stage.command(Verb.PAUSE)


async def test_an_answer_of_no_to_a_look_is_said_and_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refusal where only an outage was expected: the app waits, commands are answered."""

    async def refused(*_: object) -> None:
        raise SpecRefused("permission denied")

    async with Stage() as stage:
        await stage.deployed(V1)
        monkeypatch.setattr(stage.engine, "containers", refused)
        with pytest.raises(Unavailable, match="permission denied"):
            await stage.command(Verb.PAUSE)
        assert stage.status().trouble == "permission denied"
        await stage.stays(lambda: stage.serves(V1), during=60)
        monkeypatch.undo()
        await stage.settle()
        assert stage.status().trouble is None


async def test_an_action_that_fails_for_no_known_reason_is_repeated_ever_more_slowly(
    monkeypatch: pytest.MonkeyPatch, logs: list[MutableMapping[str, Any]]
) -> None:
    """A bug in an adapter: said aloud, tried again, but not a thousand times a second."""

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    async with Stage() as stage:
        await stage.deployed(V1)
        monkeypatch.setattr(stage.engine, "create", broken)
        stage.want(web("web:2"))
        looks = stage.tape.count("containers")
        await stage.stays(lambda: stage.serves(V1), during=60)
        assert stage.tape.count("containers") - looks < 100
        assert "operation.crashed" in [entry["event"] for entry in logs]
        seen = stage.status().seen
        assert seen is not None
        said = "internal error, please report this: ZeroDivisionError('a bug')"
        assert set(seen.failures.values()) == {said}
        monkeypatch.undo()
        await stage.settle()
        assert stage.serves(web("web:2"))


async def test_a_conflict_that_does_not_go_away_is_not_repeated_at_full_speed() -> None:
    """Docker says "no such image" to what it says is here: a look now and then, not a storm."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.engine.lies_about_images = True
        stage.want(web("web:ghost"))
        looks = stage.tape.count("containers")
        await stage.stays(lambda: stage.serves(V1), during=60)
        assert stage.tape.count("containers") - looks < 100


async def test_a_prober_that_raises_is_asked_again(
    logs: list[MutableMapping[str, Any]],
) -> None:
    """A bug in the prober: what is known stays, and is brought up to date when it works again."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.prober.breaks_with = ZeroDivisionError("a bug")
        await stage.stays(lambda: stage.serves(V1), during=30)
        assert "probe.failed" in [entry["event"] for entry in logs]
        stage.prober.breaks_with = None
        first = stage.boxes(V1)[0].name
        stage.engine.sicken(first)
        await stage.until(lambda: not stage.router.may_route_to(first), within=20)


async def test_a_listener_that_raises_is_nobodys_trouble() -> None:
    """Whoever shows statuses to people cannot stop the service."""
    async with Stage() as stage:
        stage.changed = lambda _status: 1 / 0
        await stage.deployed(V1)
        stage.tape.down["docker"] = "no"
        await stage.until(lambda: stage.phase is Phase.BLIND)
        stage.tape.down.clear()
        await stage.settle()
        assert stage.phase is Phase.SETTLED
