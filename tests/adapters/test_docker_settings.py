"""What Docker is asked for, given an app's spec in Compose's keys."""

from __future__ import annotations

from typing import Any

import pytest

from traefik_bg.adapters.docker_settings import (
    SUPPORTED_KEYS,
    Creation,
    check_settings,
    creation,
)
from traefik_bg.adapters.docker_units import ApiVersion
from traefik_bg.core.errors import SpecRefused
from traefik_bg.core.model import AppName, AppSpec, HealthPolicy, canonical_json

NEW: ApiVersion = (1, 45)
OLD: ApiVersion = (1, 43)
THRICE = {"Name": "on-failure", "MaximumRetryCount": 3}


def app(health: HealthPolicy | None = None, **container: Any) -> AppSpec:
    return AppSpec(
        name=AppName("web"),
        image="acme/web:1",
        port=8000,
        container=canonical_json(container),
        health=health or HealthPolicy(path="/health"),
    )


def made(
    *, api: ApiVersion = NEW, health: HealthPolicy | None = None, **container: Any
) -> Creation:
    return creation(app(health, **container), labels={"ours": "1"}, network="edge", api=api)


def body(**container: Any) -> dict[str, Any]:
    return made(**container).body


def host(**container: Any) -> dict[str, Any]:
    found: dict[str, Any] = body(**container)["HostConfig"]
    return found


def check(**container: Any) -> Any:
    return body(**container).get("Healthcheck")


def device(outside: str, inside: str, may: str = "rwm") -> dict[str, str]:
    return {"PathOnHost": outside, "PathInContainer": inside, "CgroupPermissions": may}


def test_a_bare_app_gets_its_port_its_network_and_a_restart_policy() -> None:
    """An app that says nothing gets what zero-downtime needs, and nothing else."""
    assert body() == {
        "Image": "acme/web:1",
        "ExposedPorts": {"8000/tcp": {}},
        "Labels": {"ours": "1"},
        "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}, "NetworkMode": "edge"},
        "NetworkingConfig": {"EndpointsConfig": {"edge": {}}},
    }


class TestCommand:
    @pytest.mark.parametrize(
        ("written", "words"),
        [
            ("serve --name 'a b'", ["serve", "--name", "a b"]),
            (["serve", "--port", 80], ["serve", "--port", "80"]),
            ("", []),
        ],
    )
    def test_is_split_like_a_shell_would_unless_it_is_a_list(
        self, written: Any, words: list[str]
    ) -> None:
        """A string is split into words, a list is taken as it is."""
        assert body(command=written)["Cmd"] == words
        assert body(entrypoint=written)["Entrypoint"] == words

    def test_without_a_value_is_the_images_own(self) -> None:
        """A key with nothing behind it is as good as absent."""
        assert "Cmd" not in body(command=None)

    def test_with_an_open_quote_is_refused_by_name(self) -> None:
        """A command no shell could read is refused, naming app and key."""
        with pytest.raises(SpecRefused, match=r"^web: command: No closing quotation"):
            body(command="serve 'a")


class TestEnvironment:
    def test_is_read_from_a_mapping(self) -> None:
        """YAML's scalars become the text Compose makes of them; one without a value is left out."""
        given = {"A": "1", "B": 2, "C": True, "D": None, "E": ""}

        assert body(environment=given)["Env"] == ["A=1", "B=2", "C=true", "E="]

    def test_is_read_from_a_list(self) -> None:
        """A list of NAME=VALUE is as good as a mapping."""
        assert body(environment=["A=1", "B=x=y", "C"])["Env"] == ["A=1", "B=x=y"]

    def test_never_shows_a_value_when_it_is_refused(self) -> None:
        """A refusal of the environment does not repeat what may be a secret."""
        with pytest.raises(SpecRefused) as caught:
            body(environment={"": "hunter2"})

        assert "hunter2" not in str(caught.value)


class TestLabels:
    def test_are_the_users_and_ours(self) -> None:
        """The user's labels are kept."""
        assert body(labels={"a": 1})["Labels"] == {"a": "1", "ours": "1"}

    def test_ours_cannot_be_overridden(self) -> None:
        """What marks a container as ours is never the user's to say."""
        assert body(labels=["ours=2"])["Labels"] == {"ours": "1"}


def test_volumes_go_where_docker_wants_each_kind() -> None:
    """Host folders, other mounts and anonymous volumes have three places."""
    volumes = ["/srv:/srv", "/cache", {"type": "tmpfs", "target": "/ram"}]

    assert host(volumes=volumes)["Binds"] == ["/srv:/srv"]
    assert host(volumes=volumes)["Mounts"] == [{"Type": "tmpfs", "Target": "/ram"}]
    assert body(volumes=volumes)["Volumes"] == {"/cache": {}}
    assert host(tmpfs="/run")["Tmpfs"] == {"/run": ""}


class TestNetworks:
    def test_begin_with_the_shared_one(self) -> None:
        """The network shared with Traefik is the primary one, whatever else is listed."""
        found = made(networks=["db"])

        assert found.body["HostConfig"]["NetworkMode"] == "edge"
        assert list(found.endpoints) == ["edge", "db"]
        assert found.body["NetworkingConfig"] == {"EndpointsConfig": {"edge": {}, "db": {}}}

    def test_may_have_aliases(self) -> None:
        """A mapping says how the container is known in each network, the shared one included."""
        found = made(networks={"edge": {"aliases": ["w"]}, "db": None})

        assert found.endpoints == {"edge": {"Aliases": ["w"]}, "db": {}}

    def test_are_left_for_later_where_docker_takes_only_one(self) -> None:
        """An older engine gets the primary network at creation, the others afterwards."""
        found = made(networks=["db"], api=OLD)

        assert found.body["NetworkingConfig"] == {"EndpointsConfig": {"edge": {}}}
        assert list(found.endpoints) == ["edge", "db"]

    def test_with_a_fixed_address_are_refused(self) -> None:
        """Two containers cannot have one address, so blue and green could not both live."""
        with pytest.raises(SpecRefused, match="cannot share a fixed address"):
            made(networks={"db": {"ipv4_address": "10.0.0.2"}})


class TestHealthcheck:
    def test_is_left_to_the_image_when_we_probe_over_http(self) -> None:
        """Docker's verdict is nobody's business when there is a path to ask."""
        assert check() is None

    def test_takes_both_forms_of_a_test(self) -> None:
        """A string runs in a shell, a list says how it runs."""
        assert check(healthcheck={"test": "true"}) == {"Test": ["CMD-SHELL", "true"]}
        assert check(healthcheck={"test": ["CMD", "x"]}) == {"Test": ["CMD", "x"]}

    def test_reads_its_durations(self) -> None:
        """Durations are in Compose's notation."""
        written = {"interval": "1m30s", "timeout": "500ms", "retries": 2, "start_period": "10s"}

        assert check(healthcheck=written) == {
            "Interval": 90_000_000_000,
            "Timeout": 500_000_000,
            "Retries": 2,
            "StartPeriod": 10_000_000_000,
        }

    @pytest.mark.parametrize("written", [{"disable": True}, {"test": ["NONE"]}])
    def test_can_be_switched_off(self, written: dict[str, Any]) -> None:
        """The image's own check can be disabled, whoever gives the verdict then."""
        assert check(healthcheck=written, health=HealthPolicy()) == {"Test": ["NONE"]}

    def test_is_eager_while_starting_when_it_is_the_verdict(self) -> None:
        """Docker looks as often as we would until the deadline, whoever wrote the check."""
        policy = HealthPolicy(interval=0.25, deadline=60)
        eager = {"StartInterval": 250_000_000, "StartPeriod": 60_000_000_000}

        assert check(health=policy) == eager
        assert check(health=policy, healthcheck={"test": "x", "start_period": "5s"}) == {
            "Test": ["CMD-SHELL", "x"],
            "StartInterval": 250_000_000,
            "StartPeriod": 5_000_000_000,
        }

    def test_is_not_eager_where_docker_refuses_the_field(self) -> None:
        """An older engine never sees a start interval, not even the user's."""
        written = {"test": "x", "start_interval": "1s"}

        assert check(healthcheck=written, api=OLD) == {"Test": ["CMD-SHELL", "x"]}
        assert check(health=HealthPolicy(), api=OLD) is None

    @pytest.mark.parametrize("written", [{"test": ["curl", "x"]}, {"test": []}, {"tets": "x"}])
    def test_that_makes_no_sense_is_refused(self, written: dict[str, Any]) -> None:
        """A test Docker would misread is refused by name."""
        with pytest.raises(SpecRefused, match=r"^web: healthcheck: "):
            check(healthcheck=written)


@pytest.mark.parametrize(
    ("key", "value", "field", "expected"),
    [
        ("cap_add", ["NET_ADMIN"], "CapAdd", ["NET_ADMIN"]),
        ("cpus", "0.5", "NanoCpus", 500_000_000),
        ("dns", "9.9.9.9", "Dns", ["9.9.9.9"]),
        ("extra_hosts", ["a:1.2.3.4", "b=::1"], "ExtraHosts", ["a:1.2.3.4", "b:::1"]),
        ("extra_hosts", {"a": "host-gateway"}, "ExtraHosts", ["a:host-gateway"]),
        ("extra_hosts", {"a": ["1.2.3.4", "[::1]"]}, "ExtraHosts", ["a:1.2.3.4", "a:::1"]),
        ("group_add", ["mail", 44], "GroupAdd", ["mail", "44"]),
        ("init", True, "Init", True),
        ("ipc", "host", "IpcMode", "host"),
        ("mem_limit", "512m", "Memory", 512 * 1024**2),
        ("pid", "host", "PidMode", "host"),
        ("privileged", True, "Privileged", True),
        ("read_only", True, "ReadonlyRootfs", True),
        ("restart", "always", "RestartPolicy", {"Name": "always"}),
        ("restart", False, "RestartPolicy", {"Name": "no"}),
        ("restart", "on-failure:3", "RestartPolicy", THRICE),
        ("security_opt", ["no-new-privileges"], "SecurityOpt", ["no-new-privileges"]),
        ("shm_size", "1gb", "ShmSize", 1024**3),
        ("sysctls", {"net.core.somaxconn": 1024}, "Sysctls", {"net.core.somaxconn": "1024"}),
        ("sysctls", ["a=b"], "Sysctls", {"a": "b"}),
        ("ulimits", {"nproc": 9}, "Ulimits", [{"Name": "nproc", "Soft": 9, "Hard": 9}]),
        (
            "ulimits",
            {"n": {"soft": 1, "hard": 2}},
            "Ulimits",
            [{"Name": "n", "Soft": 1, "Hard": 2}],
        ),
        (
            "logging",
            {"driver": "json-file", "options": {"max-size": "10m", "max-file": 3}},
            "LogConfig",
            {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
        ),
        (
            "devices",
            ["/dev/fuse", "/dev/a:/dev/b:r"],
            "Devices",
            [device("/dev/fuse", "/dev/fuse"), device("/dev/a", "/dev/b", "r")],
        ),
        (
            "devices",
            ["vendor.com/gpu=all"],
            "DeviceRequests",
            [{"Driver": "cdi", "DeviceIDs": ["vendor.com/gpu=all"]}],
        ),
        ("devices", [{"source": "/dev/a", "target": "/dev/b"}], "DeviceRequests", []),
    ],
)
def test_a_setting_of_the_host_is_put_where_docker_wants_it(
    key: str, value: Any, field: str, expected: Any
) -> None:
    """Each key of Compose reaches Docker under Docker's own name."""
    assert host(**{key: value})[field] == expected


@pytest.mark.parametrize(
    ("key", "value", "field", "expected"),
    [
        ("hostname", "web", "Hostname", "web"),
        ("stop_grace_period", "1m30s", "StopTimeout", 90),
        ("stop_grace_period", "1500ms", "StopTimeout", 2),
        ("stop_grace_period", 20, "StopTimeout", 20),
        ("stop_signal", "SIGQUIT", "StopSignal", "SIGQUIT"),
        ("tty", True, "Tty", True),
        ("user", 1000, "User", "1000"),
        ("working_dir", "/srv", "WorkingDir", "/srv"),
        (
            "expose",
            [80, "53/udp", "90-91"],
            "ExposedPorts",
            {"8000/tcp": {}, "80/tcp": {}, "53/udp": {}, "90/tcp": {}, "91/tcp": {}},
        ),
    ],
)
def test_a_setting_of_the_process_is_put_where_docker_wants_it(
    key: str, value: Any, field: str, expected: Any
) -> None:
    """Each key of Compose reaches Docker under Docker's own name."""
    assert body(**{key: value})[field] == expected


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"mem_limit": "lots"}, "web: mem_limit: 'lots' is not a size; write it like 512m"),
            ({"cpus": "half"}, "web: cpus: 'half' is not a number of CPUs"),
            ({"stop_grace_period": "soon"}, "'soon' is not a duration; write it like 1m30s"),
            ({"restart": "maybe"}, "'maybe' is none of no, always, on-failure, unless-stopped"),
            ({"ulimits": {"nofile": {"soft": 1}}}, "web: ulimits: 'hard' is missing"),
            ({"logging": "json-file"}, "web: logging: expected a mapping"),
            ({"expose": ["http"]}, "web: expose: "),
            ({"user": ["a"]}, "web: user: expected one value"),
            ({"ports": ["80:80"]}, "web: 'ports' is not supported"),
        ],
    )
    def test_name_the_app_the_key_and_what_would_work(
        self, settings: dict[str, Any], words: str
    ) -> None:
        """A mistake is refused before Docker is asked, in words that help."""
        with pytest.raises(SpecRefused, match=words):
            check_settings(app(**settings))

    def test_spare_what_docker_can_judge_itself(self) -> None:
        """Values Docker knows better than we do are left to it."""
        check_settings(app(cap_add=["NOPE"], platform="plan9/mips"))


def test_a_platform_is_asked_for_beside_the_body() -> None:
    """The platform is a parameter of the request, not part of its body."""
    assert made(platform="linux/arm64").platform == "linux/arm64"


def test_no_supported_key_is_without_effect() -> None:
    """Every key that is promised changes what Docker is asked for."""
    examples: dict[str, Any] = {
        "annotations": {"a": "1"},
        "blkio_config": {"weight": 300},
        "configs": [{"source": "a", "target": "/a", "digest": "1"}],
        "deploy": {"resources": {"limits": {"cpus": 1}}},
        "environment": {"A": "1"},
        "expose": [1],
        "extra_hosts": ["a:1.2.3.4"],
        "gpus": "all",
        "healthcheck": {"test": "true"},
        "labels": {"a": "1"},
        "logging": {"driver": "none"},
        "networks": ["db"],
        "restart": "no",
        "secrets": [{"source": "a", "target": "/run/secrets/a", "digest": "1"}],
        "storage_opt": {"size": "1G"},
        "sysctls": {"a": "1"},
        "ulimits": {"nofile": 1},
        "volumes": ["a:/b"],
    }
    texts = {"cgroup", "cgroup_parent", "command", "cpuset", "domainname", "entrypoint", "hostname"}
    texts |= {"ipc", "pid", "platform", "runtime", "stop_signal", "user", "userns_mode", "uts"}
    texts |= {"working_dir"}
    numbers = {"cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpu_shares", "cpus"}
    numbers |= {"mem_limit", "mem_reservation", "mem_swappiness", "memswap_limit", "oom_score_adj"}
    numbers |= {"pids_limit", "shm_size", "stop_grace_period"}
    examples |= dict.fromkeys(texts, "x") | dict.fromkeys(numbers, 1)

    for key in SUPPORTED_KEYS:
        assert made(**{key: examples.get(key, ["x"])}) != made(), key
