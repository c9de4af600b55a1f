"""Compose files of all kinds: no traceback, nothing dropped in silence, and no output we refuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.adapters.importing import LEAST
from tests.adapters.test_compose_fuzz import EXAMPLES
from traefik_bg.adapters import compose_import
from traefik_bg.adapters.compose_import import Imported, Wish, import_compose
from traefik_bg.adapters.compose_keys import SERVICE
from traefik_bg.adapters.desired_files import Files
from traefik_bg.adapters.desired_reading import read_desired
from traefik_bg.core.errors import DesiredStateErrors

FILE = Path("shop/compose.yaml")
FILES = {
    FILE.parent / "web.env": b"A=1",
    FILE.parent / "web.labels": b"team=shop",
    FILE.parent / "traefik.labels": b"traefik.http.routers.file.rule=Host(`file.example.com`)",
    FILE.parent / "seccomp.json": b'{"defaultAction": "SCMP_ACT_ALLOW"}',
    FILE.parent / "key.txt": b"secret",
    FILE.parent / ".env": b"A=a\nTAG=7",
}
TOP: Mapping[str, Any] = {
    "name": "shop",
    "version": "3.9",
    "x-mine": {"a": 1},
    "secrets": {"key": {"file": "./key.txt", "name": "k"}, "other": {"environment": "A"}},
    "configs": {"motd": {"content": "hello ${A}"}},
    "volumes": {"a": None, "data": None, "nfs": {"driver": "nfs", "driver_opts": {"o": "x"}}, "v": {"external": True}},
    "networks": {"back": {"driver": "bridge"}, "other": {"name": "elsewhere"}, "default": None},
}  # fmt: skip
OTHERS: Mapping[str, list[Any]] = {
    "build": [".", {"context": ".", "args": {"A": 1}}],
    "container_name": ["shop-web"],
    "depends_on": [["db"], {"db": {"condition": "service_healthy"}}],
    "deploy": [{"replicas": 3, "restart_policy": {"condition": "on-failure", "max_attempts": 2}, "mode": "replicated"}],
    "environment": [{"A": True, "B": "${A}", "C": "$$x"}, ["A=${TAG}"]],
    "image": ["acme/web:${TAG}"],
    "ipc": ["service:db"],
    "labels": [
        {"traefik.enable": True, "traefik.http.services.s.loadbalancer.server.port": 90},
        ["traefik.tcp.routers.t.rule=HostSNI(`*`)", "traefik.tcp.routers.t.entrypoints=lines"],
        ["traefik.http.routers.r.rule=HostRegexp(`^a$$`)", "traefik.http.middlewares.m.compress=true"],
        {"traefik.http.routers.r.rule": "Host(`${A}.b`)", "traefik.http.routers.r.tls": "true"},
    ],
    "label_file": ["traefik.labels"],
    "links": [["db:database"]],
    "mac_address": ["02:42:ac:11:65:43"],
    "network_mode": ["host"],
    "networks": [{"back": {"ipv4_address": "1.2.3.4"}}],
    "ports": [["80:8000"], [{"target": 8000, "published": 80}]],
    "profiles": [["debug"]],
    "pull_policy": ["always"],
    "restart": ["no"],
    "scale": [2],
    "volumes": [["./a:/a:cached", "data:/d:ro", "~/x:/x", "${A}:/b"], ["data:/d", "data:/e:z"]],
    "volumes_from": [["db"]],
}  # fmt: skip
KEYS = sorted({*EXAMPLES, *OTHERS})

blocks = st.fixed_dictionaries(
    {},
    optional={key: st.sampled_from([*EXAMPLES.get(key, []), *OTHERS.get(key, [])]) for key in KEYS},
)
words = st.text(max_size=8) | st.sampled_from(
    [
        "traefik",
        "http",
        "routers",
        "rule",
        "services",
        "x[0]",
        "loadbalancer",
        "server",
        "port",
        "tls",
    ]
)
labels = st.dictionaries(
    st.lists(words, max_size=6).map(lambda parts: ".".join(["traefik", *parts])),
    st.text(max_size=12) | st.sampled_from(["true", "Host(`a`)", "80", "a,b", "x@file"]),
    max_size=6,
)
odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["${A}", "$", "a:/b", "a=b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=8,
)
any_key = st.sampled_from(sorted({key.partition(".")[0] for key in SERVICE}))


def attempt(content: bytes, *services: str) -> Imported | list[str]:
    """Return what becomes of a file of these bytes, or its mistakes."""

    class Prepared(Files):
        def __init__(self) -> None:
            super().__init__()
            self.contents = {FILE: content, **FILES}

    wish = Wish(FILE, services)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose_import, "Files", Prepared)
        try:
            return import_compose(wish, {"A": "a", "HALF": "\udcff"})
        except DesiredStateErrors as errors:
            return [str(error) for error in errors.errors]


def file(block: Mapping[str, Any], top: Mapping[str, Any] = TOP) -> bytes:
    services = {"web": {**LEAST, **block}, "db": {"image": "db:1"}}
    text = yaml.safe_dump({**top, "services": services}, allow_unicode=True, sort_keys=False)
    return text.encode("utf-8", "replace")


def expect_an_answer(found: Imported | list[str]) -> None:
    if isinstance(found, Imported):
        return
    assert found
    for mistake in found:
        assert mistake.startswith("shop/"), mistake
        assert "bug" not in mistake, mistake


def names_in(value: Any) -> Iterator[str]:
    """Return the keys of a value that Compose gives a meaning to."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from names_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from names_in(item)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_answered(content: bytes) -> None:
    """What is no Compose file is a mistake with its place."""
    expect_an_answer(attempt(content))


@pytest.mark.parametrize("key", KEYS)
def test_every_example_of_every_key_is_taken_over(key: str) -> None:
    """A service with any key of Compose's becomes an app, or says why it cannot."""
    for value in [*EXAMPLES.get(key, []), *OTHERS.get(key, [])]:
        found = attempt(file({key: value}), "web")
        assert isinstance(found, Imported), (value, found)
        assert key in found.text
        for name in (each for each in names_in(value) if not each.startswith("traefik")):
            assert name in found.text, (value, found.text)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(blocks)
def test_no_key_is_dropped_in_silence(block: dict[str, Any]) -> None:
    """Each key of a service is in the app or in a comment, and what is written is read as meant."""
    found = attempt(file(block), "web")
    expect_an_answer(found)
    if isinstance(found, Imported):
        for key in block:
            assert key in found.text, key
        for key in TOP:
            assert key in found.text, key


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(blocks)
def test_both_ways_in_lead_to_the_same(block: dict[str, Any]) -> None:
    """An app that is made of a service is the one that import writes down."""
    made = attempt(file(block), "web")
    if not isinstance(made, Imported):
        return
    wish = {"file": FILE.name, "service": "web", "folder": str(FILE.parent.absolute())}
    by_name = yaml.safe_dump({"apps": {"web": {"compose": wish}}})
    found = []
    for text in (made.text, by_name):
        files, path = Files(), FILE.parent / "desired.yaml"
        files.contents = {**FILES, FILE: file(block), path: text.encode()}
        found.append(read_desired(path, files, {"A": "a", "HALF": "\udcff"}).apps)

    assert found[0] == found[1]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example({}, {"traefik.http.routers.a.tls.domains[0].main": "x"}, {})
@given(blocks, labels, st.dictionaries(any_key, odd, max_size=2))
def test_any_service_is_an_app_or_mistakes(
    block: dict[str, Any], marks: dict[str, str], wrong: dict[str, Any]
) -> None:
    """Whatever stands in a file is answered in one of two ways."""
    made = {**block, "labels": marks, **wrong}
    expect_an_answer(attempt(file(made), "web"))
    expect_an_answer(attempt(file(made)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*TOP, "services", "include", "models"]), odd))
def test_any_file_is_answered(top: dict[str, Any]) -> None:
    """The same of what stands beside the services."""
    expect_an_answer(
        attempt(yaml.safe_dump({**TOP, **top}, allow_unicode=True).encode("utf-8", "replace"))
    )
    expect_an_answer(
        attempt(file({}, {**TOP, **{k: v for k, v in top.items() if k != "services"}}), "web")
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(odd, odd)
def test_any_services_are_answered(web: Any, db: Any) -> None:
    """The same of services that are no mappings at all."""
    expect_an_answer(attempt(yaml.safe_dump({"services": {"web": web, "db": db}}).encode(), "web"))
    expect_an_answer(attempt(yaml.safe_dump({"services": web}).encode("utf-8", "replace")))
