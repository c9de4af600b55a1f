"""What people may know of an app, and what they never get to know."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.core.build import app, good, replica, replicas, routing
from traefik_bg.core.actions import Phase
from traefik_bg.core.model import Route, canonical_json
from traefik_bg.core.observation import ContainerState, Health, Observation
from traefik_bg.core.ports import RoutingState
from traefik_bg.core.record import Deployment, Pin, Record, Rejection
from traefik_bg.runtime.reconciler import AppStatus
from traefik_bg.web.view import AppView, app_view

V1, V2, V3 = app("web:1"), app("web:2"), app("web:3")


def status(
    *parts: Any, desired: Any = V1, record: Record | None = None, published: Any = None, **more: Any
) -> AppStatus:
    """Return a status of replicas as they are seen."""
    seen = Observation(
        app=V1.name, desired=desired, replicas=tuple(parts), published=published, confirmed_for=1.0
    )
    state = RoutingState(published=published, confirmed_for=1.0 if published else None)
    known = record or good(V1)
    return AppStatus(app=V1.name, seen=seen, record=known, routing=state, since=90.0, **more)


def settled(**more: Any) -> AppStatus:
    """Return the status of an app of which nothing is wanted."""
    more = {"phase": Phase.SETTLED, "reason": "it serves", **more}
    return status(*replicas(V1, unrouted_for=None), published=routing((V1, 100)), **more)


def deploying() -> AppStatus:
    """Return the status of an app whose green has a part of the traffic."""
    record = good(V1, V3, deployment=Deployment(number=7, revision=V2.revision, image="web:2"))
    return status(
        *replicas(V1, unrouted_for=None),
        *replicas(V2, unrouted_for=None),
        replica(V3, open_connections=4),
        desired=V2,
        record=record,
        published=routing((V1, 90), (V2, 10)),
        phase=Phase.SHIFTING,
    )


def rejected(reason: str = "it exited") -> AppStatus:
    """Return the status of an app whose desired revision is rejected."""
    rejection = Rejection(spec=V2.digest, revision=V2.revision, reason=reason, log=("boom",))
    dead = replica(V2, state=ContainerState.EXITED, exit_code=3, log=("boom",))
    return status(
        *replicas(V1, unrouted_for=None),
        dead,
        desired=V2,
        record=good(V1, rejection=rejection),
        published=routing((V1, 100)),
        phase=Phase.REJECTED,
    )


def view(of: AppStatus) -> AppView:
    """Return what people see 10 seconds into the phase."""
    return app_view(of, 100.0)


def test_a_settled_app_is_well_and_says_what_serves() -> None:
    """An app that serves as desired is well; what serves, and since when, is in the view."""
    seen = view(settled())
    assert (seen["name"], seen["image"], seen["revision"]) == ("web", "web:1", V1.revision)
    assert (seen["phase"], seen["reason"], seen["since"]) == ("settled", "it serves", 10.0)
    assert (seen["healthy"], seen["wanted"], seen["is_well"]) == (2, 2, True)
    assert seen["weights"] == [
        {
            "revision": V1.revision,
            "image": "web:1",
            "digest": "",
            "role": "serving",
            "weight": 100,
            "replicas": 2,
        }
    ]
    assert seen["desired"] == {
        "revision": V1.revision,
        "image": "web:1",
        "digest": "",
        "replicas": 2,
    }
    assert seen["routing"]["is_confirmed"]
    assert seen["routing"]["rules"] == ["Host(`web.example`)"]
    assert seen["advice"] is None


def test_a_deployment_has_a_blue_and_a_green() -> None:
    """Each replica and each weight says what it is for while a deployment is under way."""
    seen = view(deploying())
    assert {weight["role"]: weight["weight"] for weight in seen["weights"]} == {
        "blue": 90,
        "green": 10,
    }
    roles = {replica["name"]: replica["role"] for replica in seen["replicas"]}
    assert roles[f"web-{V1.revision}-0"] == "blue"
    assert roles[f"web-{V2.revision}-0"] == "green"
    assert roles[f"web-{V3.revision}-0"] == "leaving"
    assert seen["deployment"] is not None
    assert (seen["deployment"]["number"], seen["deployment"]["image"]) == (7, "web:2")
    assert seen["image"] == "web:2"
    assert seen["is_well"]


def test_a_leaving_replica_shows_its_open_connections() -> None:
    """What a drain waits for can be seen."""
    leaving = [r for r in view(deploying())["replicas"] if r["role"] == "leaving"]
    assert [r["open_connections"] for r in leaving] == [4]
    assert not leaving[0]["is_routed"]


def test_every_version_has_the_digest_that_ran() -> None:
    """Remembered of what has been good, seen of what runs now; tags tell nothing."""
    pin = Pin(revision=V3.revision, image_id="sha256:3", digest="acme/web@sha256:d3")
    of = deploying()
    assert of.seen is not None
    seen = [
        replace(r, image_id="sha256:1", image_digest="acme/web@sha256:d1")
        if r.revision == V1.revision
        else replace(r, image_id="sha256:2")
        for r in of.seen.replicas
    ]
    of.seen = replace(of.seen, replicas=tuple(seen))
    of.record = replace(of.record, pins=(pin,))
    found = view(of)
    assert {w["image"]: w["digest"] for w in found["weights"]} == {
        "web:1": "acme/web@sha256:d1",
        "web:2": "sha256:2",
    }
    assert found["good"] is not None
    assert found["good"]["digest"] == "acme/web@sha256:d1"
    assert [was["digest"] for was in found["previous"]] == ["acme/web@sha256:d3"]
    assert found["deployment"] is not None
    assert found["deployment"]["digest"] == "sha256:2"


def test_a_rejection_is_told_with_its_reason_and_last_words() -> None:
    """A rejected app is not well, says why with the log, and keeps to the good revision."""
    seen = view(rejected())
    assert seen["rejection"] == {
        "revision": V2.revision,
        "image": "web:2",
        "digest": "",
        "reason": "it exited",
        "log": ["boom"],
    }
    assert not seen["is_well"]
    assert seen["good"] == {"revision": V1.revision, "image": "web:1", "digest": ""}
    assert seen["image"] == "web:1"
    dead = next(r for r in seen["replicas"] if r["role"] == "rejected")
    assert (dead["state"], dead["exit_code"], dead["log"]) == ("exited", 3, ["boom"])
    assert seen["advice"] is not None
    assert "traefik-bg retry web" in seen["advice"]


def test_a_rejection_of_what_is_no_longer_desired_is_not_told() -> None:
    """Old rejections are history."""
    status = rejected()
    assert status.seen is not None
    status.seen = replace(status.seen, desired=V3)
    seen = view(status)
    assert seen["rejection"] is None
    assert seen["is_well"]


@pytest.mark.parametrize(
    "trouble",
    [{"trouble": "Docker does not answer"}, {"desired_error": "desired.yaml:3: oops"}],
    ids=["blind", "desired state wrong"],
)
def test_trouble_makes_an_app_unwell(trouble: dict[str, str]) -> None:
    """Who sees trouble says so, even if everything serves."""
    seen = view(settled(**trouble))
    assert not seen["is_well"]
    assert trouble.items() <= seen.items()


def test_an_app_whose_replicas_are_all_sick_is_unwell() -> None:
    """Nobody is told that all is well while nobody can be answered."""
    sick = replicas(V1, health=Health.UNHEALTHY, unrouted_for=None)
    seen = view(status(*sick, published=routing((V1, 100)), phase=Phase.STARTING))
    assert not seen["is_well"]
    assert seen["healthy"] == 0


def test_right_after_a_start_what_serves_is_taken_to_be_well() -> None:
    """A service that has only just begun to look raises no alarm."""
    unknown = replicas(V1, health=Health.UNKNOWN, unrouted_for=None)
    assert view(status(*unknown, published=routing((V1, 100))))["is_well"]


def test_what_keeps_failing_makes_an_app_unwell() -> None:
    """A registry that does not answer holds a deployment up, however well the old version is."""
    status = settled()
    assert status.seen is not None
    status.seen = replace(status.seen, failures={"web:2": "the registry does not answer"})
    assert not view(status)["is_well"]


def test_a_router_that_traefik_refuses_makes_an_app_unwell() -> None:
    """Traefik's own words are passed on."""
    status = settled()
    status.routing = replace(status.routing, refusal="unknown entry point", confirmed_for=None)
    seen = view(status)
    assert not seen["is_well"]
    assert seen["routing"]["refusal"] == "unknown entry point"
    assert not seen["routing"]["is_confirmed"]


def test_an_app_that_was_never_looked_at_has_a_view() -> None:
    """Before the first look there is little to tell, and nothing breaks."""
    seen = app_view(AppStatus(app=V1.name), 100.0)
    assert (seen["phase"], seen["image"], seen["since"]) == ("blind", "", None)
    assert (seen["replicas"], seen["weights"], seen["desired"]) == ([], [], None)


def test_an_app_that_is_not_desired_any_more_has_a_view() -> None:
    """What is left of it is leaving."""
    seen = view(status(*replicas(V1), desired=None, phase=Phase.REMOVING))
    assert (seen["desired"], seen["wanted"]) == (None, 0)
    assert {replica["role"] for replica in seen["replicas"]} == {"leaving"}
    assert seen["is_well"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (settled(desired_error="oops"), "mend the desired state"),
        (settled(record=good(V1, paused=True)), "traefik-bg resume web"),
        (settled(desired=replace(V1, hold=True), record=good(V1)), "take hold out"),
        (rejected(), "traefik-bg retry web"),
        (deploying(), "traefik-bg promote web goes on without the pause"),
    ],
    ids=["mistake", "paused", "held", "rejected", "canary"],
)
def test_the_advice_names_what_can_be_done(status: AppStatus, words: str) -> None:
    """Whoever has to do something is told what, as a command where there is one."""
    assert words in str(view(status)["advice"])


def test_previous_good_revisions_are_where_a_rollback_can_go() -> None:
    """The ways back are listed, the newest first."""
    seen = view(settled(record=good(V1, V2, V3)))
    assert [was["image"] for was in seen["previous"]] == ["web:2", "web:3"]


def test_no_value_of_a_containers_settings_is_ever_shown() -> None:
    """Environment variables, commands and TLS settings of any spec stay inside."""
    secret = canonical_json({"environment": {"PASSWORD": "hunter2"}, "command": ["hunter2"]})
    route = Route(rule="Host(`web.example`)", tls=canonical_json({"options": "hunter2"}))
    spec = replace(V1, container=secret, routes=(route,))
    previous = replace(V2, container=secret)
    seen = view(settled(desired=spec, record=good(spec, previous)))
    assert "hunter2" not in json.dumps(seen)
    assert "web:2" in json.dumps(seen)


def test_the_view_is_plain_data() -> None:
    """It can be written as JSON and read back unchanged."""
    for each in (settled(), deploying(), rejected()):
        seen = view(each)
        assert json.loads(json.dumps(seen)) == seen
