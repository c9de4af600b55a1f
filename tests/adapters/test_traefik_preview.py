"""Previews, with the real Traefik: who asks for green gets it, and nobody else does."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.adapters.routing import API, BLUE, GREEN, routing
from tests.adapters.stage import Stage, staged
from traefik_bg.core.errors import RouterUnavailable
from traefik_bg.core.model import PreviewShare, Route, Routing
from traefik_bg.core.rollout import Preview

BY_ANY = Preview(header=("X-Preview", "green"), cookie=("preview", "a.b"), host="new.example")
ANYTHING = Route(rule="PathPrefix(`/`)", entrypoints=("web",))
HOSTED = Route(rule="Host(`web.example`) && PathPrefix(`/app`)", entrypoints=("web",))


def previewed(stage: Stage, by: Preview = BY_ANY, *routes: Route) -> Routing:
    """Return a routing to blue, with a preview of green."""
    return routing(
        stage.blue.share(BLUE, 100),
        routes=routes or (ANYTHING,),
        preview=PreviewShare(share=stage.green.share(GREEN), by=by),
    )


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({}, "blue"),
        ({"X-Preview": "green"}, "green"),
        ({"X-Preview": "greenish"}, "blue"),
        ({"Cookie": "preview=a.b"}, "green"),
        ({"Cookie": "other=1; preview=a.b; third=2"}, "green"),
        ({"Cookie": "preview=axb"}, "blue"),
        ({"Cookie": "preview=a.bc"}, "blue"),
        ({"Cookie": "my-preview=a.b"}, "blue"),
        ({"Host": "new.example"}, "green"),
        ({"Host": "NEW.example:80"}, "green"),
        ({"Host": "new.example.com"}, "blue"),
    ],
)
async def test_who_asks_for_green_gets_it(
    tmp_path: Path, headers: dict[str, str], answer: str
) -> None:
    """Any of the three will do, and nothing that only looks like them."""
    async with staged(tmp_path) as stage:
        await stage.publish(previewed(stage))
        assert await stage.ask(headers=headers) == (200, answer)
        assert await stage.ask(method="POST", data=b"x", headers=headers) == (200, answer)
        assert await stage.say("hello", **headers) == f"{answer}: hello"


async def test_a_preview_host_stands_for_the_hosts_of_the_route(tmp_path: Path) -> None:
    """Everything else in the rule holds there too, and the header still works where it did."""
    async with staged(tmp_path) as stage:
        await stage.publish(previewed(stage, BY_ANY, HOSTED))
        assert await stage.ask("/app", headers={"Host": "new.example"}) == (200, "green")
        assert (await stage.ask("/", headers={"Host": "new.example"}))[0] == 404
        assert await stage.ask("/app", headers={"Host": "web.example"}) == (200, "blue")
        both = {"Host": "new.example", "X-Preview": "green"}
        assert await stage.ask("/app", headers=both) == (200, "green")


async def test_a_preview_host_is_greens_though_the_route_is_for_all_hosts(tmp_path: Path) -> None:
    """Also where every router has one priority, and blue is kept and the fallback besides."""
    async with staged(tmp_path) as stage:
        made = previewed(stage, BY_ANY, replace(ANYTHING, priority=50))
        warm = stage.blue.share(BLUE)
        await stage.publish(replace(made, kept=warm, fallback=warm))
        began = {
            "Cookie": f"traefik-bg-web={hashlib.sha256(f'web-{BLUE}'.encode()).hexdigest()[:16]}",
            "Host": "new.example",
        }
        assert await stage.ask(headers=began) == (200, "green")
        assert await stage.ask(headers={**began, "Host": "web.example"}) == (200, "blue")
        both = {"Host": "new.example", "X-Preview": "green"}
        assert await stage.ask(headers=both) == (200, "green")
        found = await stage.traefik.ask("/api/http/routers")
        rules = [router for router in found if router["name"].endswith("@file")]
        assert {router["priority"] for router in rules if "web" in router["name"]} == {50}


async def test_a_preview_outranks_nobody(tmp_path: Path) -> None:
    """Another app with a rule just longer than ours keeps its requests."""
    async with staged(tmp_path) as stage:
        longer = replace(ANYTHING, rule="PathPrefix(`/api`)")
        await stage.publish(routing(stage.blue.share(BLUE, 100, API), routes=(longer,)), API)
        await stage.publish(previewed(stage))
        asking = {"X-Preview": "green", "Cookie": "preview=a.b"}
        assert await stage.ask("/app", headers=asking) == (200, "green")
        assert await stage.ask("/api", headers=asking) == (200, "blue")


ODD = 'a`b"c\\d{{e}} $1 (^|;) é'


async def test_odd_texts_mean_what_they_say(tmp_path: Path) -> None:
    """Backticks, quotes, backslashes and braces are neither the rule's nor the template's."""
    by = Preview(header=("X-Odd!", ODD), cookie=("odd`.*", "(a|b){{.*}}?`'"))
    async with staged(tmp_path) as stage:
        await stage.publish(previewed(stage, by))
        assert await stage.ask(headers={"X-Odd!": ODD}) == (200, "green")
        assert await stage.ask(headers={"X-Odd!": ODD[:-1]}) == (200, "blue")
        assert await stage.ask(headers={"Cookie": "odd`.*=(a|b){{.*}}?`'"}) == (200, "green")
        assert await stage.ask(headers={"Cookie": "odd`xx=a"}) == (200, "blue")


async def test_what_cannot_be_said_is_not_published(tmp_path: Path) -> None:
    """A preview that no request could ask for is refused, and what was there stays."""
    async with staged(tmp_path) as stage:
        await stage.publish(previewed(stage))
        bad = previewed(stage, Preview(cookie=("preview", "a;b")))
        with pytest.raises(RouterUnavailable, match=re.escape("no cookie has the value 'a;b'")):
            await stage.router.publish(API, bad)
        assert await stage.ask(headers={"X-Preview": "green"}) == (200, "green")
