"""The images on Docker's machine, and the registries they come from.

Implements the ports `ImageShelf` and `Registry`. Apart from the engine because images are nobody's:
they have no instance, no life and no name that stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import requests
from docker import APIClient
from docker.errors import APIError

from traefik_bg.adapters.docker_connection import ACT_TIMEOUT, ASK_TIMEOUT, Connection
from traefik_bg.adapters.docker_errors import spoken, unexpected
from traefik_bg.adapters.docker_pull import REGISTRY_TIMEOUT, familiar, pull_image, tag_digest
from traefik_bg.core.errors import Conflict
from traefik_bg.core.observation import PullProgress

T = TypeVar("T")


class DockerImages:
    """Looks for images, brings them here and removes them."""

    def __init__(self, docker: Connection) -> None:
        self._docker = docker
        self._pulls: dict[str, PullProgress] = {}

    async def has(self, image: str) -> bool:
        """Tell whether the image is on this machine.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        return await self._inspected(image) is not None

    async def digest(self, image_id: str) -> str:
        """Return where an image of this machine can be had again; empty: nowhere.

        An image that was built here, and never pushed, has no digest; one that is gone has none
        either.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        return min(await self._names(image_id), default="")

    async def pull(self, image: str) -> None:
        """Bring the image here.

        Raises:
            EngineUnavailable: Docker or the registry did not answer.
            ImageNotFound: there is no such image.
            ImageDenied: the registry wants a login.
        """

        def tell(progress: PullProgress) -> None:
            self._pulls[image] = progress  # from the thread that pulls

        try:
            await self._docker.call(
                lambda docker: pull_image(docker, image, tell), within=None, is_slow=True
            )
        finally:
            self._pulls.pop(image, None)

    def progress(self, image: str) -> PullProgress | None:
        """Return how much of an image has come that is being pulled; None: nobody has said."""
        return self._pulls.get(image)

    # --- what there is ----------------------------------------------------------------------------

    async def ids(self) -> frozenset[str]:
        """Return the IDs of all images on this machine.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        return frozenset(image["Id"] for image in await self._listed(lambda d: d.images()))

    async def used(self) -> frozenset[str]:
        """Return the IDs of the images that containers have, anybody's, whatever their state.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        found = await self._listed(lambda docker: docker.containers(all=True))
        return frozenset(container["ImageID"] for container in found)

    async def image_id(self, image: str) -> str:
        """Return Docker's ID of an image on this machine; empty: it is not here.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        found = await self._inspected(image)
        return "" if found is None else str(found["Id"])

    async def remove_image(self, image_id: str, names: frozenset[str]) -> None:
        """Remove an image that nobody has come to use beside us; gone is fine.

        By its ID: a name can come to mean something else at any moment.

        Raises:
            EngineUnavailable: Docker did not answer; it may have been removed.
            Conflict: somebody uses it: a container, or another name.
        """
        found = await self._inspected(image_id)
        if found is None:
            return
        others = set(found.get("RepoTags") or ()) - set(map(familiar, names))
        if others:
            raise Conflict(f"it is also called {', '.join(sorted(others))}")
        try:
            await self._docker.call(
                lambda docker: docker.remove_image(image_id), within=ACT_TIMEOUT, is_slow=True
            )
        except APIError as error:
            if error.status_code == requests.codes.not_found:
                return
            if error.status_code == requests.codes.conflict:
                raise Conflict(spoken(error)) from error
            raise unexpected(error, f"remove image {image_id}") from error

    async def _listed(self, ask: Callable[[APIClient], Any]) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = await self._ask(ask)
        except APIError as error:
            raise unexpected(error, "list what it has") from error
        return found

    # --- registries -------------------------------------------------------------------------------

    async def tag_digest(self, image: str) -> str:
        """Return the digest that an image's tag means in its registry now.

        Raises:
            EngineUnavailable: Docker or the registry did not answer.
            ImageNotFound: there is no such image.
            ImageDenied: the registry wants a login.
        """
        return await self._docker.call(
            lambda docker: tag_digest(docker, image), within=REGISTRY_TIMEOUT, is_slow=True
        )

    async def known_digests(self, image: str) -> frozenset[str]:
        """Return under which digests registries know an image of this machine.

        None of them when it is not here, or was never in a registry.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        return frozenset(digest.partition("@")[2] for digest in await self._names(image))

    async def _names(self, image: str) -> list[str]:
        """Return where an image of this machine can be had, by digest."""
        found = await self._inspected(image) or {}
        return [str(digest) for digest in found.get("RepoDigests") or ()]

    async def _inspected(self, image: str) -> dict[str, Any] | None:
        """Return Docker's description of an image; None: it is not here."""
        try:
            found: dict[str, Any] = await self._ask(lambda docker: docker.inspect_image(image))  # type: ignore[no-untyped-call]
        except APIError as error:
            if error.status_code in {requests.codes.not_found, requests.codes.bad_request}:
                return None
            raise unexpected(error, f"look for image {image}") from error
        return found

    async def _ask(self, ask: Callable[[APIClient], T]) -> T:
        return await self._docker.call(ask, within=ASK_TIMEOUT)
