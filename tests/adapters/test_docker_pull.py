"""What Docker says while it pulls, added up."""

from __future__ import annotations

from typing import Any

from traefik_bg.adapters.docker_pull import Layers
from traefik_bg.core.observation import PullProgress


def heard(*lines: tuple[str, str] | tuple[str, str, int, int]) -> PullProgress | None:
    """Return the progress after these lines: status, layer, and bytes of how many."""
    layers = Layers()
    for status, layer, *amount in lines:
        said: dict[str, Any] = {"status": status, "id": layer}
        if amount:
            said["progressDetail"] = {"current": amount[0], "total": amount[1]}
        layers.hear(said)
    return layers.progress


def test_nothing_is_said_before_docker_has_said_a_size() -> None:
    """Neither of an image whose layers are all here."""
    assert heard() is None
    assert heard(("Pulling fs layer", "a")) is None
    assert heard(("Already exists", "a"), ("Already exists", "b")) is None


def test_layers_of_which_no_size_is_known_make_the_whole_a_lower_bound() -> None:
    """Docker tells a layer's size when it begins with it, and begins with three."""
    awaited = ("Pulling fs layer", "a"), ("Pulling fs layer", "b")
    assert heard(*awaited, ("Downloading", "a", 2, 10)) == PullProgress(
        done=2, total=10, is_whole=False
    )
    begun = (*awaited, ("Downloading", "a", 2, 10), ("Downloading", "b", 1, 5))
    assert heard(*begun) == PullProgress(done=3, total=15)


def test_a_layer_that_is_complete_has_all_its_bytes() -> None:
    """Also when it came too fast for Docker to count."""
    said = ("Downloading", "a", 4, 10), ("Download complete", "a"), ("Pull complete", "b")
    assert heard(*said) == PullProgress(done=10, total=10)


def test_a_size_that_docker_does_not_know_is_none() -> None:
    """A registry may leave it out: Docker says -1 then, or 0."""
    assert heard(("Downloading", "a", 4, -1), ("Downloading", "b", 4, 0)) is None


def test_progress_is_said_in_whole_megabytes() -> None:
    """So that a sentence about it stays of one kind, and is told once."""
    assert PullProgress(done=34_400_000, total=120_000_000).sentence == "34 of 120 MB"
    some = PullProgress(done=34_400_000, total=120_000_000, is_whole=False)
    assert some.sentence == "34 of at least 120 MB"
    assert PullProgress(done=10, total=20).sentence == "0 of 1 MB"
    assert PullProgress(done=999_999, total=1_000_001).sentence == "1 of 1 MB"
    assert PullProgress(done=9, total=9).sentence == "all of 1 MB is here, unpacking"
