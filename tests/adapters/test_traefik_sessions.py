"""Sessions that are kept, with the real Traefik: a client stays with the version it began on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from http.cookies import SimpleCookie
from pathlib import Path

from tests.adapters.routing import BLUE, GREEN, routing
from tests.adapters.stage import Recorder, Stage, staged
from traefik_bg.core.model import ReplicaName, Server, Share

COOKIE = "traefik-bg-web"


class Client:
    """A browser: it keeps the cookies it is given."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.cookies: dict[str, str] = {}

    async def ask(self, path: str = "/") -> str:
        """Return who answers."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"Cookie": cookies} if cookies else {}
        url = self.stage.traefik.web_url + path
        async with self.stage.session.get(url, headers={**headers, "X-App": "web"}) as answer:
            for line in answer.headers.getall("Set-Cookie", []):
                self.cookies |= {name: part.value for name, part in SimpleCookie(line).items()}
            return await answer.text()


async def test_nobody_changes_the_version_in_mid_session(tmp_path: Path) -> None:
    """From half and half to all on green, no client moves; new ones begin on green."""
    async with staged(tmp_path) as stage:
        blue, green = stage.blue.share(BLUE, 50), stage.green.share(GREEN, 50)
        await stage.publish(routing(blue, green, keeps_sessions=True))
        clients = [Client(stage) for _ in range(50)]
        began = [await client.ask() for client in clients]
        assert Counter(began) == {"blue": 25, "green": 25}
        assert all(set(client.cookies) == {COOKIE} for client in clients)
        assert [await client.ask() for client in clients] == began

        alone = routing(replace(green, weight=100), keeps_sessions=True)
        kept = replace(alone, kept=replace(blue, weight=0), fallback=replace(blue, weight=0))
        await stage.publish(kept)
        assert [await client.ask() for client in clients] == began
        assert {await Client(stage).ask() for _ in range(20)} == {"green"}
        stranger = Client(stage)
        stranger.cookies = {COOKIE: "0123456789abcdef", f"my-{COOKIE}": clients[0].cookies[COOKIE]}
        assert await stranger.ask() == "green"

        await stage.publish(alone)
        assert {await client.ask() for client in clients} == {"green"}, "moved at once"
        assert len({client.cookies[COOKIE] for client in clients}) == 1


async def test_a_client_is_moved_when_blue_is_not_kept(tmp_path: Path) -> None:
    """Without anybody kept, a cookie of blue is worth nothing."""
    async with staged(tmp_path) as stage:
        await stage.publish(routing(stage.blue.share(BLUE, 100), keeps_sessions=True))
        client = Client(stage)
        assert await client.ask() == "blue"
        await stage.publish(routing(stage.green.share(GREEN, 100), keeps_sessions=True))
        assert await client.ask() == "green"


async def test_a_fallback_gives_no_cookie_away(tmp_path: Path) -> None:
    """A GET that green fails to is blue's to answer once; the client does not begin there."""
    async with staged(tmp_path) as stage:
        green, warm = stage.green.share(GREEN, 100), stage.blue.share(BLUE)
        await stage.publish(routing(green, keeps_sessions=True, fallback=warm, kept=warm))
        stage.green.status = 503
        client = Client(stage)
        assert await client.ask() == "blue"
        stage.green.status = 200
        assert await client.ask() == "green"
        bound = dict(client.cookies)
        stage.green.status = 503
        assert await client.ask() == "blue"
        stage.green.status = 200
        assert await client.ask() == "green"
        assert client.cookies == bound


async def test_a_kept_client_keeps_its_replica(tmp_path: Path) -> None:
    """With sticky too, blue has several replicas, and each client stays with its own."""
    async with staged(tmp_path) as stage, Recorder("other blue") as other:
        two = tuple(
            Server(replica=ReplicaName(f"web-{BLUE}-{n}"), address="127.0.0.1", port=port)
            for n, port in enumerate((stage.blue.port, other.port))
        )
        blue = Share(revision=BLUE, weight=100, servers=two)
        await stage.publish(routing(blue, sticky=True, keeps_sessions=True))
        clients = [Client(stage) for _ in range(6)]
        began = [await client.ask() for client in clients]
        assert Counter(began) == {"blue": 3, "other blue": 3}
        assert all(len(client.cookies) == 2 for client in clients)
        await stage.publish(
            routing(
                stage.green.share(GREEN, 100),
                sticky=True,
                keeps_sessions=True,
                kept=replace(blue, weight=0),
            )
        )
        for _ in range(3):
            assert [await client.ask() for client in clients] == began
