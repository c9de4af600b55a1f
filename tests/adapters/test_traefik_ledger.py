"""What may be running, and for how long: the ledger under an invented clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.routing import API, BLUE, GREEN, WEB, replica, routing, share, to
from traefik_bg.adapters.traefik_ledger import EDITIONS_KEPT, UNROUTED_KEPT, Changed, Ledger
from traefik_bg.adapters.traefik_publication import Edition
from traefik_bg.core.model import AppName, RevisionId, Routing


class Scene:
    """A ledger, a clock that stands still until told, and what was published last."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ledger = Ledger(lambda: self.now)
        self.published: list[Edition] = []

    def publish(self, **parts: Routing | None) -> int:
        """Publish the parts of some apps; return the number of the edition."""
        merged = dict(self.published[-1].parts) if self.published else {}
        merged |= {AppName(name): part for name, part in parts.items() if part is not None}
        for name in (name for name, part in parts.items() if part is None):
            merged.pop(AppName(name), None)
        number = len(self.published) + 1
        edition = Edition(number=number, marker=f"m-{number}", parts=merged, body=b"")
        self.ledger.add(edition)
        self.published.append(edition)
        return number

    def confirmed(self, app: AppName = WEB) -> float | None:
        """Return for how long the app's part is confirmed."""
        return self.ledger.state(app, self.published[-1]).confirmed_for

    def weighted(self, app: AppName = WEB) -> float | None:
        """Return for how long the app's weights are confirmed."""
        return self.ledger.state(app, self.published[-1]).weights_for

    def unrouted(self, revision: RevisionId, app: AppName = WEB) -> float | None:
        """Return for how long the replica of a revision is known to get nothing."""
        state = self.ledger.state(app, self.published[-1] if self.published else None)
        return state.unrouted_for(replica(revision, app))


def test_it_counts_from_when_the_last_traefik_has_it() -> None:
    """An edition is in force when every Traefik shows it or a later one."""
    scene = Scene()
    scene.publish(web=to(BLUE))
    assert scene.confirmed() is None
    scene.ledger.observe({"a": 1, "b": None})
    assert scene.confirmed() is None
    scene.now = 5
    assert scene.ledger.observe({"a": 1, "b": 1}) == Changed(is_everyone=True)
    scene.now = 8
    assert scene.confirmed() == scene.weighted() == 3


def test_others_interrupt_nothing() -> None:
    """Another app's publish leaves the timers alone, from before it is written until after."""
    scene = Scene()
    scene.publish(web=to(BLUE))
    scene.ledger.observe({"a": 1})
    scene.now = 1
    scene.publish(api=to(BLUE, API))
    assert (scene.confirmed(), scene.confirmed(API)) == (1, None)
    scene.now = 2
    assert scene.ledger.observe({"a": 2}) == Changed(frozenset({API}))
    scene.now = 3
    assert (scene.confirmed(), scene.confirmed(API)) == (3, 1)


def test_replicas_may_change_while_weights_stay() -> None:
    """The pause of a canary runs on when a replica is replaced."""
    scene = Scene()
    scene.publish(web=routing(share(BLUE, 90), share(GREEN, 10)))
    scene.ledger.observe({"a": 1})
    scene.now = 1
    scene.publish(web=routing(share(BLUE, 90), share(GREEN, 10, port=9)))
    assert (scene.confirmed(), scene.weighted()) == (None, 1)
    scene.ledger.observe({"a": 2})
    scene.now = 2
    assert (scene.confirmed(), scene.weighted()) == (1, 2)


def test_a_replica_is_routable_until_all_have_forgotten_it() -> None:
    """A Traefik that lags may still send it requests."""
    scene = Scene()
    scene.publish(web=to(BLUE))
    scene.ledger.observe({"a": 1, "b": 1})
    scene.publish(web=to(GREEN))
    scene.now = 1
    scene.ledger.observe({"a": 2, "b": 1})
    assert scene.ledger.state(WEB, None).routable == {replica(BLUE), replica(GREEN)}
    assert scene.unrouted(BLUE) is None
    scene.ledger.observe({"a": 2, "b": 2})
    scene.now = 4
    assert scene.unrouted(BLUE) == 3
    assert scene.unrouted(GREEN) is None


def test_back_and_forth_before_anybody_looked() -> None:
    """Blue, green, blue again: until the last is seen, green may be running in between."""
    scene = Scene()
    scene.publish(web=to(BLUE))
    scene.ledger.observe({"a": 1})
    scene.publish(web=to(GREEN))
    scene.publish(web=to(BLUE))
    assert scene.confirmed() is None
    assert scene.unrouted(GREEN) is None
    scene.ledger.observe({"a": 2})
    assert scene.unrouted(GREEN) is None
    scene.ledger.observe({"a": 3})
    assert scene.confirmed() == 0
    assert scene.unrouted(GREEN) == 0


def test_what_was_never_seen_routed_counts_from_the_beginning_of_the_watch() -> None:
    """A replica of an earlier life is unrouted for as long as we know what all Traefiks run."""
    scene = Scene()
    scene.publish(web=to(BLUE))
    assert scene.unrouted(GREEN) is None
    scene.now = 1
    scene.ledger.observe({"a": 1})
    scene.now = 3
    assert scene.unrouted(GREEN) == 2
    assert scene.confirmed(API) == 2, "an app that is not routed at all, too"


@pytest.mark.parametrize("gap", [{"a": None}, {"a": 1, "b": None}, {}])
def test_a_gap_starts_every_timer_anew(gap: dict[str, int | None]) -> None:
    """What one Traefik did while it was not seen, nobody knows (S5)."""
    scene = Scene()
    scene.publish(web=to(GREEN))
    scene.publish(web=to(BLUE))
    scene.ledger.observe({"a": 2})
    scene.now = 10
    assert scene.ledger.observe(gap).is_everyone
    assert scene.confirmed() is scene.weighted() is scene.unrouted(GREEN) is None
    scene.now = 20
    assert scene.ledger.observe({"a": 2}).is_everyone
    scene.now = 21
    assert scene.confirmed() == scene.weighted() == scene.unrouted(GREEN) == 1


def test_a_traefik_that_falls_back_is_noticed() -> None:
    """One that shows an earlier edition again, which may still be running, unsettles its apps."""
    scene = Scene()
    scene.publish(web=to(BLUE))
    scene.publish(web=to(GREEN))
    scene.ledger.observe({"a": 1, "b": 1})
    scene.ledger.observe({"a": 2, "b": 1})
    scene.ledger.observe({"b": 2, "a": 1})
    assert scene.confirmed() is None
    assert scene.ledger.observe({"a": 2, "b": 2}) == Changed(frozenset({WEB}))
    assert scene.confirmed() == 0


def test_an_edition_that_was_not_written_is_forgotten() -> None:
    """A failed write costs the timers, and nothing else."""
    scene = Scene()
    scene.publish(web=to(BLUE))
    scene.ledger.observe({"a": 1})
    scene.publish(web=to(GREEN))
    scene.now = 5
    scene.ledger.withdraw(scene.published.pop())
    assert scene.ledger.state(WEB, None).routable == {replica(BLUE)}
    assert scene.confirmed() == 0


def test_an_amended_edition_keeps_its_timers() -> None:
    """What Traefik is told in the same words is confirmed already."""
    scene = Scene()
    scene.publish(web=to(BLUE))
    scene.ledger.observe({"a": 1})
    scene.now = 2
    amended = scene.ledger.amend({WEB: routing(share(BLUE), fallback=share(GREEN, 0))})
    assert scene.ledger.newest == amended
    assert scene.confirmed() == 2
    assert scene.ledger.state(WEB, amended).published == amended.parts[WEB]


def test_an_app_that_is_gone_is_forgotten_after_a_while() -> None:
    """Long after its replicas lost their last request, an app leaves no trace."""
    scene = Scene()
    scene.publish(web=to(BLUE))
    scene.ledger.observe({"a": 1})
    scene.publish(web=None)
    scene.now = 1
    scene.ledger.observe({"a": 2})
    assert scene.unrouted(BLUE) == 0
    scene.now += UNROUTED_KEPT
    scene.ledger.observe({"a": None})
    scene.ledger.observe({"a": 2})
    assert WEB not in scene.ledger._timers
    assert scene.unrouted(BLUE) == 0


def test_only_so_many_unconfirmed_editions_are_kept() -> None:
    """A Traefik that is away for days does not fill the memory; what it shows then is unknown."""
    scene = Scene()
    for number in range(EDITIONS_KEPT + 10):
        scene.publish(web=routing(share(BLUE, number + 1)))
    assert scene.ledger.number("m-1") == 1
    assert scene.ledger.number("m-2") is None
    assert scene.ledger.number(f"m-{EDITIONS_KEPT + 10}") == EDITIONS_KEPT + 10


revisions = st.sampled_from([BLUE, GREEN, RevisionId("c0ffee00")])
steps = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(["web", "api"]), st.none() | revisions),
    st.tuples(st.just("observe"), st.sampled_from(["a", "b"]), st.integers(0, 3) | st.none()),
)


@given(st.lists(steps, max_size=30))
def test_no_replica_counts_as_unrouted_while_a_traefik_may_route_to_it(
    story: list[tuple[str, str, RevisionId | int | None]],
) -> None:
    """Law S2 rests on this: whatever is published and seen, in whatever order."""
    scene, seen = Scene(), dict[str, int | None](a=None, b=None)
    for verb, name, value in story:
        scene.now += 1
        if verb == "publish":
            app = AppName(name)
            part = to(RevisionId(str(value)), app) if value is not None else None
            scene.publish(**{name: part})
        else:
            # A Traefik shows one of the last editions, never one before what it showed already;
            # after a restart it may, and then nobody knows which one that was.
            newest = len(scene.published)
            shown = max(newest - int(value), seen[name] or 1) if value is not None else 0
            seen[name] = scene.ledger.number(f"m-{shown}")
            scene.ledger.observe(dict(seen))
        if None in seen.values():
            assert scene.ledger.state(WEB, None).watched_for is None
            continue
        oldest = min(number for number in seen.values() if number is not None)
        for app in (WEB, API):
            running = [e.parts.get(app) for e in scene.published[oldest - 1 :]]
            is_same = all(part == running[-1] for part in running)
            assert (scene.confirmed(app) is not None) == is_same
            for revision in (BLUE, GREEN, RevisionId("c0ffee00")):
                may_run = any(part and part.has(replica(revision, app)) for part in running)
                assert (scene.unrouted(revision, app) is None) == may_run
