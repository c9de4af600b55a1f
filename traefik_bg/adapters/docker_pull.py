"""Pulls images, and says what a registry's no means.

Apart from the engine because a pull is a conversation of its own: it takes minutes, reports its
failures inside a stream that began with "200 OK", and needs the login of the registry. Blocking;
the engine calls it in a thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import requests
from docker import APIClient, auth
from docker.errors import APIError, DockerException
from docker.utils import parse_repository_tag

from traefik_bg.adapters.docker_connection import ASK_TIMEOUT
from traefik_bg.adapters.docker_errors import refused_pull
from traefik_bg.core.errors import ImageDenied, ImageNotFound

IDLE_TIMEOUT = 300.0  # without a word of progress; unpacking one huge layer can be that quiet


def has_image(client: APIClient, image: str) -> bool:
    """Tell whether the image is on Docker's machine."""
    try:
        client.inspect_image(image)  # type: ignore[no-untyped-call]
    except APIError as error:
        if error.status_code in {requests.codes.not_found, requests.codes.bad_request}:
            return False
        raise
    return True


def image_digest(client: APIClient, image_id: str) -> str:
    """Return where an image can be had again, as `repository@sha256:…`; empty: nowhere.

    An image that was built here, and never pushed, has no digest; one that is gone has none either.
    """
    try:
        found = client.inspect_image(image_id)  # type: ignore[no-untyped-call]
    except APIError as error:
        if error.status_code == requests.codes.not_found:
            return ""
        raise
    return min((str(digest) for digest in found.get("RepoDigests") or ()), default="")


def pull_image(client: APIClient, image: str) -> None:
    """Bring the image to Docker's machine.

    Raises:
        EngineUnavailable: the registry did not answer.
        ImageNotFound: there is no such image.
        ImageDenied: the registry wants a login.
    """
    repository, tag = parse_repository_tag(image)
    registry = _registry(repository)
    response = client.post(
        f"{client.base_url}/v{client.api_version}/images/create",
        params={"fromImage": repository, "tag": tag or "latest"},
        headers=_login(client, image, registry),
        stream=True,
        timeout=(ASK_TIMEOUT, IDLE_TIMEOUT),
    )
    with response:
        if not response.ok:
            raise refused_pull(_words(response), image, registry)
        for line in _progress(response):
            if words := line.get("error"):
                raise refused_pull(str(words), image, registry)


def _registry(repository: str) -> str:
    try:
        return auth.resolve_repository_name(repository)[0]
    except DockerException as error:
        raise ImageNotFound(f"{repository!r} cannot name an image: {error}") from error


def _login(client: APIClient, image: str, registry: str) -> dict[str, bytes]:
    """Return the header with the registry's login, read anew: there may have been one since."""
    try:
        client.reload_config()
        header = auth.get_config_header(client, registry)
    except DockerException as error:
        raise ImageDenied(
            f"the login for image {image} cannot be read: the credential helper of"
            " ~/.docker/config.json does not work for the user this service runs as"
        ) from error
    return {"X-Registry-Auth": header} if header else {}


def _words(response: requests.Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return response.text.strip() or f"HTTP {response.status_code}"


def _progress(response: requests.Response) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in response.iter_lines() if line.strip())
