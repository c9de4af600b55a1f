"""What exactly a revision runs: remembered when it is good, used when it comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.core.build import WEB, app, good, replicas, routing
from tests.core.test_planner import BLUE, GREEN, B, G, decided, under_way
from traefik_bg.core.actions import CreateReplica, PullImage
from traefik_bg.core.commands import Verb, obey
from traefik_bg.core.observation import Observation
from traefik_bg.core.pins import contents, image_for, pinned, ways_to_have
from traefik_bg.core.record import Pin
from traefik_bg.core.situation import Situation

ROUTED: dict[str, Any] = {"unrouted_for": None, "idle_for": None}
PIN = Pin(revision=B, image_id="sha256:1", digest="acme/web@sha256:d1")
KNOWN = good(BLUE, pins=(PIN,))


def looked(record: Any = KNOWN, **changes: Any) -> str:
    """Return what blue's replicas are created from."""
    seen = Observation(app=WEB, desired=BLUE, **changes)
    return image_for(BLUE, seen, record)


def test_the_content_is_remembered_when_a_revision_becomes_good() -> None:
    """With where it can be had again."""
    found = replicas(GREEN, image_id="sha256:2", image_digest="acme/web@sha256:d2", **ROUTED)
    made = decided(found, record=under_way(), published=routing((GREEN, 100)))
    assert made.record.good == GREEN
    assert made.record.pins == (
        Pin(revision=G, image_id="sha256:2", digest="acme/web@sha256:d2"),
    )  # fmt: skip


def test_a_first_sight_is_kept() -> None:
    """A replica that somebody replaced by hand does not change what the revision ran."""
    seen = Observation(app=WEB, desired=BLUE, replicas=replicas(BLUE, image_id="sha256:9"))
    assert pinned(seen, KNOWN) is KNOWN


def test_what_nobody_can_go_back_to_is_forgotten() -> None:
    """Pins of revisions that are not remembered."""
    seen = Observation(app=WEB, desired=GREEN)
    assert pinned(seen, good(GREEN, pins=(PIN,))).pins == ()


def test_a_replica_that_is_added_later_runs_the_same_content() -> None:
    """Although the tag may point elsewhere by now."""
    made = decided(
        replicas(BLUE, 1, **ROUTED), wanted=BLUE, record=KNOWN,
        published=routing((BLUE, 100), count=1), images={"sha256:1": True},
    )  # fmt: skip
    created = made.actions[0]
    assert isinstance(created, CreateReplica)
    assert created.image == "sha256:1"


def test_without_a_pin_the_image_is_the_specs() -> None:
    """Nothing of it has been seen."""
    assert ways_to_have(BLUE, good(BLUE)) == ("web:1",)
    assert looked(good(BLUE)) == "web:1"


def test_content_that_is_not_here_any_more_is_pulled_by_its_digest() -> None:
    """Exactly that, not what the tag has become."""
    gone = {"sha256:1": False, "acme/web@sha256:d1": False, "web:1": True}
    assert looked(images=gone) == "acme/web@sha256:d1"
    made = decided(wanted=BLUE, record=KNOWN, images=gone)
    assert made.actions == (PullImage(image="acme/web@sha256:d1"),)


def test_content_of_which_nothing_is_known_is_taken_to_be_here() -> None:
    """A look before the rollback was not for it: the tag would be a guess."""
    assert looked(images={}) == "sha256:1"


def test_content_that_cannot_be_had_any_more_is_replaced_by_what_the_tag_says() -> None:
    """Better than nothing at all."""
    gone = {"sha256:1": False, "acme/web@sha256:d1": False, "web:1": False}
    assert looked(images=gone, refusals={"acme/web@sha256:d1": "not found"}) == "web:1"
    local = good(BLUE, pins=(replace(PIN, digest=""),))
    assert looked(local, images=gone) == "web:1"


def test_people_are_told_when_a_revision_comes_back_as_something_else() -> None:
    """Its tag has been moved, and nobody has its content any more."""
    made = decided(wanted=BLUE, record=KNOWN, images={"sha256:1": False, "web:1": True},
                   refusals={"acme/web@sha256:d1": "no such image"})  # fmt: skip
    assert made.reason == (
        f"starting web-{B}-0, web-{B}-1 "
        "(web:1; the very image it ran cannot be had any more)"
    )  # fmt: skip
    made = decided(wanted=BLUE, record=KNOWN, images={"sha256:1": True})
    assert made.reason == f"starting web-{B}-0, web-{B}-1 (web:1)"


def test_a_rollback_says_what_exactly_it_goes_back_to() -> None:
    """Tags move."""
    record = good(GREEN, BLUE, pins=(PIN,))
    seen = Observation(app=WEB, desired=GREEN, published=routing((GREEN, 100)))
    obeyed = obey(Verb.ROLLBACK, Situation(seen=seen, record=record))
    assert obeyed.sentence == (
        f"going back to {B} (web:1, the very image it ran: acme/web@sha256:d1); "
        "the desired state stays aside until it is edited"
    )
    plain = obey(Verb.ROLLBACK, Situation(seen=seen, record=good(GREEN, BLUE)))
    assert f"going back to {B} (web:1);" in plain.sentence
    assert app("web:1").revision == B


def test_nothing_is_created_before_somebody_has_looked_for_the_exact_content() -> None:
    """A rollback is obeyed in the look it was given in, which had no reason to look for it (S5).

    The tag is here, but it may mean something else by now.
    """
    made = decided(
        replicas(GREEN, **ROUTED), wanted=BLUE, record=KNOWN, published=routing((GREEN, 100)),
        images={"web:2": True},
    )  # fmt: skip
    assert made.actions == ()
    assert made.reason == f"looking for the image that {B} ran"
    assert made.recheck_after is not None
    assert made.recheck_after < 0.1


def test_what_green_runs_is_remembered_as_soon_as_it_is_seen() -> None:
    """Its tag may move before it is good: what is made later must be the same."""
    before = under_way()
    made = decided(replicas(GREEN, 1, image_id="sha256:2", image_digest="acme/web@sha256:d2"),
                   record=before, images={"web:2": True})  # fmt: skip
    pin = Pin(revision=G, image_id="sha256:2", digest="acme/web@sha256:d2")
    assert made.record == replace(before, pins=(pin,))
    again = decided(replicas(GREEN, 1, image_id="sha256:9"), record=made.record,
                    images={"sha256:2": True})  # fmt: skip
    assert again.record == made.record
    created = next(action for action in again.actions if isinstance(action, CreateReplica))
    assert created.image == "sha256:2"


def test_what_a_revision_ran_is_named_by_where_it_can_be_had() -> None:
    """Or by its ID, where it was never in a registry; what is remembered goes first."""
    seen = Observation(
        app=WEB, desired=BLUE,
        replicas=(*replicas(BLUE, image_id="sha256:8"), *replicas(GREEN, image_id="sha256:2")),
    )  # fmt: skip
    assert contents(seen, KNOWN) == {B: "acme/web@sha256:d1", G: "sha256:2"}
