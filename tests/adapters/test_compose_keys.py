"""The table of Compose's keys, held against the Compose specification's own JSON schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.desired import Folder
from traefik_bg.adapters.compose_keys import DECLARED, FILE, SERVICE, Key, Standing
from traefik_bg.adapters.desired_keys import unknown_key
from traefik_bg.adapters.desired_schema import CONTAINER_KEYS

SCHEMA = json.loads(
    (Path(__file__).parents[1] / "compose/compose-spec.json").read_text(encoding="utf-8")
)
HONOURED_ELSEWHERE = {"env_file", "extends", "image", "label_file", "pull_policy"}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a reference leads to."""
    while "$ref" in node:
        node = SCHEMA["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def keys_of(node: Mapping[str, Any], table: Mapping[str, Key], above: str = "") -> Iterator[str]:
    """Return the path of every key below, but for what is below a key that is not honoured."""
    node = resolved(node)
    for form in node.get("oneOf", ()):
        yield from keys_of(form, table, above)
    for name, below in node.get("properties", {}).items():
        path = f"{above}.{name}".lstrip(".")
        yield path
        if path not in table or table[path].standing is Standing.HONOURED:
            yield from keys_of(below, table, path)
    if node.get("type") == "array" or "items" in node:
        yield from keys_of(node["items"], table, above)
    for pattern, below in node.get("patternProperties", {}).items():
        if pattern != "^x-":
            yield from keys_of(below, table, f"{above}.*")


@pytest.mark.parametrize(
    ("definition", "table"),
    [
        ("service", SERVICE),
        ("volume", DECLARED["volumes"]),
        ("network", DECLARED["networks"]),
        ("secret", DECLARED["secrets"]),
        ("config", DECLARED["configs"]),
    ],
)
def test_the_table_has_every_key_of_compose_and_no_other(
    definition: str, table: Mapping[str, Key]
) -> None:
    """Whoever pastes a block finds every key of it in the docs."""
    assert set(keys_of(SCHEMA["$defs"][definition], table)) == set(table)


def test_the_table_has_every_key_of_a_compose_file() -> None:
    """The same of what stands beside the services."""
    assert set(SCHEMA["properties"]) == set(FILE)


def test_what_is_honoured_is_what_is_taken() -> None:
    """The table promises what the schema of the desired file takes, no more and no less."""
    of_app = {key: row for key, row in SERVICE.items() if "." not in key}
    honoured = {key for key, row in of_app.items() if row.standing is Standing.HONOURED}

    assert honoured == CONTAINER_KEYS | HONOURED_ELSEWHERE


@pytest.mark.parametrize("key", [key for key in SERVICE if SERVICE[key].note])
def test_what_is_not_taken_says_why(key: str) -> None:
    """A refusal is the table's sentence, and what is not refused has none."""
    parent, _, name = f"apps.*.{key}".rpartition(".")
    row = SERVICE[key]

    said = unknown_key(parent, name, ())

    assert (said == row.note) is (row.standing is Standing.REFUSED)


@pytest.mark.parametrize("table", [SERVICE, FILE, *DECLARED.values()])
def test_what_is_not_honoured_has_a_reason(table: Mapping[str, Key]) -> None:
    """Nobody is left with a bare no."""
    for key, row in table.items():
        assert row.note or row.standing is Standing.HONOURED, key
