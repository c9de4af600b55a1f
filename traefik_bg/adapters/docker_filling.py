"""Puts secrets and configs into a container that has not been started yet.

Apart from the engine because it is a step of its own, with a question of its own: where is the
content? In the vault, as long as the desired state names it or did so since this process began;
else in another replica of the app that holds the same. A container that was never started is
filled at each attempt to start it, so that a crash in between leaves none unfilled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import requests
from docker import APIClient
from docker.errors import APIError

from traefik_bg.adapters.docker_connection import ACT_TIMEOUT, ASK_TIMEOUT, Connection
from traefik_bg.adapters.docker_contents import (
    Content,
    content_digest,
    labelled,
    parcels,
    unpacked,
)
from traefik_bg.adapters.docker_errors import refused_start, unexpected
from traefik_bg.adapters.docker_settings import APP_LABEL, INSTANCE_LABEL
from traefik_bg.adapters.vault import Vault
from traefik_bg.core.errors import SpecRefused
from traefik_bg.core.model import ReplicaName

_Description = Mapping[str, Any]


class Filling:
    """Knows where contents are, and puts them where they belong."""

    def __init__(self, docker: Connection, instance: str, vault: Vault) -> None:
        self._docker = docker
        self._instance = instance
        self._vault = vault

    async def fill(self, name: ReplicaName, found: _Description) -> None:
        """Put into our container what its label says, unless it has run already.

        Raises:
            EngineUnavailable: Docker did not answer.
            SpecRefused: a content is not to be had, or cannot be put in.
            Conflict: the container is gone.
        """
        wanted = labelled(found["Config"].get("Labels") or {})
        if not wanted or found["State"].get("Status") != "created":
            return
        held = await self.held(found["Config"]["Labels"][APP_LABEL], wanted)
        volumes = {mount["Destination"] for mount in found.get("Mounts") or ()}
        container_id = found["Id"]

        def put(docker: APIClient) -> None:
            for parcel in parcels(wanted, held, volumes):
                docker.put_archive(container_id, parcel.folder, parcel.archive)

        try:
            await self._docker.call(put, within=ACT_TIMEOUT)
        except APIError as error:
            raise refused_start(error, name) from error

    async def held(self, app: str, wanted: Iterable[Content]) -> Mapping[str, bytes]:
        """Return all these contents by digest.

        Raises:
            EngineUnavailable: Docker did not answer.
            SpecRefused: one is not to be had any more.
        """
        made: dict[str, bytes] = {}
        for content in wanted:
            if content.digest in made:
                continue
            found = self._vault.content(content.digest)
            if found is None:
                found = await self._of_another(app, content)
            if found is None:
                raise SpecRefused(
                    f"{app}: what {content.name} held when this version was written is not to be "
                    "had any more: it has changed since, and no replica holds it; change it back "
                    "where it comes from, or deploy a new version"
                )
            made[content.digest] = found
        return made

    async def _of_another(self, app: str, wanted: Content) -> bytes | None:
        """Return the content from a replica that holds it, if its digest is right."""
        labels = [f"{INSTANCE_LABEL}={self._instance}", f"{APP_LABEL}={app}"]

        def ask(docker: APIClient) -> bytes | None:
            rows = docker.containers(all=True, filters={"label": labels})
            for row in rows:
                for content in labelled(row["Labels"] or {}):
                    if content.digest == wanted.digest:
                        found = _content_in(docker, row["Id"], content.target)
                        if found is not None and content_digest(found) == wanted.digest:
                            return found
            return None

        try:
            return await self._docker.call(ask, within=ASK_TIMEOUT)
        except APIError as error:
            raise unexpected(error, f"look for replicas of {app}") from error


def _content_in(docker: APIClient, container_id: str, target: str) -> bytes | None:
    try:
        chunks, _ = docker.get_archive(container_id, target)
        return unpacked(b"".join(chunks))
    except APIError as error:
        if error.status_code == requests.codes.not_found:
            return None  # never filled, or gone meanwhile
        raise
