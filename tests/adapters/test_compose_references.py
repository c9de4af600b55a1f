"""What a Compose service refers to: volumes, networks, secrets and files, in what is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.importing import Shop, comments


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    folder = tmp_path / "shop"
    folder.mkdir()
    return Shop(folder)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "real"),
    [
        ("data:", "shop_data"),
        ("data: {driver: local}", "shop_data"),
        ("data: {name: files}", "files"),
        ("data: {external: true}", "data"),
        ("data: {external: true, name: files}", "files"),
        ("data: {external: {name: files}}", "files"),
        ("data: {name: 'files-${A}'}", "files-a"),
    ],
)
@pytest.mark.parametrize("mount", ["data:/d", "{type: volume, source: data, target: /d}"])
def test_a_volume_keeps_the_name_that_docker_has(
    shop: Shop, declared: str, real: str, mount: str
) -> None:
    """And it must be there: an empty one would look like lost data."""
    volume = mount if mount[0] == "{" else f"'{mount}:ro'"
    text = f"""
        services:
          web: {{image: 'x:1', expose: [80], labels: {{traefik.enable: true}}, volumes: [{volume}]}}
        volumes:
          {declared}
    """
    (found,) = shop.container(shop.imported(text, environ={"A": "a"}), A="a")["volumes"]

    assert (found["source"], found["external"]) == (real, True)


@pytest.mark.parametrize(
    ("top", "environ", "project"),
    [
        ("", {}, "shop"),
        ("name: store", {}, "store"),
        ("name: '${A}-B'", {"A": "x"}, "x-b"),
        ("name: store", {"COMPOSE_PROJECT_NAME": "other"}, "other"),
    ],
)
def test_the_project_is_called_as_compose_calls_it(
    shop: Shop, top: str, environ: dict[str, str], project: str
) -> None:
    """By the environment, by the file, or by the folder."""
    made = shop.imported(
        f"{top}\nservices: {{web: {{image: 'x:1', expose: [80]}}}}", "web", environ=environ
    )

    assert list(shop.container(made, **environ)["networks"]) == [f"{project}_default"]


def test_the_project_can_be_said(shop: Shop) -> None:
    """For whoever gives it to docker compose by -p; a name that none can have is refused."""
    text = "services: {web: {image: 'x:${COMPOSE_PROJECT_NAME}', expose: [80]}}"
    assert shop.spec(shop.imported(text, "web", project="p1")).image == "x:p1"

    assert "is no name of a project" in shop.mistakes(text, "web", project="P 1")[0]


def test_a_folder_by_whose_name_nothing_can_be_called(tmp_path: Path) -> None:
    """Compose refuses it too."""
    shop = Shop(tmp_path / "ä")
    (found,) = shop.mistakes("services: {}")

    assert "write name: at its top" in found


def test_the_dotenv_names_the_project_too(shop: Shop) -> None:
    """As Compose reads it."""
    shop.write("COMPOSE_PROJECT_NAME=fromfile", ".env")
    made = shop.imported("services: {web: {image: 'x:1', expose: [80]}}", "web")

    assert list(shop.container(made)["networks"]) == ["fromfile_default"]


def test_networks_keep_the_names_that_docker_has(shop: Shop) -> None:
    """The service's name stays an alias, and so does the container's."""
    made = shop.container(
        shop.web(
            """
            container_name: the-web
            networks: {edge: {aliases: [www]}, back: , default: , named: {gw_priority: 1}}
            """,
            top={"networks": {"edge": {"external": True}, "back": None, "named": {"name": "n"}}},
        )
    )["networks"]

    assert list(made) == ["edge", "n", "shop_back", "shop_default"]
    assert made["edge"]["aliases"] == ["web", "the-web", "www"]
    assert made["n"] == {"aliases": ["web", "the-web"], "gw_priority": 1}


def test_secrets_and_configs_come_along(shop: Shop) -> None:
    """Under names of the project's own, at the places where they were."""
    shop.write("hunter2", "key.txt")
    made = shop.web(
        "secrets: [key]\nconfigs: [{source: motd, target: /etc/motd, mode: 0444}]",
        top={
            "secrets": {"key": {"file": "./key.txt"}},
            "configs": {"motd": {"content": "hello ${A}"}, "unused": {"content": "x"}},
        },
        environ={"A": "a"},
    )
    found = shop.container(made, A="a")

    assert found["secrets"][0]["target"] == "/run/secrets/key"
    assert found["configs"][0]["target"] == "/etc/motd"
    assert "file: ./key.txt" in made.text
    assert "content: hello ${A}" in made.text
    assert "configs.unused: {content: x}: no app uses it" in comments(made)


# --- paths ----------------------------------------------------------------------------------------


def test_what_docker_mounts_gets_its_absolute_path(shop: Shop) -> None:
    """Docker knows no folder that a path could be relative to."""
    made = shop.web(
        "volumes: ['./data/../d:/a:ro', '../up:/b', '~/h:/c', '${A}:/e', '/f:/f']",
        environ={"A": "./v"},
    )
    sources = [volume["source"] for volume in shop.container(made, A="./v")["volumes"]]
    home = Path.home()

    assert sources == [
        f"{shop.folder}/d",
        f"{shop.folder.parent}/up",
        f"{home}/h",
        f"{shop.folder}/v",
        "/f",
    ]


def test_a_path_keeps_its_variables_where_they_lead_there(shop: Shop) -> None:
    """So that it follows them, as the Compose file did."""
    made = shop.web("volumes: ['${ROOT}/d:/a', './${SUB}:/b']", environ={"ROOT": "/r", "SUB": "s"})

    assert "- ${ROOT}/d:/a" in made.text
    assert f"- {shop.folder}/${{SUB}}:/b" in made.text


def test_a_folder_with_a_dollar_or_a_colon_in_its_name(tmp_path: Path) -> None:
    """It is a folder like any other."""
    folder = tmp_path / "a$b:c" / "shop"
    folder.mkdir(parents=True)
    shop = Shop(folder)
    (found,) = shop.container(shop.web("volumes: ['./d:/d:ro,z']"))["volumes"]

    assert found["source"] == f"{folder}/d"
    assert (found["read_only"], found["bind"]) == (True, {"selinux": "z"})


def test_elsewhere_paths_are_absolute(shop: Shop, tmp_path: Path) -> None:
    """What traefik-bg reads is named so that it is found from where the desired file stands."""
    shop.write("A=1", "web.env")
    made = shop.web("env_file: web.env", output=tmp_path / "elsewhere" / "desired.yaml")

    assert f"- {shop.folder}/web.env\n" in made.text


def test_elsewhere_the_variables_must_be_known_too(shop: Shop, tmp_path: Path) -> None:
    """A desired file reads the .env beside itself, not the one beside the Compose file."""
    shop.write("TAG=7\nPASSWORD=hunter2", ".env")
    keys = "{image: 'x:${TAG}', expose: [80], environment: {P: '${PASSWORD}'}}"
    text = f"services: {{web: {keys}}}"
    other = tmp_path / "elsewhere" / "desired.yaml"
    found = shop.mistakes(text, "web", output=other)

    assert [mistake.split(" may come from")[0].rpartition(": ")[2] for mistake in found] == [
        "TAG",
        "PASSWORD",
    ]
    assert not any("hunter2" in mistake for mistake in found)
    other.parent.mkdir()
    (other.parent / ".env").write_text("TAG=7\nPASSWORD=hunter2")
    assert "image: x:${TAG}" in shop.imported(text, "web", output=other).text


# --- what is beside -------------------------------------------------------------------------------


def test_what_else_compose_reads_is_warned_of(shop: Shop) -> None:
    """Files that Compose puts over, and includes."""
    shop.write("services: {}", "compose.override.yaml")
    made = shop.web("", top={"include": ["other.yaml"]})

    assert any("compose.override.yaml: is not read" in warning for warning in made.warnings)
    assert any("include: is not read" in warning for warning in made.warnings)
    assert "include: [other.yaml]" in comments(made)


def test_the_first_lines_say_what_to_do(shop: Shop) -> None:
    """Network, volumes, what goes on with Compose, and how the old containers end."""
    made = shop.web(
        """
        volumes: [up:/up]
        networks: [edge, back]
        labels: {traefik.http.routers.w.rule: Host(`a`), traefik.docker.network: edge}
        """,
        top={"volumes": {"up": None}, "networks": {"edge": {"external": True}, "back": None}},
    )
    said = comments(made)

    assert (
        "Start traefik-bg with --network edge, the network in which Traefik reaches the apps"
        in said
    )
    assert "docker network create edge; docker network create shop_back" in said
    assert "docker volume create shop_up" in said
    assert "once those are good the old containers are stopped, not removed" in said
    assert "So that Compose does not start web again" in said


def test_the_network_is_the_one_that_traefik_is_in(shop: Shop) -> None:
    """Where no label says it, the file may."""
    made = shop.imported(
        """
        services:
          proxy: {image: "traefik:3", networks: [edge]}
          web: {image: "x:1", expose: [80], labels: {traefik.enable: true}, networks: [edge, back]}
        networks: {edge: , back: }
        """
    )

    assert "--network shop_edge, the network" in comments(made)


def test_the_same_service_is_imported_the_same_again(shop: Shop) -> None:
    """What came out can be compared with what comes out tomorrow."""
    keys = "volumes: [/a:/a]\nenvironment: {B: b, A: a}"

    assert shop.web(keys).text == shop.web(keys).text


def test_nothing_is_left_of_an_app_in_another(shop: Shop) -> None:
    """Several services of one file, sharing a volume and a network."""
    service = "{image: 'x:1', expose: [80], volumes: ['d:/d:ro'], labels: {traefik.http.routers.%s.rule: Host(`%s`)}}"
    made = shop.imported(
        f"services: {{a: {service % ('a', 'a')}, b: {service % ('b', 'b')}}}\nvolumes: {{d: }}"
    )

    assert [shop.spec(made, name).routes[0].rule for name in "ab"] == [
        "Host(`a`)",
        "Host(`b`)",
    ]
