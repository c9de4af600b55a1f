"""The documents say what is so: read as a newcomer reads them, compared with the code.

What is made from the code is made by `documents`; the README's first minute is played by
`first_minute`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import typer
import yaml
from pydantic import BaseModel

from tests import documents
from tests.cli.fake_service import FakeService
from tests.documents import COMPOSE_PAGE, README, ROOT, SETTINGS_PAGE
from tests.first_minute import DESIRED, FirstMinute, said, sample, status_of_all, status_of_one
from tests.web.progress import shown
from traefik_bg import __version__, logs
from traefik_bg.adapters import docker_settings
from traefik_bg.adapters.checks import environment
from traefik_bg.adapters.compose_keys import SERVICE
from traefik_bg.adapters.desired_analysis import AnalysisSettings, CheckSettings
from traefik_bg.adapters.desired_reading import read_desired
from traefik_bg.adapters.desired_rollout import (
    MirrorSettings,
    PreviewSettings,
    RolloutSettings,
    StepSettings,
)
from traefik_bg.adapters.desired_route import RouteSettings
from traefik_bg.adapters.desired_schema import (
    CONTAINER_KEYS,
    AppSettings,
    HealthSettings,
    UpdateSettings,
)
from traefik_bg.adapters.traefik_file import FILE_NAME
from traefik_bg.adapters.traefik_publication import Publication
from traefik_bg.cli.frame import Exit
from traefik_bg.cli.verbs import verbs
from traefik_bg.core import errors, markers, names, planner, traffic
from traefik_bg.core.actions import Outcome, Phase
from traefik_bg.core.commands import Verb
from traefik_bg.core.errors import DesiredStateErrors, TraefikBgError
from traefik_bg.core.features import Features
from traefik_bg.core.model import AppName, RevisionId, Routing
from traefik_bg.core.ports import Subject
from traefik_bg.settings import CONFIG_FLAG, CONFIG_VARIABLE, SETTINGS, load_settings
from traefik_bg.web.provider import Provider
from traefik_bg.web.server import application
from traefik_bg.web.view import app_view

CHANGELOG = ROOT / "CHANGELOG.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
DESIRED_PAGE = ROOT / "docs/desired-state.md"
PROGRESSIVE = ROOT / "docs/progressive-delivery.md"
TESTING = ROOT / "docs/testing.md"
TRAEFIK = ROOT / "docs/traefik.md"
TROUBLESHOOTING = ROOT / "docs/troubleshooting.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CONFIGS = sorted(ROOT.glob("config/*.yaml"))

TRAEFIKS_OWN = {"entryPoints", "providers", "api", "ping", "tls", "metrics"}
SUBJECT = Subject(app=AppName("web"), revision=RevisionId("3f2a91bc"), image="web:2", weight=5)
LONGEST_README = 300  # lines: what one reads before trying
FOREIGN_HOSTS = {"keepachangelog.com", "semver.org"}
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|root|home|Users|tmp)/")
BASE = {"image": "acme/web:1", "port": 8000, "route": {"host": "web.example.com"}}

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_SPAN = re.compile(r"(?<!`)(`{1,2})(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)


def each(paths: list[Path]) -> pytest.MarkDecorator:
    """Return the mark that runs a test for each of these files."""
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(ROOT)))


# --- reading markdown -----------------------------------------------------------------------------


def text_of(path: Path) -> str:
    """Return what a file says."""
    return path.read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return [body for kind, body in _BLOCK.findall(text_of(path)) if kind == language]


def spans(path: Path) -> set[str]:
    """Return what stands in `code`, outside of blocks."""
    prose = _BLOCK.sub("", text_of(path))
    return {" ".join(body.split()) for _, body in _SPAN.findall(prose)}


def command_lines(path: Path) -> Iterator[list[str]]:
    """Return each `traefik-bg …` of a document, in words."""
    shells = [*blocks(path, "sh"), *blocks(path, "console")]
    lines = [line.removeprefix("$ ") for block in shells for line in block.splitlines()]
    for line in [*spans(path), *lines]:
        if line.startswith("traefik-bg "):
            yield line.split()[1:]


def anchors(path: Path) -> set[str]:
    """Return the names of a document's headings, as links use them."""
    prose = _BLOCK.sub("", text_of(path))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table, by the names of its columns."""

    section: str
    """The heading above it, without its marks."""
    cells: Mapping[str, str]


def rows(path: Path) -> Iterator[Row]:
    """Return the rows of all tables of a document."""
    section = ""
    header: list[str] = []
    for line in text_of(path).splitlines():
        if line.startswith("#"):
            section = line.strip("# `")
        if not line.startswith("|"):
            header = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not header:
            header = cells
        elif set(cells[0]) - set("-"):
            yield Row(section, dict(zip(header, cells, strict=True)))


def code_in(cell: str) -> list[str]:
    """Return the pieces of code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


# --- what is made from the code -------------------------------------------------------------------


def test_the_page_of_settings_is_up_to_date() -> None:
    """docs/settings.md is what `make docs` writes."""
    assert text_of(SETTINGS_PAGE) == documents.settings_page()


def test_the_page_of_composes_keys_is_up_to_date() -> None:
    """docs/compose-keys.md is what `make docs` writes."""
    assert text_of(COMPOSE_PAGE) == documents.compose_page()


def test_the_help_in_the_readme_is_up_to_date() -> None:
    """The README shows what `traefik-bg --help` prints."""
    assert documents.help_in(text_of(README)) == documents.help_text()


def test_every_setting_is_named_in_each_of_its_spellings() -> None:
    """Flag, variable and key of every setting stand on the page of settings."""
    found = spans(SETTINGS_PAGE)
    for setting in SETTINGS:
        assert {setting.flag, setting.variable, setting.key} <= found
    assert {CONFIG_FLAG, CONFIG_VARIABLE} <= found


# --- the first minute -----------------------------------------------------------------------------


def test_the_sample_starts_with_the_version_the_readme_starts_with() -> None:
    """config/desired.yaml says v1, which the reader is asked to change."""
    assert read_desired(DESIRED, environ={}).apps[AppName("sample")] == sample("v1")
    assert "change `v1` to `v2`" in text_of(README)


def test_the_sentences_of_a_deployment_are_the_planners_own() -> None:
    """What the README says is said is said, in this order."""
    minute = FirstMinute(desired=None)
    minute.save("v1")
    sentences = said(minute.save("v2"), lambda made: f"{made.phase:<10} {made.reason}")
    (shown,) = [body for body in blocks(README, "text") if body.startswith("starting ")]
    rest = iter(sentences)
    for line in shown.splitlines():
        assert line in rest, f"{line!r} is not said any more, or not in this place: {sentences}"


def test_the_tables_of_the_first_minute_are_those_of_status() -> None:
    """Each `traefik-bg status` of the README prints what it shows."""
    minute = FirstMinute(desired=None)
    minute.save("v1")
    minute.save("v2", until=Phase.BAKING)
    during = status_of_all(minute.view)
    minute.save("v2")
    minute.save("v3")
    after = status_of_one(minute.view)
    shown = "".join(blocks(README, "console"))
    for printed in (during, after):
        assert "\n".join(printed) in shown


def test_the_picture_of_a_canary_is_what_status_prints() -> None:
    """docs/progressive-delivery.md shows a deployment in a step."""
    printed = status_of_one(app_view(shown(), 100.0))
    assert "\n".join(printed) in "".join(blocks(PROGRESSIVE, "console"))


# --- examples -------------------------------------------------------------------------------------


@each(CONFIGS)
def test_every_desired_state_in_config_loads(path: Path) -> None:
    """What we give as an example has no mistake and no warning."""
    if "apps" in yaml.safe_load(text_of(path)):
        desired = read_desired(path, environ={"API_KEY": "x"})
        assert desired.apps
        assert not desired.warnings


@each(DOCUMENTS)
def test_every_yaml_example_is_valid(path: Path, tmp_path: Path) -> None:
    """A desired state loads, settings are settings, and the rest is Traefik's."""
    for body in blocks(path, "yaml"):
        if body.startswith("# mistakes.yaml"):
            continue
        example = tmp_path / "example.yaml"
        example.write_text(body, encoding="utf-8")
        content = yaml.safe_load(body)
        if "apps" in content:
            assert read_desired(example, environ={"DB_PASSWORD": "x"}).apps
        elif content.keys() <= {setting.key for setting in SETTINGS}:
            load_settings({}, {}, example)
        else:
            assert content.keys() <= TRAEFIKS_OWN, body


def test_the_mistakes_shown_are_found_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of the desired state shows what `check` says of its file with mistakes."""
    monkeypatch.chdir(tmp_path)
    example, shown = (
        next(body for body in blocks(DESIRED_PAGE, language) if "mistakes.yaml" in body)
        for language in ("yaml", "text")
    )
    Path("mistakes.yaml").write_text(example, encoding="utf-8")
    with pytest.raises(DesiredStateErrors) as raised:
        read_desired(Path("mistakes.yaml"), environ={})
    assert str(raised.value).splitlines() == shown.splitlines()


def test_the_document_shown_is_the_one_that_is_written() -> None:
    """docs/traefik.md shows what Traefik is told of the sample app at rest."""
    minute = FirstMinute(desired=None)
    minute.save("v1")
    assert isinstance(minute.published, Routing)
    features = Features(retry=True, guard=True)
    written = traffic.render({minute.app: minute.published}, features=features, serial=1)
    (shown,) = blocks(TRAEFIK, "json")
    assert json.loads(shown) == written


# --- the desired state ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Section:
    """One table of the page, and where in a file its keys stand."""

    model: type[BaseModel]
    keys: tuple[str | int, ...] = ()
    base: Mapping[str, Any] = field(default_factory=dict)
    """What must be there beside a key."""

    def app(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """Return an app in which the section has these keys beside those it must have."""
        value: Any = {**self.base, **part}
        for key in reversed(self.keys):
            value = [value] if key == 0 else {key: value}
        assert isinstance(value, dict)
        return {**BASE, **value}


ROUTE = {"host": "web.example.com"}
SECTIONS: Mapping[str, Section] = {
    "An app": Section(AppSettings),
    "route": Section(RouteSettings, ("route",), ROUTE),
    "health": Section(HealthSettings, ("health",)),
    "rollout": Section(RolloutSettings, ("rollout",)),
    "steps": Section(StepSettings, ("rollout", "steps", 0), {"weight": 5, "pause": "1s"}),
    "analysis": Section(AnalysisSettings, ("rollout", "analysis"), {"max_p95": "1s"}),
    "checks": Section(
        CheckSettings, ("rollout", "analysis", "checks", 0), {"name": "a", "command": "x"}
    ),
    "preview": Section(PreviewSettings, ("rollout", "preview"), {"cookie": "a=b"}),
    "update": Section(UpdateSettings, ("update",), {"poll": "5m"}),
    "mirror": Section(MirrorSettings, ("rollout", "mirror"), {"percent": 5}),
}


def keys_shown(section: str) -> Iterator[tuple[str, Row]]:
    """Return the keys of a table of the page, each with its row."""
    for row in rows(DESIRED_PAGE):
        if row.section == section and "key" in row.cells:
            for key in code_in(row.cells["key"]):
                yield key, row


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_of_our_own_is_explained(section: str) -> None:
    """The tables have all keys of the schema, and no others."""
    model = SECTIONS[section].model
    known = set(model.model_fields)
    if model is AppSettings:
        known -= SERVICE.keys() - {"image"}
    assert {key for key, _ in keys_shown(section)} == known


@pytest.mark.parametrize("section", SECTIONS)
def test_the_defaults_shown_are_the_defaults(section: str, tmp_path: Path) -> None:
    """Writing a default out changes nothing."""
    place = SECTIONS[section]

    def spec(part: Mapping[str, Any]) -> object:
        file = tmp_path / "desired.yaml"
        file.write_text(yaml.safe_dump({"apps": {"web": place.app(part)}}), encoding="utf-8")
        return read_desired(file, environ={}).apps[AppName("web")]

    for key, row in keys_shown(section):
        literal = re.fullmatch(r"`([^`]+)`", row.cells["default"])
        if literal is not None:
            value = yaml.safe_load(literal[1])
            assert spec({key: value}) == spec({}), f"{section}: {key} is not {value} by default"


def test_every_container_setting_is_listed() -> None:
    """The list of Compose's keys is the one of the schema."""
    after = text_of(DESIRED_PAGE).partition("They are:\n\n")[2]
    shown = code_in(after.partition("\n\n")[0])
    assert set(shown) == {*CONTAINER_KEYS, "env_file", "label_file", "pull_policy"}


# --- what there is --------------------------------------------------------------------------------


def commands() -> Mapping[str, click.Command]:
    """Return every verb."""
    group = typer.main.get_command(verbs)
    return dict(getattr(group, "commands", {}))


def flags(command: click.Command) -> set[str]:
    """Return the flags of a verb."""
    known = {name for parameter in command.params for name in parameter.opts}
    return known | {"--help", "-h"}


@each([README, CHANGELOG])
def test_every_verb_is_named(path: Path) -> None:
    """Nobody has to find out what there is."""
    text = text_of(path)
    for verb in commands():
        assert re.search(rf"\b{verb}\b", text), verb


@each(DOCUMENTS)
def test_every_command_line_shown_can_be_typed(path: Path) -> None:
    """Verbs and flags in the documents exist."""
    known = commands()
    for words in command_lines(path):
        verb, *rest = words
        if verb == "VERB" or verb.startswith("-"):
            continue
        assert verb in known, words
        used = {word for word in rest if word.startswith("-")}
        assert used <= flags(known[verb]), words


@each(DOCUMENTS)
def test_every_flag_and_variable_named_exists(path: Path) -> None:
    """What stands in code and looks like a flag or a variable of ours is one."""
    known = set().union(*map(flags, commands().values())) | {"--version"}
    for span in spans(path):
        first = span.split()[0]
        if first.startswith("--"):
            assert first in known, span
        for variable in re.findall(r"TRAEFIK_BG_[A-Z_]+", span):
            ours = {s.variable for s in SETTINGS} | {CONFIG_VARIABLE}
            assert variable in ours | environment(SUBJECT).keys(), span


def endpoints() -> set[str]:
    """Return every method and path that is served."""
    provider = Provider(Publication(lambda: 0.0))
    app = application(FakeService(), token=None, is_loopback=True, mounts=[provider])
    found = {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    generic = {path for path in found if path.endswith("/{verb}")}
    return (found - generic) | {path.replace("{verb}", verb) for path in generic for verb in Verb}


def test_the_readme_names_every_endpoint_and_no_other() -> None:
    """The table of the API is the API."""
    shown = [code_in(row.cells["request"])[0] for row in rows(README) if "request" in row.cells]
    assert set(shown) == endpoints()


def test_every_variable_of_a_check_is_named() -> None:
    """docs/traefik.md names what a command is told."""
    assert environment(SUBJECT).keys() <= set(spans(TRAEFIK))


def test_every_label_is_named() -> None:
    """The page of the desired state names the labels of a replica."""
    labels = [value for key, value in vars(docker_settings).items() if key.endswith("_LABEL")]
    assert len(labels) > 3
    assert set(labels) <= spans(DESIRED_PAGE)


def test_every_name_in_traefik_is_explained() -> None:
    """What people meet in Traefik's dashboard stands in docs/traefik.md."""
    text, app = text_of(TRAEFIK), "{app}"
    for name in (
        names.OURS,
        names.RETRY,
        names.CATCH,
        names.LOOP,
        names.WAIT,
        names.BACK,
        names.LATE,
        names.router_name(app, 2),
        names.trial_name(app, 1),
        names.balancer_name(app, "{revision}"),
        names.guard_name(app),
        names.catcher_name(app),
        names.notes_name(app),
        names.preview_name(app, 1),
        names.kept_name(app, 1),
        names.copied_name(app, 1),
        names.mirrored_name(app),
        names.held_name(app),
        names.waiting_name(app),
        names.cookie_name(app),
        FILE_NAME,
    ):
        assert f"`{name}`" in text
    for word in (
        markers.HEADER,
        markers.HOST,
        markers.PATH,
        traffic.TRIAL_HOST,
    ):
        assert word in text


def test_every_law_stands_in_the_page_of_tests() -> None:
    """docs/testing.md has the laws of the planner, in its words."""
    laws = re.findall(r"^([SL]\d) (.+?\.)(?:\s|$)", planner.__doc__ or "", re.MULTILINE)
    assert len(laws) == 13
    assert "[thirteen laws]" in text_of(README)
    said_there = " ".join(text_of(TESTING).replace("*", "").split())
    for law, sentence in laws:
        assert f"{law} {sentence}" in said_there


def test_every_error_is_explained_by_its_meaning() -> None:
    """The table in CONTRIBUTING has all error classes, and no others."""
    known = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, TraefikBgError)
    }
    shown = [
        name
        for row in rows(CONTRIBUTING)
        if "error" in row.cells
        for name in code_in(row.cells["error"])
    ]
    assert set(shown) == known


def test_every_phase_outcome_and_exit_code_is_explained() -> None:
    """Who reads a status finds its words in docs/troubleshooting.md."""
    phases = [
        code_in(row.cells["phase"])[0] for row in rows(TROUBLESHOOTING) if "phase" in row.cells
    ]
    assert sorted(phases) == sorted(Phase)
    assert set(Outcome) <= spans(TROUBLESHOOTING)
    for document in (text_of(TROUBLESHOOTING), text_of(README)):
        said_there = " ".join(document.split())
        assert (
            f"{Exit.FINE:d} fine, {Exit.NOT_WELL:d} the deployment is not well, "
            f"{Exit.BAD_INPUT:d} bad input, {Exit.UNREACHABLE:d} the service"
        ) in said_there


def test_every_event_named_is_logged() -> None:
    """The table of events has no event that is never logged."""
    package = Path(logs.__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    logged = set(re.findall(r"""["']([a-z]+\.[a-z_]+)["']""", source))
    logged |= {f"deployment.{outcome}" for outcome in Outcome}
    events = [
        event
        for row in rows(TROUBLESHOOTING)
        if "event" in row.cells
        for event in code_in(row.cells["event"])
    ]
    assert len(events) > 20
    assert set(events) <= logged


def test_every_target_of_make_is_explained() -> None:
    """The table in CONTRIBUTING has all targets, and the documents use no others."""
    makefile = text_of(ROOT / "Makefile")
    targets = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)) - {"help"}
    shown = {code_in(row.cells["target"])[0] for row in rows(CONTRIBUTING) if "target" in row.cells}
    assert shown == {f"make {target}" for target in targets}
    for path in DOCUMENTS:
        for span in spans(path):
            if target := re.match(r"make ([a-z]+)", span):
                assert target[1] in targets, f"{path}: {span}"


def test_what_is_said_not_to_be_there_is_not_there() -> None:
    """The README does not deny what there is by now."""
    limit = " ".join(text_of(README).partition("**Not there yet:**")[2].split("\n## ")[0].split())
    missing = set(code_in(limit))
    assert {"schema", "measure"} <= missing
    assert not missing & {*commands(), *RolloutSettings.model_fields, *AppSettings.model_fields}


def test_the_changelog_tells_of_this_version() -> None:
    """The newest entry is Unreleased, and names the version that is to come."""
    newest = text_of(CHANGELOG).partition("\n## ")[2]
    assert newest.startswith("[Unreleased]")
    assert __version__ in newest


# --- reading on -----------------------------------------------------------------------------------


@each(DOCUMENTS)
def test_every_link_leads_somewhere(path: Path) -> None:
    """Files and headings that are linked exist."""
    for target in _LINK.findall(_BLOCK.sub("", text_of(path))):
        url = urlsplit(target)
        if url.scheme:
            assert url.hostname in FOREIGN_HOSTS, target
            continue
        file = (path.parent / url.path).resolve() if url.path else path
        assert file.is_relative_to(ROOT), target
        assert file.exists(), target
        if url.fragment:
            assert url.fragment in anchors(file), target


@each(DOCUMENTS)
def test_no_document_knows_the_machine_it_was_written_on(path: Path) -> None:
    """Paths and hosts are those of the reader, or of examples."""
    text = text_of(path)
    assert not MACHINE_PATHS.search(text)
    for host in re.findall(r"https?://([\w.-]+)", text):
        is_example = host.endswith((".example.com", "localhost")) or "." not in host
        is_address = host in {"127.0.0.1", "0.0.0.0"}
        assert is_example or is_address or host in FOREIGN_HOSTS, host


def test_the_readme_can_be_read_at_once() -> None:
    """Whatever is longer belongs into docs/."""
    assert len(text_of(README).splitlines()) < LONGEST_README
