"""What the runtime needs of images: those of this machine, and the registries they come from.

Apart from the other ports because images are nobody's alone: apps share them, and most of a machine
belong to others. Every method may raise the errors its docstring names and no others. Pure.
"""

from __future__ import annotations

from typing import Protocol

from traefik_bg.core.observation import PullProgress


class Images(Protocol):
    """The images on this machine."""

    async def has(self, image: str) -> bool:
        """Tell whether the image is on this machine.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        ...

    async def digest(self, image_id: str) -> str:
        """Return where an image of this machine can be had again; empty: nowhere.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        ...

    async def pull(self, image: str) -> None:
        """Bring the image here.

        Raises:
            EngineUnavailable: Docker or the registry did not answer.
            ImageNotFound: there is no such image.
            ImageDenied: the registry wants a login.
        """
        ...

    def progress(self, image: str) -> PullProgress | None:
        """Return how much of an image has come that is being pulled; None: nobody has said."""
        ...


class ImageShelf(Images, Protocol):
    """All images on this machine, whosever they are."""

    async def ids(self) -> frozenset[str]:
        """Return the IDs of all images on this machine.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        ...

    async def used(self) -> frozenset[str]:
        """Return the IDs of the images that containers have, anybody's, whatever their state.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        ...

    async def image_id(self, image: str) -> str:
        """Return Docker's ID of an image on this machine; empty: it is not here.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        ...

    async def remove_image(self, image_id: str, names: frozenset[str]) -> None:
        """Remove an image that nobody has come to use beside us; gone is fine.

        `names` are those it was pulled under.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been removed.
            Conflict: somebody uses it: a container, or another name.
        """
        ...


class Registry(Protocol):
    """Where images come from, asked through Docker, which knows how to reach it."""

    async def tag_digest(self, image: str) -> str:
        """Return the digest that an image's tag means in its registry now.

        Raises:
            EngineUnavailable: Docker or the registry did not answer.
            ImageNotFound: there is no such image.
            ImageDenied: the registry wants a login.
        """
        ...

    async def known_digests(self, image: str) -> frozenset[str]:
        """Return under which digests registries know an image of this machine.

        None of them when it is not here, or was never in a registry.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        ...
