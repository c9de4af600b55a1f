"""The verb import, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

COMPOSE = """\
name: shop
services:
  web:
    image: acme/web:1
    expose: [8000]
    ports: ["80:8000"]
    labels: ["traefik.http.routers.web.rule=Host(`web.example.com`)"]
  db: {image: "postgres:16"}
"""


@pytest.fixture(autouse=True)
def _compose(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)


def test_import_prints_a_desired_state_that_check_takes(cli: Cli, tmp_path: Path) -> None:
    """Standard output is the file and nothing else; what is said of it goes beside."""
    result = cli("import", "compose.yaml")
    assert result.exit_code == 0
    (tmp_path / "made.yaml").write_text(result.stdout)
    assert "1 app: web; Compose's: db" in result.stderr
    assert "1 setting is not as before, each with a comment" in result.stderr
    checked = cli("check", "made.yaml")
    assert (checked.exit_code, "Host(`web.example.com`)" in checked.stdout) == (0, True)


def test_import_writes_a_file_and_overwrites_none(cli: Cli, tmp_path: Path) -> None:
    """What is there stays, unless it is said otherwise."""
    made = tmp_path / "desired.yaml"
    result = cli("import", ".", "--output", "desired.yaml")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "next: read its first lines, then traefik-bg check desired.yaml" in result.stderr
    made.write_text("mine")
    refused = cli("import", ".", "--output", "desired.yaml")
    assert (refused.exit_code, made.read_text()) == (2, "mine")
    assert "desired.yaml is there already; --force overwrites it" in refused.stderr
    assert cli("import", ".", "--output", "desired.yaml", "--force").exit_code == 0
    assert "apps:" in made.read_text()


def test_import_never_writes_over_the_compose_file(cli: Cli, tmp_path: Path) -> None:
    """Not even by force, nor by another name."""
    (tmp_path / "link.yaml").symlink_to("compose.yaml")
    for name in ("compose.yaml", "link.yaml"):
        result = cli("import", "compose.yaml", "--output", name, "--force")
        assert (result.exit_code, "is the Compose file itself" in result.stderr) == (2, True)
    assert (tmp_path / "compose.yaml").read_text() == COMPOSE


def test_import_where_nothing_can_be_written(cli: Cli) -> None:
    """One sentence says why."""
    result = cli("import", "compose.yaml", "--output", "nowhere/desired.yaml")
    assert result.exit_code == 2
    assert result.stderr.endswith(
        "nowhere/desired.yaml cannot be written: no such file or directory\n"
    )


def test_import_as_json(cli: Cli) -> None:
    """Programs get the file, and everything that is not as it was."""
    answer = json.loads(cli("import", "compose.yaml", "--json").stdout)
    assert answer["apps"] == [{"name": "web", "service": "web"}]
    assert answer["stays"] == ["db"]
    assert answer["desired"].startswith("# Made by traefik-bg import")
    assert {"path", "line", "key", "message"} == set(answer["notes"][0])


def test_import_tells_every_mistake_with_its_line(cli: Cli, tmp_path: Path) -> None:
    """As check does, with the same exit code."""
    (tmp_path / "compose.yaml").write_text(
        COMPOSE.replace("expose: [8000]", "imag: x\n    mem_limit: lots")
    )
    result = cli("import", "compose.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        "compose.yaml:5: services.web.imag: is unknown here; did you mean image?" in result.stderr
    )
    assert "compose.yaml:6: services.web.mem_limit: must be a size" in result.stderr
    assert "2 mistakes" in result.stderr
    answer = json.loads(cli("import", "compose.yaml", "--json").stdout)
    assert (answer["is_valid"], len(answer["errors"])) == (False, 2)


@pytest.mark.parametrize("port", ["web", "web=", "web=0", "web=70000", "=80", "web=x"])
def test_a_port_that_is_none_is_refused(cli: Cli, port: str) -> None:
    """It is said how to write one."""
    result = cli("import", "compose.yaml", "--port", port)
    assert result.exit_code == 2
    assert "--port takes NAME=PORT such as web=8000" in result.stderr


def test_services_ports_and_project_can_be_said(cli: Cli) -> None:
    """Whatever the file does not."""
    result = cli(
        "import", "compose.yaml", "--service", "db", "--port", "db=5432", "--project", "other"
    )
    assert result.exit_code == 0
    assert "port: 5432" in result.stdout
    assert "other_default" in result.stdout


def test_what_is_odd_is_warned_of(cli: Cli, tmp_path: Path) -> None:
    """A file that Compose would have read too."""
    (tmp_path / "compose.override.yml").write_text("services: {}")
    result = cli("import", "compose.yaml")
    assert result.exit_code == 0
    assert "warning: compose.override.yml: is not read" in result.stderr
