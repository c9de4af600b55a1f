"""What a tag means, as a change of the spec."""

from __future__ import annotations

from dataclasses import replace

from tests.core.build import app
from traefik_bg.core.tags import KnownTag, known, why_not_followed, with_tag

SPEC = app("acme/web:latest")
TAG = KnownTag(image="acme/web:latest", digest="sha256:d1", is_pinned=True)


def test_what_a_tag_means_is_written_into_the_image() -> None:
    """That is another revision, and another spec to be rejected."""
    made = with_tag(SPEC, TAG)
    assert made == replace(SPEC, image="acme/web:latest@sha256:d1")
    assert made.revision != SPEC.revision
    assert made.digest != SPEC.digest


def test_what_is_known_of_another_name_says_nothing() -> None:
    """Nor does what the bare tag runs anyway, nor nothing."""
    assert with_tag(SPEC, replace(TAG, image="acme/web:next")) is SPEC
    assert with_tag(SPEC, replace(TAG, is_pinned=False)) is SPEC
    assert with_tag(SPEC, None) is SPEC


def test_a_bare_tag_that_runs_just_that_stays_bare() -> None:
    """It would be deployed anew for nothing."""
    assert known("web:1", "sha256:d1", {"sha256:d1", "sha256:d0"}).is_pinned is False
    assert known("web:1", "sha256:d2", {"sha256:d1"}).is_pinned is True
    assert known("web:1", "sha256:d2", ()).is_pinned is True


def test_a_digest_cannot_be_followed() -> None:
    """It never moves. A name without a tag has the tag latest."""
    assert "never moves" in str(why_not_followed("acme/web@sha256:d1"))
    assert "never moves" in str(why_not_followed("acme/web:1@sha256:d1"))
    assert why_not_followed("localhost:5000/web") is None
