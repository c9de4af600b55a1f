"""Where the service's settings come from, and what every wrong one is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from traefik_bg.core.errors import SettingsError
from traefik_bg.settings import (
    SETTINGS,
    Address,
    AddressBy,
    LogFormat,
    LogLevel,
    Settings,
    load_settings,
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    return tmp_path


def write(text: str, name: str = "config/settings.yaml") -> Path:
    Path(name).write_text(text)
    return Path(name)


def refusal(flags: dict[str, object], environ: dict[str, str], config: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, environ, config)
    return str(caught.value)


def test_without_anything_said_the_defaults_are_in_force() -> None:
    """Nothing needs to be set."""
    assert load_settings({}, {}) == Settings()
    assert Settings().listen == Address("127.0.0.1", 8090)
    assert Settings().traefik_api == ()


def test_more_images_than_revisions_are_remembered_cannot_be_kept() -> None:
    """Nobody would know which; 0 keeps all."""
    assert load_settings({"keep_images": "0"}, {}).keep_images == 0
    assert load_settings({"keep_images": "5"}, {}).keep_images == 5
    for wrong in ("6", "-1", "some", "1.5"):
        assert "up to 5" in refusal({"keep_images": wrong}, {})


def test_a_flag_wins_over_the_environment_and_that_over_the_file() -> None:
    """Each setting is taken from where it is said the most directly."""
    write("network: file\ninstance: file\nresync: 5\n")
    environ = {"TRAEFIK_BG_NETWORK": "environment", "TRAEFIK_BG_INSTANCE": "environment"}

    found = load_settings({"network": "flag", "instance": None}, environ)

    assert (found.network, found.instance, found.resync) == ("flag", "environment", 5.0)


def test_everything_can_be_said_everywhere() -> None:
    """Each setting has a flag, a variable and a key."""
    said = {
        "desired": "apps",
        "state_dir": "/s",
        "dynamic_dir": "/d",
        "traefik_api": "http://a:8080/, http://b:8080",
        "traefik_marker": "https://c",
        "traefik_metrics": "http://d:8082/metrics",
        "settle": "0",
        "network": "net",
        "address_by": "ip",
        "listen": "[::1]:0",
        "engine": "docker",
        "token_file": "/t",
        "instance": "two",
        "resync": "2.5",
        "keep_images": "2",
        "log_format": "json",
        "log_level": "DEBUG",
    }
    expected = Settings(
        desired=Path("apps"),
        state_dir=Path("/s"),
        dynamic_dir=Path("/d"),
        traefik_api=("http://a:8080", "http://b:8080"),
        traefik_marker=("https://c",),
        traefik_metrics=("http://d:8082/metrics",),
        settle=0.0,
        network="net",
        address_by=AddressBy.IP,
        listen=Address("::1", 0),
        engine="docker",
        token_file=Path("/t"),
        instance="two",
        resync=2.5,
        keep_images=2,
        log_format=LogFormat.JSON,
        log_level=LogLevel.DEBUG,
    )
    assert set(said) == {setting.key for setting in SETTINGS}

    assert load_settings(said, {}) == expected
    environ = {setting.variable: said[setting.key] for setting in SETTINGS}
    assert load_settings({}, environ) == expected
    write("".join(f'{key}: "{value}"\n' for key, value in said.items()))
    assert load_settings({}, {}) == expected


def test_lists_are_repeated_listed_or_comma_separated() -> None:
    """Several Traefiks are named as is natural in each place."""
    urls = ("http://a:1", "http://b:2")
    write("traefik_api: [http://a:1, http://b:2, http://a:1]\n")

    assert load_settings({"traefik_api": list(urls)}, {}).traefik_api == urls
    assert (
        load_settings({}, {"TRAEFIK_BG_TRAEFIK_API": "http://a:1,http://b:2,"}).traefik_api == urls
    )
    assert load_settings({"traefik_api": []}, {}).traefik_api == urls


def test_an_empty_text_stands_for_none_where_none_is_possible() -> None:
    """What the file sets, the environment can unset."""
    write("dynamic_dir: /d\ntoken_file: /t\ntraefik_api: http://a\n")
    environ = {
        "TRAEFIK_BG_DYNAMIC_DIR": "",
        "TRAEFIK_BG_TOKEN_FILE": "",
        "TRAEFIK_BG_TRAEFIK_API": "",
    }

    found = load_settings({}, environ)

    assert (found.dynamic_dir, found.token_file, found.traefik_api) == (None, None, ())


def test_another_file_can_be_named() -> None:
    """By flag or by variable; then it must be there."""
    write("network: other\n", "other.yaml")

    assert load_settings({}, {}, Path("other.yaml")).network == "other"
    assert load_settings({}, {"TRAEFIK_BG_CONFIG": "other.yaml"}).network == "other"
    assert refusal({}, {"TRAEFIK_BG_CONFIG": "none.yaml"}) == (
        "none.yaml: is not there (set it with --config or TRAEFIK_BG_CONFIG)"
    )
    assert refusal({}, {}, Path("config")) == (
        "config: is a folder (set it with --config or TRAEFIK_BG_CONFIG)"
    )


def test_an_empty_file_says_nothing() -> None:
    """A settings file with nothing but comments, or notes of the user's own, is fine."""
    write("# nothing\n")
    assert load_settings({}, {}) == Settings()
    write("x-note: {a: [b]}\n")
    assert load_settings({}, {}) == Settings()


def test_an_ipv6_address_is_written_as_it_is_read() -> None:
    """Addresses are shown as they can be given."""
    for text in ("127.0.0.1:8090", "[::1]:80", ":8090"):
        assert str(load_settings({"listen": text}, {}).listen) == text


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("0.0.0.0:1", False),
        (":1", False),
    ],
)
def test_loopback_is_known(listen: str, expected: bool) -> None:
    """The service must know whether only this machine can reach it."""
    assert load_settings({"listen": listen}, {}).listen.is_loopback is expected


NAMES = "(set it with --{flag}, TRAEFIK_BG_{variable} or {key} in the settings file)"


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("desired", "", "is empty"),
        ("desired", "a\0b", "is no path: it has a character U+0000"),
        ("state_dir", "~nobody-at-all/x", "begins with ~ and a user that is not known"),
        ("traefik_api", "traefik:8080", "must be a URL such as http://127.0.0.1:8080"),
        ("settle", "soon", "must be a number of seconds such as 2.5"),
        ("settle", "-1", "must be a number of seconds such as 2.5"),
        ("resync", "0", "must be more than 0 seconds"),
        (
            "network",
            "a b",
            "must be a name of at most 63 letters, digits, dots, dashes and underscores that begins with a letter or a digit",
        ),
        ("address_by", "nam", "must be name or ip"),
        ("listen", "8090", "must be HOST:PORT, such as 127.0.0.1:8090"),
        ("listen", "a:99999", "must be HOST:PORT, such as 127.0.0.1:8090"),
        ("engine", "swarm", "swarm is not supported by this version of traefik-bg; docker is"),
        ("engine", "podman", "must be docker"),
        ("log_format", "xml", "must be auto or json or console"),
        ("log_level", "loud", "must be debug or info or warning or error"),
    ],
)
def test_a_wrong_setting_names_where_it_stands_and_where_it_can(
    key: str, text: str, expected: str
) -> None:
    """The flag, the variable and the key are named, with what would work."""
    flag, variable = key.replace("_", "-"), key.upper()
    names = NAMES.format(flag=flag, variable=variable, key=key)

    assert refusal({key: text}, {}) == f'--{flag}: "{text}" {expected} {names}'
    assert refusal({}, {f"TRAEFIK_BG_{variable}": text}).startswith(f"TRAEFIK_BG_{variable}: ")


def test_all_wrong_settings_are_named_at_once() -> None:
    """Nobody has to start the service once for each mistake."""
    write("netwrk: a\nresync: [1]\nsettle: x\nsettle: y\n")

    said = refusal({"listen": "x"}, {"TRAEFIK_BG_ENGINE": "swarm"}).splitlines()

    assert said[:3] == [
        'config/settings.yaml:4: the key "settle" stands already in line 3',
        "config/settings.yaml:1: netwrk: is no setting; did you mean network?",
        "config/settings.yaml:2: resync: must be one value, not a list",
    ]
    assert [line.split(": ")[0] for line in said[3:]] == [
        "config/settings.yaml:3",
        "--listen",
        "TRAEFIK_BG_ENGINE",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a\n", "config/settings.yaml:1: must be a mapping, not a list"),
        ("a: [\n", "config/settings.yaml:1: is not YAML: did not find expected node content"),
        (
            "state-dir: /s\n",
            "config/settings.yaml:1: state-dir: is no setting; did you mean state_dir?",
        ),
    ],
)
def test_a_settings_file_that_cannot_be_used_says_why(text: str, expected: str) -> None:
    """Broken files and unknown keys are named with their line."""
    write(text)

    assert refusal({}, {}) == expected


def test_every_setting_says_what_it_means() -> None:
    """The help text of each names its default, and why."""
    for setting in SETTINGS:
        assert "default" in setting.meaning or str(setting.default) in setting.meaning
        assert setting.flag.startswith("--")
