"""Containers that die, fall sick or vanish while the app serves, and things that take long."""

from __future__ import annotations

import pytest

from tests.core.build import WEB
from tests.runtime.fakes import Behaviour
from tests.runtime.stage import Stage, web
from traefik_bg.core.actions import Phase
from traefik_bg.core.rollout import Rollout

V1, V2 = web("web:1"), web("web:2")
FAR = web("web:far")


async def test_a_replica_that_dies_leaves_the_routing_at_once_and_comes_back_when_healthy() -> None:
    """The dead are not routed to (S7); Docker or we start it, and it joins once proven."""
    async with Stage() as stage:
        stage.engine.images["web:1"] = Behaviour(comes_back=False)
        await stage.deployed(V1)
        first = stage.boxes(V1)[0].name
        stage.engine.crash(first)
        await stage.until(lambda: not stage.router.may_route_to(first), within=0.2)
        await stage.settle()
        part = stage.router.part(WEB)
        assert part is not None
        assert part.has(first)
        assert stage.running(V1) == 2


async def test_a_replica_that_dies_again_and_again_is_started_ever_more_slowly() -> None:
    """The good revision is never given up, but Docker is not flooded either."""
    async with Stage() as stage:
        stage.engine.images["web:1"] = Behaviour(comes_back=False)
        await stage.deployed(V1)
        box = stage.boxes(V1)[0]
        box.behaves = Behaviour(comes_back=False, crashes_after=0.3)
        stage.engine.crash(box.name)
        begun = stage.tape.count("start")
        await stage.stays(lambda: stage.serves(V1), during=600)
        assert 15 < stage.tape.count("start") - begun < 35
        box.behaves = Behaviour()
        await stage.settle()
        assert stage.running(V1) == 2


async def test_a_container_removed_by_hand_is_replaced() -> None:
    """Somebody said `docker rm -f`: it leaves the routing, and another one is created."""
    async with Stage() as stage:
        await stage.deployed(V1)
        first = stage.boxes(V1)[0].name
        stage.engine.remove_by_hand(first)
        await stage.until(lambda: not stage.router.may_route_to(first), within=0.2)
        await stage.settle()
        assert stage.running(V1) == 2
        assert stage.tape.said("publish")[-1] == f"publish web {V1.revision}=100%x2"


async def test_all_containers_removed_by_hand_are_replaced() -> None:
    """Nothing is left: the app is brought back, without a bake, for it is the good revision."""
    async with Stage() as stage:
        await stage.deployed(V1)
        for box in stage.boxes(V1):
            stage.engine.remove_by_hand(box.name)
        await stage.until(lambda: stage.tape.said("publish")[-1] == "publish web ")
        await stage.until(lambda: stage.serves(V1) and stage.running(V1) == 2, within=10)
        await stage.settle()
        assert stage.phase is Phase.SETTLED


async def test_a_lost_event_is_made_up_for() -> None:
    """Docker's event did not come: the probe, or the next full look, finds out."""
    async with Stage(resync=10) as stage:
        await stage.deployed(V1)
        stage.engine.tells = False
        stage.engine.remove_by_hand(stage.boxes(V1)[0].name)
        await stage.until(lambda: stage.running(V1) == 2, within=11)
        await stage.settle()


async def test_a_sick_replica_leaves_the_routing_and_joins_again_when_it_is_well() -> None:
    """One of two replicas answers 500: the other one gets everything until it is well again."""
    async with Stage() as stage:
        await stage.deployed(V1)
        first = stage.boxes(V1)[0].name
        stage.engine.sicken(first)
        await stage.until(lambda: not stage.router.may_route_to(first), within=7)
        stage.engine.heal(first)
        await stage.until(lambda: stage.router.may_route_to(first), within=7)
        await stage.settle()
        assert stage.running(V1) == 2


async def test_when_all_replicas_are_sick_they_stay_routed() -> None:
    """Sick is better than nothing: nothing is taken out when nothing is better."""
    async with Stage() as stage:
        await stage.deployed(V1)
        for box in stage.boxes(V1):
            stage.engine.sicken(box.name)
        await stage.stays(lambda: stage.serves(V1), during=60)
        for box in stage.boxes(V1):
            stage.engine.heal(box.name)
        await stage.settle()
        part = stage.router.part(WEB)
        assert part is not None
        assert len(list(part.servers)) == 2


@pytest.mark.parametrize("names", [True, False], ids=["names", "ips"])
async def test_an_address_that_is_given_out_again_is_never_published_for_another(
    names: bool,
) -> None:
    """Docker gives the address of a dead replica to the next container; nobody is routed there."""
    async with Stage(addresses_are_names=names) as stage:
        stage.engine.images["web:1"] = Behaviour(comes_back=False)
        await stage.deployed(V1)
        stage.want(V2)
        await stage.until(lambda: stage.running(V2) == 2)
        for box in stage.boxes(V1):
            stage.engine.crash(box.name)
        await stage.settle()
        assert stage.serves(V2)


# --- what takes long ------------------------------------------------------------------------------


async def test_a_pull_that_takes_a_minute_does_not_hide_a_death() -> None:
    """While the image comes, a blue replica dies: it leaves the routing at once."""
    async with Stage() as stage:
        stage.engine.images["web:1"] = Behaviour(comes_back=False)
        stage.engine.registry["web:far"] = Behaviour(pull_takes=60)
        await stage.deployed(V1)
        stage.want(FAR)
        await stage.until(lambda: stage.phase is Phase.PULLING)
        first = stage.boxes(V1)[0].name
        stage.engine.crash(first)
        await stage.until(lambda: not stage.router.may_route_to(first), within=0.2)
        assert "web:far" not in stage.engine.images
        await stage.settle(quiet=100)
        assert stage.serves(FAR)


async def test_a_pull_that_takes_a_minute_does_not_keep_blue_from_being_started_again() -> None:
    """All of blue dies while the image comes: it is started again meanwhile."""
    async with Stage() as stage:
        stage.engine.images["web:1"] = Behaviour(comes_back=False)
        stage.engine.registry["web:far"] = Behaviour(pull_takes=60)
        await stage.deployed(V1)
        stage.want(FAR)
        await stage.until(lambda: stage.phase is Phase.PULLING)
        for box in stage.boxes(V1):
            stage.engine.crash(box.name)
        await stage.until(lambda: stage.serves(V1) and stage.running(V1) == 2, within=10)
        assert "web:far" not in stage.engine.images
        await stage.settle(quiet=100)
        assert stage.serves(FAR)


async def test_a_stop_that_takes_half_a_minute_does_not_blind_the_loop() -> None:
    """While blue takes its time to end, a replica of green dies and is repaired."""
    async with Stage() as stage:
        stage.engine.images["web:1"] = Behaviour(stop_takes=30)
        stage.engine.images["web:2"] = Behaviour(comes_back=False)
        await stage.deployed(V1)
        stage.want(V2)
        await stage.until(lambda: all(box.is_stopping for box in stage.boxes(V1)))
        assert stage.reason.startswith("stopping") or stage.reason.startswith("retiring")
        dead = stage.boxes(V2)[0].name
        stage.engine.crash(dead)
        await stage.until(lambda: not stage.router.may_route_to(dead), within=0.2)
        await stage.until(lambda: stage.router.may_route_to(dead), within=5)
        assert stage.running(V1) == 2
        await stage.settle()
        assert not stage.boxes(V1)


async def test_open_connections_are_waited_for_up_to_the_drain() -> None:
    """Blue still answers somebody: it is stopped when that is over, or after 3 s."""
    async with Stage() as stage:
        await stage.deployed(V1)
        first, second = (box.name for box in stage.boxes(V1))
        stage.want(V2)
        await stage.until(lambda: stage.record().good == V2)
        for name in (first, second):
            stage.engine.boxes[name].connections = 3
        await stage.until(lambda: "waiting for 6 open connections" in stage.reason)
        stage.engine.boxes[first].connections = 0
        await stage.until(lambda: stage.engine.boxes[first].is_stopping, within=1.5)
        await stage.stays(lambda: not stage.engine.boxes[second].is_stopping, during=1.2)
        await stage.settle()
        assert not stage.boxes(V1)


async def test_only_a_second_without_a_connection_ends_a_drain() -> None:
    """A connection that comes and goes is work: the second begins anew."""
    async with Stage() as stage:
        stage.want(web("web:1", replicas=1))
        await stage.settle()
        (box,) = stage.boxes(V1)
        stage.want(web("web:2", replicas=1))
        await stage.until(lambda: stage.record().good and not stage.serves(V1))
        await stage.until(lambda: not stage.router.may_route_to(box.name))
        for connections in (0, 2, 0, 2, 0):
            box.connections = connections
            await stage.stays(lambda: not box.is_stopping, during=0.55)
        await stage.settle()
        assert not stage.boxes(V1)


async def test_connections_are_not_counted_while_a_replica_is_routed() -> None:
    """They say nothing then, and counting is not free."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.counter.counted.clear()
        await stage.stays(lambda: stage.serves(V1), during=120)
        assert not stage.counter.counted


async def test_what_cannot_be_counted_is_drained_to_the_end() -> None:
    """Nobody knows whether blue still answers: it gets its whole drain."""
    async with Stage() as stage:
        stage.counter.can_count = False
        await stage.deployed(V1)
        stage.want(V2)
        await stage.until(lambda: stage.record().good == V2)
        await stage.stays(lambda: stage.running(V1) == 2, during=2.9)
        await stage.settle()
        assert not stage.boxes(V1)


async def test_a_service_that_starts_presumes_what_serves_to_be_well() -> None:
    """A restart of the service takes nothing out of the routing, whatever probes take."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.tape.late["probe"] = 5.0
        done = len(stage.tape.actions)
        await stage.restart()
        await stage.stays(lambda: stage.serves(V1), during=20)
        assert len(stage.tape.actions) == done


async def test_one_bad_answer_to_a_service_that_starts_takes_nobody_out() -> None:
    """What serves is presumed well: it takes `fall` bad answers, like ever."""
    async with Stage() as stage:
        await stage.deployed(V1)
        first = stage.boxes(V1)[0].name
        await stage.kill()
        stage.engine.sicken(first)
        stage.start()
        await stage.until(lambda: "HTTP 500" in str(stage.supervisor.statuses))
        stage.engine.heal(first)
        await stage.stays(lambda: stage.router.may_route_to(first), during=20)
        assert stage.tape.count("publish") == 1


async def test_after_a_lost_record_blue_is_still_a_way_back() -> None:
    """Nobody remembers its port, so it is asked where the app listens now; green falls sick."""
    fading = web("web:fading")
    async with Stage() as stage:
        stage.router.guard_available = False  # so that it is not even published as the fallback
        stage.engine.images["web:fading"] = Behaviour(fades_after=4.0)
        await stage.deployed(V1)
        stage.want(fading)
        await stage.until(lambda: stage.serves(fading))
        await stage.restart(lose_record=True)
        await stage.until(lambda: stage.serves(V1), within=10)
        await stage.settle()
        assert stage.running(V1) == len(stage.engine.boxes) == 2


async def test_a_death_that_nobody_told_of_is_found_in_the_middle_of_a_long_bake() -> None:
    """Docker's event was lost and the probe is slow: the next full look finds out (L4)."""
    long = web("web:2", rollout=Rollout(bake=3600.0, drain=3.0))
    async with Stage(resync=30) as stage:
        await stage.deployed(V1)
        stage.want(long)
        await stage.until(lambda: stage.phase is Phase.BAKING)
        stage.engine.tells = False
        stage.tape.late["probe"] = 600.0
        first = stage.boxes(V1)[0].name
        stage.engine.remove_by_hand(first)
        await stage.until(lambda: not stage.router.may_route_to(first), within=31)
        stage.tape.late.clear()


async def test_a_service_that_starts_finds_out_that_what_serves_is_sick() -> None:
    """Presumed well until `fall` probes have failed; then it leaves the routing."""
    async with Stage() as stage:
        await stage.deployed(V1)
        first = stage.boxes(V1)[0].name
        stage.engine.sicken(first)
        await stage.restart()
        await stage.until(lambda: not stage.router.may_route_to(first), within=3)
        await stage.stays(lambda: stage.serves(V1), during=20)
