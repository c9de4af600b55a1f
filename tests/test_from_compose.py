"""The page about coming from Compose: its examples are what it says of them."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.adapters.importing import Shop
from traefik_bg.adapters.desired_compose import KNOWN
from traefik_bg.adapters.desired_reading import read_desired
from traefik_bg.core.model import AppName

PAGE = Path(__file__).parents[1] / "docs/from-compose.md"


def block(language: str, begins: str) -> str:
    """Return the one block of the page that begins so."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n({begins}.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(found) == 1
    return str(found[0])


def test_the_example_is_what_is_made_of_it(tmp_path: Path) -> None:
    """Who reads the page knows what to expect."""
    desired = block("yaml", "volumes:")

    made = Shop(tmp_path / "shop").imported(block("yml", "# compose.yaml"))

    lines = [line for line in made.text.splitlines() if line and not line.lstrip().startswith("#")]
    assert lines == desired.splitlines()
    assert yaml.safe_load(made.text) == yaml.safe_load(desired)


def test_the_service_can_stay_where_it_is(tmp_path: Path) -> None:
    """The second example makes an app of the first one's service."""
    Shop(tmp_path / "shop").write(block("yml", "# compose.yaml"))
    desired = Shop(tmp_path / "config").write(block("yml", "# desired.yaml"), "desired.yaml")

    web = read_desired(desired, environ={}).apps[AppName("web")]

    assert (web.image, web.replicas, web.rollout.bake) == ("acme/web:1.4.2", 2, 60)
    assert [route.rule for route in web.routes] == ["Host(`web.example.com`)"]


def test_every_key_of_compose_is_explained() -> None:
    """The table has those that can be written, and no others."""
    table = PAGE.read_text(encoding="utf-8").partition("| key | type |")[2].partition("\n\n")[0]

    assert sorted(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == sorted(KNOWN)
