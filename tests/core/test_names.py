"""What the parts of an app are called in Traefik, and which app names that rules out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_traffic import ALL, BLUE, DRESSED, WEB, names, share
from traefik_bg.core import traffic
from traefik_bg.core.model import AppName, Routing
from traefik_bg.core.names import collisions, owner


@pytest.mark.parametrize("name", ["web-guard", "web-caught", "web-route-2", "web-route-12-guard", "web-0b1ee000", "web-preview-1", "web-kept-2", "web-mirrored", "web-mirrored-1", "web-held", "web-trial-1"])  # fmt: skip
def test_no_app_is_called_like_a_part_of_another(name: str) -> None:
    """Two parts of one name would be one part: one app would get the other's requests."""
    assert "of the app web" in collisions(["web", name])[name]
    assert not collisions(["shop", name])


def test_our_own_name_is_reserved() -> None:
    """The marker is called traefik-bg, and the way back into Traefik begins so."""
    for name in ("traefik-bg", "traefik-bg-loop"):
        assert "reserved" in collisions([name])[name]
    assert not collisions(["traefik-bg-retry", "web", "web-2", "web-two"])


def test_render_refuses_two_parts_of_one_name() -> None:
    """Should two such apps meet all the same, nothing is written."""
    made = {
        WEB: Routing(shares=(share(BLUE, 1),)),
        AppName(f"web-{BLUE}"): Routing(shares=(share(BLUE, 1),)),
    }
    with pytest.raises(ValueError, match=f"two parts .* called web-{BLUE}"):
        traffic.render(made)
    with pytest.raises(ValueError, match="a revision of web has two shares"):
        traffic.render({WEB: Routing(shares=(share(BLUE, 1), share(BLUE, 2)))})


@given(st.sets(names, max_size=4).filter(lambda made: not collisions(made)))
def test_every_router_has_an_owner(made: set[str]) -> None:
    """A router that Traefik complains about leads back to its app, also behind an entry point."""
    for app in made:
        for part in traffic.render({AppName(app): DRESSED}, features=ALL).values():
            for name in set(part["routers"]) - {"traefik-bg"}:
                assert owner(name, made) == app, name
    assert owner("websecure-web-route-2-guard", ["web"]) == "web"
    assert owner("websecure-web-mirrored-1", ["web"]) == "web"
    assert owner("dashboard", ["web"]) is None


def test_every_part_of_an_app_is_named_like_none_of_anothers() -> None:
    """What is written for one app could not be the name of another one beside it."""
    for part in traffic.render({WEB: DRESSED}, features=ALL).values():
        for name in {*part["routers"], *part["services"]} - {"web", "traefik-bg"}:
            assert name in collisions(["web", name]), name
