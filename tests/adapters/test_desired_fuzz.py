"""No input whatever may make the reading of a desired file fail in any but the one way."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.adapters.desired import LEAST
from traefik_bg.adapters.desired_analysis import AnalysisSettings, CheckSettings
from traefik_bg.adapters.desired_environment import read_env_file
from traefik_bg.adapters.desired_files import Files
from traefik_bg.adapters.desired_reading import Desired, read_desired
from traefik_bg.adapters.desired_rollout import (
    MirrorSettings,
    PreviewSettings,
    RolloutSettings,
    StepSettings,
)
from traefik_bg.adapters.desired_route import RouteSettings
from traefik_bg.adapters.desired_schema import AppSettings
from traefik_bg.adapters.interpolation import InterpolationError, substitute
from traefik_bg.core.errors import DesiredStateErrors
from traefik_bg.core.model import AppName

FILE = Path("desired.yaml")
KEYS = (*AppSettings.model_fields, "host", "rule", "path", "steps", "weight", "type", "x-a", "<<")

texts = st.text(max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from(["${A}", "${A:-b}", "$$", "$", "1s", "a:/b:ro", "/x", "A=b", "*.a", "web:1"])
)
names = st.sampled_from(KEYS) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)
scraps = ["apps:", "\n", "  ", "web:", " ", "{", "}", "[", "]", "&a ", "*a", "<<: ", "- ", "'", '"']
scraps += ["image: a:1", "${A", "!!int ", "|", ">-", "\t", "#", "? ", "---", "%YAML 1.1", "route: "]
snippets = st.lists(st.sampled_from(scraps), max_size=25).map("".join)


def read(content: bytes) -> Desired | list[str]:
    """Return what a file of these bytes says, or its mistakes."""
    files = Files()
    files.contents = {FILE: content}
    try:
        return read_desired(FILE, files, environ={"A": "a", "HALF": "\udcff"})
    except DesiredStateErrors as errors:
        return [str(error) for error in errors.errors]


def expect_an_answer(content: bytes) -> None:
    found = read(content)
    if isinstance(found, Desired):
        for spec in found.apps.values():
            json.loads(spec.container)
            assert spec.digest
        return
    assert found
    assert all(mistake.startswith("desired.yaml") for mistake in found)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_state_or_mistakes(content: bytes) -> None:
    """Bytes that are no text, or text that is no YAML, are answered with a mistake."""
    expect_an_answer(content)


@settings(deadline=None)
@given(snippets)
def test_any_scraps_of_yaml_are_a_state_or_mistakes(text: str) -> None:
    """Half-written files are answered with a mistake, or mean what they say."""
    expect_an_answer(text.encode())


@settings(deadline=None)
@given(values)
def test_any_structure_is_a_state_or_mistakes(value: Any) -> None:
    """Any YAML at all is answered with a state or mistakes."""
    expect_an_answer(yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "replace"))


@settings(deadline=None)
@example({}, {"[key]": []})
@given(st.dictionaries(names, values, max_size=6), st.dictionaries(names, values, max_size=3))
def test_any_app_is_a_spec_or_mistakes(app: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Any keys with any values are answered, and a spec that is made can be written as JSON."""
    whole = {"apps": {"web": {**yaml.safe_load(LEAST), **app}}, "defaults": defaults}

    expect_an_answer(yaml.safe_dump(whole, allow_unicode=True).encode("utf-8", "replace"))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(AppSettings.model_fields)), values)
def test_any_value_of_a_known_key_is_taken_or_a_mistake(key: str, value: Any) -> None:
    """No key can be given a value that it does not know how to refuse."""
    whole = {"apps": {"web": {**yaml.safe_load(LEAST), key: value}}}

    expect_an_answer(yaml.safe_dump(whole, allow_unicode=True).encode("utf-8", "replace"))


@settings(deadline=None)
@given(st.dictionaries(texts, texts, max_size=3), st.permutations(["image", "port", "route"]))
def test_the_order_of_keys_means_nothing(variables: dict[str, str], order: list[str]) -> None:
    """Shuffled keys give an equal spec."""
    least = yaml.safe_load(LEAST)
    app = {"environment": variables, **least}
    shuffled = {key: least[key] for key in order} | {
        "environment": dict(reversed(list(variables.items())))
    }

    def said(keys: dict[str, Any]) -> Desired | list[str]:
        text = yaml.safe_dump({"apps": {"web": keys}}, sort_keys=False, allow_unicode=True)
        return read(text.encode("utf-8", "replace"))

    one, other = said(app), said(shuffled)
    if isinstance(one, Desired) and isinstance(other, Desired):
        assert one.apps == other.apps
    else:
        assert type(one) is type(other)


@settings(deadline=None)
@given(st.text(alphabet="A=B'\"#\\$\n {}:-+?é\t", max_size=60) | texts)
def test_any_env_file_is_values_or_mistakes(text: str) -> None:
    """No env file makes its reading fail, and every value is text."""
    found = read_env_file(text, "web.env", {"A": "a"})

    assert all(isinstance(value, str) for value in found.values.values())


@settings(deadline=None)
@given(st.text(alphabet="A$${}:-+?", max_size=40))
def test_any_text_is_interpolated_or_refused(text: str) -> None:
    """No text makes interpolation fail in another way."""
    try:
        made = substitute(text, {"A": "a"})
    except InterpolationError:
        return

    assert isinstance(made.text, str)


@settings(deadline=None)
@given(st.integers(min_value=0))
def test_a_file_cut_short_never_says_less_without_saying_so(length: int) -> None:
    """Of a good file that is cut short, what is left of the last app is a mistake or complete."""
    whole = b"apps:\n  a: {image: 'a:1', port: 80, route: []}\n  b:\n    image: b:1\n    port: 81\n    route: []\n"

    found = read(whole[: length % len(whole)])

    if isinstance(found, Desired):
        assert found.apps[AppName("a")].port == 80


likely = ["1s", "0", "1%", "1.5x", "10", "99", "a", "X: a", "a=b", "http://a:1", "http://[", "`"]
likely += ["Host(`a`)", "HostSNI(`*`)", "HostSNI(`a`)", "approval", "recreate", "canary", "keep"]
words = st.sampled_from(likely)


def shaped(model: type[BaseModel], **shapes: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return mappings that look like a section of the file, with values that may be wrong."""
    shape = {key: shapes.get(key, words | scalars) for key in model.model_fields}
    return st.fixed_dictionaries({}, optional=shape) | values


analyses = shaped(AnalysisSettings, checks=st.lists(shaped(CheckSettings), max_size=3))
rollouts = shaped(
    RolloutSettings,
    steps=st.lists(shaped(StepSettings), max_size=3),
    analysis=analyses,
    preview=shaped(PreviewSettings),
    mirror=shaped(MirrorSettings) | words,
)
routes = shaped(RouteSettings, tls=st.just({"passthrough": True}) | st.booleans())


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(rollouts, st.lists(routes, max_size=2) | routes), min_size=1, max_size=3),
    rollouts,
)
def test_any_rollout_and_route_are_a_spec_or_mistakes(
    apps: list[tuple[Any, Any]], defaults: Any
) -> None:
    """What looks nearly right is answered too, in apps, across them and in the defaults."""
    least = yaml.safe_load(LEAST)
    whole = {
        "defaults": {"rollout": defaults},
        "apps": {
            f"app{number}": {**least, "rollout": rollout, "route": route}
            for number, (rollout, route) in enumerate(apps)
        },
    }

    expect_an_answer(yaml.safe_dump(whole, allow_unicode=True).encode("utf-8", "replace"))


contents = st.dictionaries(
    st.sampled_from(["a.yaml", "b.yml", ".env", "c.txt"]), st.binary(max_size=60)
)


@settings(deadline=None)
@given(contents)
def test_any_folder_is_a_state_or_mistakes(content: dict[str, bytes]) -> None:
    """Whatever lies in a folder, it is answered."""
    with tempfile.TemporaryDirectory() as name:
        for file, said in content.items():
            Path(name, file).write_bytes(said)
        with contextlib.suppress(DesiredStateErrors):
            assert read_desired(Path(name), environ={}).apps == {}
