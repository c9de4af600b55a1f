"""What a tag means now: where the desired state follows one, the content it means is written in.

A spec with its image named `name:tag@sha256:…` is another spec than the one with the bare tag, so
revisions, rejections, history and rollback work for a tag that moves as they do for an edit. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from traefik_bg.core.model import AppSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTag:
    """What the tag of an app's image meant when its registry last said so."""

    image: str
    """As the desired state names it; another name there makes this worth nothing."""
    digest: str
    """Such as `sha256:…`."""
    is_pinned: bool
    """Whether it is written into the spec. Not where the bare tag runs just that: it would be
    deployed anew for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagStatus:
    """What people may know of a tag that is followed."""

    image: str
    digest: str = ""
    """Empty: nobody has said yet."""
    every: float | None = None
    """Seconds between two questions; None: it is asked only when somebody says so."""
    asked_at: float | None = None
    """The loop's time of the last answer; None: there has been none in this life."""
    trouble: str | None = None
    """Why the last question had no answer."""


def why_not_followed(image: str) -> str | None:
    """Return why there is no tag to follow; None: there is."""
    if "@" in image:
        return f"{image} names a digest, and that never moves; name a tag to follow it"
    return None


def known(image: str, digest: str, plain: Collection[str]) -> KnownTag:
    """Return what is to be known of a tag; `plain` are the digests of what the bare tag runs."""
    return KnownTag(image=image, digest=digest, is_pinned=digest not in plain)


def with_tag(spec: AppSpec, tag: KnownTag | None) -> AppSpec:
    """Return the spec with the content its tag means, as far as that is known."""
    if tag is None or not tag.is_pinned or tag.image != spec.image:
        return spec
    return replace(spec, image=f"{spec.image}@{tag.digest}")
