"""The images on Docker's machine, and the registries they come from.

Implements the ports `Images` and `Registry`. Apart from the engine because images are nobody's:
they have no instance, no life and no name that stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import requests
from docker import APIClient
from docker.errors import APIError

from traefik_bg.adapters.docker_connection import ASK_TIMEOUT, Connection
from traefik_bg.adapters.docker_errors import unexpected
from traefik_bg.adapters.docker_pull import REGISTRY_TIMEOUT, pull_image, tag_digest
from traefik_bg.core.observation import PullProgress

T = TypeVar("T")


class DockerImages:
    """Looks for images, and brings them here."""

    def __init__(self, docker: Connection) -> None:
        self._docker = docker
        self._pulls: dict[str, PullProgress] = {}

    async def has(self, image: str) -> bool:
        """Tell whether the image is on this machine.

        Raises:
            EngineUnavailable: Docker did not answer.
        """
        try:
            await self._ask(lambda docker: docker.inspect_image(image))  # type: ignore[no-untyped-call]
        except APIError as error:
            if error.status_code in {requests.codes.not_found, requests.codes.bad_request}:
                return False
            raise unexpected(error, f"look for image {image}") from error
        return True

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
        try:
            found = await self._ask(lambda docker: docker.inspect_image(image))  # type: ignore[no-untyped-call]
        except APIError as error:
            if error.status_code in {requests.codes.not_found, requests.codes.bad_request}:
                return []
            raise unexpected(error, f"inspect image {image}") from error
        return [str(digest) for digest in found.get("RepoDigests") or ()]

    async def _ask(self, ask: Callable[[APIClient], T]) -> T:
        return await self._docker.call(ask, within=ASK_TIMEOUT)
