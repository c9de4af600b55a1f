"""The desired files we ship, and the schema, tell of everything an app can have."""

from __future__ import annotations

from pathlib import Path

import pytest

from traefik_bg.adapters.desired_declarations import MODELS
from traefik_bg.adapters.desired_mapping import has_no_effect
from traefik_bg.adapters.desired_reading import read_desired
from traefik_bg.adapters.desired_schema import CONTAINER_KEYS, AppSettings, json_schema
from traefik_bg.adapters.docker_settings import SUPPORTED_KEYS

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("name", ["desired.yaml", "desired.reference.yaml"])
def test_the_files_we_ship_are_good(name: str) -> None:
    """Every desired file in config/ can be used as it is."""
    assert read_desired(CONFIG / name, environ={"API_KEY": "x"}).apps


OWN = (
    *(model.__name__ for model in MODELS.values()),
    "Route",
    "Tls",
    "Health",
    "Rollout",
    "Step",
    "Mirror",
    "Preview",
    "Analysis",
    "Check",
    "Adopt",
    "Hooks",
    "Hook",
    "Update",
)


def test_the_reference_shows_every_key() -> None:
    """The commented reference names every key an app can have."""
    text = (CONFIG / "desired.reference.yaml").read_text()
    definitions = json_schema()["$defs"]
    keys = {key for key in AppSettings.model_fields if not has_no_effect(AppSettings, key)}
    for name in OWN:
        model = definitions.get(f"{name}Settings") or definitions[name]
        keys |= set(model["properties"])

    assert {key for key in keys if f"{key}:" not in text} == set()


def test_the_schema_and_docker_agree_on_the_container_settings() -> None:
    """What the file takes, the engine can do, and the other way round."""
    assert CONTAINER_KEYS == SUPPORTED_KEYS


def test_the_json_schema_describes_apps_and_defaults() -> None:
    """Editors learn both places an app's keys can stand, and that others are mistakes."""
    schema = json_schema()

    assert set(schema["properties"]) == {"defaults", "apps", *MODELS}
    assert schema["$defs"]["App"]["additionalProperties"] is False
    assert {*AppSettings.model_fields, "compose", "extends"} == set(
        schema["$defs"]["App"]["properties"]
    )
