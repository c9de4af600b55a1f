"""What a container mounts, given Compose's `volumes` and `tmpfs`."""

from __future__ import annotations

from typing import Any

import pytest

from traefik_bg.adapters.docker_mounts import mounting, tmpfs


class TestShortForm:
    @pytest.mark.parametrize("volume", ["data:/data", "/srv/x:/x:ro", "data:/data:nocopy"])
    def test_is_dockers_own_notation(self, volume: str) -> None:
        """Named volumes and host folders go to Docker as they are written."""
        assert mounting([volume]).binds == [volume]

    def test_without_a_source_is_anonymous(self) -> None:
        """A bare path is a volume of the container's own."""
        assert mounting(["/cache"]).anonymous == {"/cache": {}}

    @pytest.mark.parametrize("source", ["./data", "~/data", "."])
    def test_relative_to_a_file_is_refused(self, source: str) -> None:
        """A relative folder means nothing to a service; the message says what would work."""
        with pytest.raises(ValueError, match="absolute path"):
            mounting([f"{source}:/data"])


class TestLongForm:
    def test_makes_missing_host_folders_unless_told_not_to(self) -> None:
        """A bind makes the host's folder as Compose does, and only then may it be missing."""
        bind = {"type": "bind", "source": "/srv/x", "target": "/x", "read_only": True}
        strict = bind | {"bind": {"create_host_path": False, "propagation": "rslave"}}

        assert mounting([bind]).binds == ["/srv/x:/x:ro"]
        assert mounting([bind | {"bind": {"selinux": "z"}}]).binds == ["/srv/x:/x:ro,z"]
        assert mounting([strict]).mounts == [
            {
                "Type": "bind",
                "Source": "/srv/x",
                "Target": "/x",
                "ReadOnly": True,
                "BindOptions": {"Propagation": "rslave"},
            }
        ]

    def test_may_be_named_or_in_memory(self) -> None:
        """Named volumes and memory file systems keep their options."""
        named = {
            "type": "volume",
            "source": "data",
            "target": "/data",
            "volume": {"nocopy": True, "subpath": "a"},
        }
        memory = {"type": "tmpfs", "target": "/run", "tmpfs": {"size": "64m", "mode": 1023}}

        assert mounting([named, memory]).mounts == [
            {
                "Type": "volume",
                "Source": "data",
                "Target": "/data",
                "VolumeOptions": {"NoCopy": True, "Subpath": "a"},
            },
            {
                "Type": "tmpfs",
                "Target": "/run",
                "TmpfsOptions": {"SizeBytes": 64 * 1024**2, "Mode": 1023},
            },
        ]

    def test_needs_no_options(self) -> None:
        """What is not said is Docker's to decide."""
        bare = [{"type": "volume", "target": "/a"}, {"type": "tmpfs", "target": "/b"}]

        assert mounting(bare).mounts == [
            {"Type": "volume", "Target": "/a"},
            {"Type": "tmpfs", "Target": "/b"},
        ]

    @pytest.mark.parametrize(
        ("volume", "words"),
        [
            ({"type": "npipe", "target": "/x"}, "type must be one of"),
            ({"type": "bind", "source": "/x"}, "needs a target"),
            ({"type": "bind", "source": "./x", "target": "/x"}, "absolute path"),
            ({"type": "volume", "target": "/x", "sorce": "y"}, "'sorce' is not supported"),
        ],
    )
    def test_that_makes_no_sense_is_refused(self, volume: dict[str, Any], words: str) -> None:
        """A mistake is named, not passed on."""
        with pytest.raises(ValueError, match=words):
            mounting([volume])


def test_volumes_must_be_a_list() -> None:
    """Anything but a list is refused."""
    with pytest.raises(TypeError, match="expected a list"):
        mounting("data:/data")


def test_memory_has_a_short_form_of_its_own() -> None:
    """`tmpfs` takes one path or several, with or without options."""
    assert tmpfs("/run") == {"/run": ""}
    assert tmpfs(["/run:size=64m", "/tmp"]) == {"/run": "size=64m", "/tmp": ""}
