"""What cannot be seen, asked or remembered: nothing is done, and it goes on when it is over (S5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.core.build import WEB
from tests.runtime.fakes import Behaviour
from tests.runtime.stage import Stage, web
from tests.runtime.tape import Mishap
from traefik_bg.core.actions import Outcome, Phase
from traefik_bg.core.commands import Verb
from traefik_bg.core.errors import Unavailable

V1, V2 = web("web:1"), web("web:2")

BEFORE: dict[str, Callable[[Stage], object]] = {
    "before it is begun": lambda stage: stage.serves(V1),
    "while green starts": lambda stage: stage.running(V2) > 0,
    "after the cutover": lambda stage: stage.serves(V2),
    "while blue is drained": lambda stage: stage.record().good == V2,
}


@pytest.mark.parametrize("when", BEFORE)
async def test_while_docker_cannot_be_reached_nothing_is_done_and_then_it_goes_on(
    when: str,
) -> None:
    """The app is blind and says so, once; traffic flows; the deployment ends as it would have."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(V2)
        await stage.until(lambda: BEFORE[when](stage))
        stage.tape.down["docker"] = "cannot connect to the Docker daemon"
        await stage.until(lambda: stage.phase is Phase.BLIND)
        done, weights = len(stage.tape.actions), stage.weights()
        await stage.stays(lambda: stage.status().trouble, during=60)
        assert stage.status().trouble == "cannot connect to the Docker daemon"
        assert len(stage.tape.actions) == done
        assert stage.weights() == weights
        stage.tape.down.clear()
        await stage.settle()
        assert stage.status().trouble is None
        assert stage.serves(V2)
        assert stage.record().good == V2
        assert [ending.outcome for ending in stage.store.endings] == [Outcome.SUCCEEDED] * 2


async def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends(
    logs: list[dict[str, object]],
) -> None:
    """A minute without Docker is two lines of log."""
    async with Stage() as stage:
        await stage.deployed(V1)
        logs.clear()
        stage.tape.down["docker"] = "cannot connect to the Docker daemon"
        await stage.stays(lambda: stage.serves(V1), during=90)
        stage.tape.down.clear()
        await stage.settle()
        about = [entry["event"] for entry in logs if entry.get("app") == WEB]
        assert about == ["app.in_trouble", "app.out_of_trouble"]


async def test_looks_that_fail_are_repeated_ever_more_slowly() -> None:
    """Docker is down for ten minutes: it is asked every five seconds at most."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.tape.down["docker"] = "no"
        await stage.until(lambda: stage.phase is Phase.BLIND)
        asked = stage.tape.count("containers")
        await stage.stays(lambda: True, during=600)
        assert 110 < stage.tape.count("containers") - asked < 140


async def test_the_next_outage_is_tried_as_often_as_the_first() -> None:
    """A good look ends all patience: a short outage later costs no five seconds."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.tape.down["docker"] = "no"
        await stage.stays(lambda: True, during=60)
        stage.tape.down.clear()
        await stage.settle()
        stage.tape.next("containers", Mishap.FAILS)
        stage.want(V2)
        await stage.until(lambda: stage.running(V2) == 2, within=1)
        await stage.settle()


async def test_what_failed_is_said_until_it_is_over() -> None:
    """Docker does not stop blue: people see why; once it is gone nobody hears of it any more."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.tape.next("stop", Mishap.FAILS, 4)
        stage.tape.next("remove", Mishap.LOSES_REPLY, 2)
        stage.want(V2)
        await stage.until(lambda: stage.record().good == V2)
        await stage.until(lambda: failures(stage))
        assert failures(stage) <= {
            f"docker: no answer to stop web-{V1.revision}-{number}" for number in (0, 1)
        }
        await stage.settle(quiet=60)
        assert not failures(stage)


def failures(stage: Stage) -> set[str]:
    """Return what is said to fail."""
    seen = stage.status().seen
    return set(seen.failures.values()) if seen is not None else set()


async def test_a_docker_that_hangs_only_delays() -> None:
    """The listing does not answer for a while; then the deployment goes on."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.tape.next("containers", Mishap.HANGS, 2)
        stage.want(V2)
        await stage.settle()
        assert stage.serves(V2)


async def test_an_action_that_hangs_is_made_up_for() -> None:
    """A creation hangs, fails, and is repeated; the other replica waits for it."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.tape.next("create", Mishap.HANGS)
        stage.want(V2)
        await stage.settle()
        assert stage.serves(V2)
        assert stage.running(V2) == 2


async def test_an_action_that_failed_once_is_repeated_soon() -> None:
    """A pause of half a second, not a wait for the next full look."""
    async with Stage(resync=1000) as stage:
        await stage.deployed(V1)
        for verb in ("create", "start", "publish", "stop", "remove"):
            stage.tape.next(verb, Mishap.FAILS)
        stage.want(V2)
        await stage.until(lambda: not stage.boxes(V1) and stage.serves(V2), within=15)
        await stage.settle()


async def test_a_registry_that_does_not_answer_is_asked_again_and_again() -> None:
    """Not reachable is not "no such image": the deployment waits."""
    far = web("web:far")
    async with Stage() as stage:
        stage.engine.registry["web:far"] = Behaviour()
        stage.tape.next("pull", Mishap.FAILS, 6)
        await stage.deployed(V1)
        stage.want(far)
        await stage.until(lambda: "trying again" in stage.reason)
        await stage.settle()
        assert stage.serves(far)
        assert stage.record().rejection is None


# --- Traefik --------------------------------------------------------------------------------------


async def test_while_traefik_does_not_answer_nothing_goes_on_and_it_says_which() -> None:
    """The cutover is written, but one of two Traefiks cannot be asked: blue is kept."""
    async with Stage(traefiks=2) as stage:
        await stage.deployed(V1)
        stage.router.stop_answering(1)
        stage.want(V2)
        await stage.until(lambda: stage.phase is Phase.CONFIRMING)
        assert stage.reason == "waiting for Traefik to load the routing"
        await stage.stays(lambda: stage.running(V1) == 2, during=300)
        assert stage.status().routing.detail == "Traefik at traefik-2 does not answer"
        assert stage.record().good == V1
        stage.router.answer_again(1)
        await stage.settle()
        assert stage.record().good == V2
        assert not stage.boxes(V1)


async def test_while_a_traefik_has_not_loaded_the_routing_nothing_goes_on() -> None:
    """One of two Traefiks still sends requests to blue: it is not stopped."""
    async with Stage(traefiks=2) as stage:
        await stage.deployed(V1)
        stage.router.stick(0)
        stage.want(V2)
        await stage.until(lambda: stage.phase is Phase.CONFIRMING)
        await stage.stays(lambda: stage.running(V1) == 2, during=300)
        detail = stage.status().routing.detail
        assert detail == "Traefik at traefik-1 still runs what was published before"
        stage.router.unstick(0)
        await stage.settle()
        assert stage.record().good == V2


async def test_the_bake_begins_anew_when_a_traefik_was_out_of_sight() -> None:
    """Nobody knows what it did meanwhile, so green has to prove itself again."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.want(V2)
        await stage.until(lambda: stage.serves(V2))
        await stage.stays(lambda: stage.record().good == V1, during=4)
        stage.router.stop_answering()
        await stage.stays(lambda: stage.record().good == V1, during=4)
        stage.router.answer_again()
        await stage.stays(lambda: stage.record().good == V1, during=4.9)
        await stage.settle()
        assert stage.record().good == V2


async def test_a_traefik_that_was_started_anew_interrupts_nothing() -> None:
    """It loads what is published; the deployment waits for it and goes on."""
    async with Stage(traefiks=2) as stage:
        await stage.deployed(V1)
        stage.want(V2)
        await stage.until(lambda: stage.serves(V2))
        stage.router.restart(1)
        await stage.settle()
        assert stage.serves(V2)
        assert stage.record().good == V2


async def test_a_dead_replica_leaves_the_routing_though_traefik_does_not_answer() -> None:
    """What is published must be true even while nobody can say what is loaded (S7)."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.router.stop_answering()
        first = stage.boxes(V1)[0].name
        stage.engine.remove_by_hand(first)
        await stage.until(lambda: not stage.router.may_route_to(first), within=0.2)
        assert f"create {first}" not in stage.tape.said("create")[2:]
        stage.router.answer_again()
        await stage.settle()
        assert stage.running(V1) == 2


async def test_while_the_routing_cannot_be_written_blue_serves() -> None:
    """The disk is full: the cutover is tried again and again, and nothing else is done."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.tape.next("publish", Mishap.FAILS, 8)
        stage.want(V2)
        await stage.until(lambda: stage.status().trouble)
        assert stage.phase is Phase.BLIND
        await stage.settle()
        assert stage.record().good == V2


async def test_while_what_is_published_cannot_be_known_nothing_is_done() -> None:
    """The routing file cannot be read at the start: every app is blind."""
    async with Stage() as stage:
        await stage.deployed(V1)
        await stage.kill()
        stage.tape.down["router"] = "traefik-bg.yml cannot be read"
        stage.start()
        done = len(stage.tape.actions)
        stage.want(V2)
        await stage.until(lambda: stage.supervisor.trouble == "traefik-bg.yml cannot be read")
        await stage.stays(lambda: stage.serves(V1), during=60)
        assert len(stage.tape.actions) == done
        stage.tape.down.clear()
        await stage.settle()
        assert stage.serves(V2)


# --- memory and wishes ----------------------------------------------------------------------------


async def test_without_memory_nothing_is_done() -> None:
    """The record cannot be written: green is not even created."""
    async with Stage() as stage:
        await stage.deployed(V1)
        done = len(stage.tape.actions)
        stage.tape.down["store"] = "database is locked"
        stage.want(V2)
        await stage.until(lambda: stage.status().trouble == "database is locked")
        await stage.stays(lambda: len(stage.tape.actions) == done, during=60)
        stage.tape.down.clear()
        await stage.settle()
        assert stage.serves(V2)


async def test_a_record_that_cannot_be_read_at_the_start_is_not_an_empty_record() -> None:
    """Nothing is done until it can be read; then all is as it was."""
    async with Stage() as stage:
        await stage.deployed(V1)
        await stage.kill()
        stage.tape.next("record", Mishap.FAILS, 5)
        done = len(stage.tape.actions)
        stage.start()
        await stage.settle()
        assert len(stage.tape.actions) == done
        assert stage.status().record.good == V1


async def test_a_save_whose_reply_is_lost_is_not_told_twice() -> None:
    """The record was saved after all: it is read again, and the history has one entry."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.engine.images["web:2"] = Behaviour(status=503)
        stage.want(V2)
        await stage.until(lambda: stage.running(V2) == 2)
        stage.tape.next("save", Mishap.LOSES_REPLY, 2)
        await stage.settle()
        outcomes = [ending.outcome for ending in stage.store.endings]
        assert outcomes == [Outcome.SUCCEEDED, Outcome.REJECTED]


async def test_before_the_desired_state_is_read_no_app_is_taken_for_unwanted() -> None:
    """An unread file is not an empty file: everything stays as it is."""
    async with Stage() as stage:
        await stage.deployed(V1)
        await stage.kill()
        wanted = stage.source.state
        stage.source.unread()
        done = len(stage.tape.actions)
        stage.start()
        await stage.until(lambda: stage.supervisor.trouble == "desired.yaml: not read yet")
        await stage.stays(lambda: stage.serves(V1), during=60)
        assert len(stage.tape.actions) == done
        stage.source.state = wanted
        await stage.until(lambda: stage.supervisor.trouble is None)
        await stage.settle()
        assert len(stage.tape.actions) == done


async def test_a_file_that_becomes_unknown_while_the_app_runs_changes_nothing() -> None:
    """The app is blind, for nobody knows whether it is wanted."""
    async with Stage() as stage:
        await stage.deployed(V1)
        wanted = stage.source.state
        stage.source.unread()
        stage.triggers.wake(WEB)
        await stage.until(lambda: stage.phase is Phase.BLIND)
        await stage.stays(lambda: stage.serves(V1), during=60)
        stage.source.state = wanted
        await stage.settle()
        assert stage.phase is Phase.SETTLED


async def test_a_mistake_in_the_file_leaves_the_last_good_one_in_force() -> None:
    """The mistake is in the status; the app is looked after as before."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.source.break_file("desired.yaml:7: unknown key imagee")
        await stage.until(lambda: stage.status().desired_error)
        stage.engine.remove_by_hand(stage.boxes(V1)[0].name)
        await stage.settle()
        assert stage.running(V1) == 2
        assert stage.status().desired_error == "desired.yaml:7: unknown key imagee"


async def test_a_mishap_in_the_middle_of_a_removal_does_not_leave_it_half_done() -> None:
    """Docker goes away while an unwanted app is removed; then it is removed."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.drop()
        await stage.until(lambda: any(box.is_stopping for box in stage.boxes(V1)))
        stage.tape.down["docker"] = "gone"
        await stage.stays(lambda: True, during=30)
        stage.tape.down.clear()
        await stage.settle()
        assert not stage.engine.boxes
        assert not stage.store.records


# --- commands while blind -------------------------------------------------------------------------


async def test_a_command_that_cannot_be_judged_is_answered_at_once() -> None:
    """Docker is away: the operator hears so, instead of waiting for ever."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.tape.down["docker"] = "cannot connect to the Docker daemon"
        with pytest.raises(Unavailable, match="cannot connect to the Docker daemon"):
            await stage.command(Verb.PAUSE)
        stage.tape.down.clear()
        await stage.settle()
        assert not stage.record().paused


async def test_a_command_that_cannot_be_remembered_is_not_obeyed() -> None:
    """The record cannot be written: the operator hears so, and nothing has changed."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.tape.next("save", Mishap.FAILS)
        with pytest.raises(Unavailable, match="no answer to save web"):
            await stage.command(Verb.PAUSE)
        await stage.settle()
        assert not stage.record().paused
        assert stage.phase is Phase.SETTLED


async def test_a_command_whose_save_lost_its_reply_is_obeyed_after_all() -> None:
    """What is remembered counts: it is read again."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.tape.next("save", Mishap.LOSES_REPLY)
        with pytest.raises(Unavailable, match="the reply to save web was lost"):
            await stage.command(Verb.PAUSE)
        await stage.until(lambda: stage.phase is Phase.PAUSED, within=2)
        assert stage.record().paused


async def test_a_command_that_was_obeyed_but_not_noted_is_answered() -> None:
    """The history for people is no reason to leave the operator without an answer."""
    async with Stage() as stage:
        await stage.deployed(V1)
        stage.tape.next("note", Mishap.FAILS)
        assert "is paused" in await stage.command(Verb.PAUSE)
        await stage.until(lambda: stage.phase is Phase.PAUSED)


async def test_a_command_to_an_app_that_is_not_known_yet_says_why() -> None:
    """At the start nobody knows which apps there are: that is not "no such app"."""
    async with Stage() as stage:
        stage.tape.down["docker"] = "cannot connect to the Docker daemon"
        stage.want(replace(V1))
        await stage.until(lambda: stage.supervisor.trouble != "starting")
        with pytest.raises(Unavailable, match="cannot connect to the Docker daemon"):
            await stage.command(Verb.PAUSE)
        stage.tape.down.clear()
