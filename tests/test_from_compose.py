"""The page about coming from Compose: its example is what the import makes of it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.adapters.importing import Shop

PAGE = Path(__file__).parents[1] / "docs/from-compose.md"


def test_the_example_is_what_is_made_of_it(tmp_path: Path) -> None:
    """Who reads the page knows what to expect."""
    text = PAGE.read_text(encoding="utf-8")
    (compose,) = re.findall(r"^```yml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (desired,) = re.findall(r"^```yaml\n(volumes:.*?)^```$", text, re.DOTALL | re.MULTILINE)
    folder = tmp_path / "shop"
    folder.mkdir()

    made = Shop(folder).imported(compose)

    lines = [line for line in made.text.splitlines() if line and not line.lstrip().startswith("#")]
    assert lines == desired.splitlines()
    assert yaml.safe_load(made.text) == yaml.safe_load(desired)
