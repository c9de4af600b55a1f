"""Pulls images, and says what a registry's no means.

Apart from the other questions because a pull is a conversation of its own: it takes minutes,
reports its failures inside a stream that began with "200 OK", and needs the login of the registry.
Blocking; it is called in a thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests
from docker import APIClient, auth
from docker.errors import DockerException
from docker.utils import parse_repository_tag

from traefik_bg.adapters.docker_connection import ASK_TIMEOUT
from traefik_bg.adapters.docker_errors import refused_pull
from traefik_bg.core.errors import ImageDenied, ImageNotFound
from traefik_bg.core.observation import PullProgress

REGISTRY_TIMEOUT = 30.0  # for an answer of a few bytes; Docker itself waits 15 s for a connection
IDLE_TIMEOUT = 300.0  # without a word of progress; unpacking one huge layer can be that quiet


class Layers:
    """Adds up what Docker says of each layer while it pulls an image."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._awaited: set[str] = set()
        """Layers that are not here, of which the size is not known yet."""

    def hear(self, line: Mapping[str, Any]) -> None:
        """Take in one line of what Docker says."""
        layer, detail = str(line.get("id", "")), line.get("progressDetail") or {}
        match line.get("status"):
            case "Pulling fs layer":
                self._awaited.add(layer)
            case "Downloading" if detail.get("total", 0) > 0:
                self._sizes[layer], self._done[layer] = detail["total"], detail.get("current", 0)
            case "Already exists":
                self._awaited.discard(layer)
            case "Download complete" | "Extracting" | "Pull complete":
                # A layer of a few bytes comes without a word about its size.
                self._done[layer] = self._sizes.setdefault(layer, 0)

    @property
    def progress(self) -> PullProgress | None:
        """How much has come; None: nothing has to, or no size is known yet."""
        if not any(self._sizes.values()):
            return None
        return PullProgress(
            done=sum(self._done.values()),
            total=sum(self._sizes.values()),
            is_whole=self._awaited <= self._sizes.keys(),
        )


Tell = Callable[[PullProgress], None]


def pull_image(client: APIClient, image: str, tell: Tell) -> None:
    """Bring the image to Docker's machine, and tell how much has come.

    Raises:
        EngineUnavailable: the registry did not answer.
        ImageNotFound: there is no such image.
        ImageDenied: the registry wants a login.
    """
    repository, tag = _parts(image)
    registry = _registry(repository)
    response = client.post(
        f"{client.base_url}/v{client.api_version}/images/create",
        params={"fromImage": repository, "tag": tag},
        headers=_login(client, image, registry),
        stream=True,
        timeout=(ASK_TIMEOUT, IDLE_TIMEOUT),
    )
    with response:
        if not response.ok:
            raise refused_pull(_words(response), image, registry)
        layers = Layers()
        for line in _progress(response):
            if words := line.get("error"):
                raise refused_pull(str(words), image, registry)
            layers.hear(line)
            if (progress := layers.progress) is not None:
                tell(progress)


def tag_digest(client: APIClient, image: str) -> str:
    """Return the digest that an image's tag means in its registry now.

    Raises:
        EngineUnavailable: the registry did not answer.
        ImageNotFound: there is no such image.
        ImageDenied: the registry wants a login.
    """
    repository, tag = _parts(image)
    registry = _registry(repository)
    response = client.get(
        f"{client.base_url}/v{client.api_version}/distribution/{repository}:{tag}/json",
        headers=_login(client, image, registry),
        timeout=(ASK_TIMEOUT, REGISTRY_TIMEOUT),
    )
    if not response.ok:
        raise refused_pull(_words(response), image, registry, doing="asked about")
    return str(response.json()["Descriptor"]["digest"])


def _parts(image: str) -> tuple[str, str]:
    """Return the name of an image without its tag, and the tag; a digest takes its place."""
    name, _, digest = image.partition("@")
    repository, tag = parse_repository_tag(name)
    return repository, digest or tag or "latest"


def familiar(image: str) -> str:
    """Return the name that Docker lists an image under that was pulled by this one."""
    repository, tag = _parts(image)
    for default in ("docker.io/", "index.docker.io/"):
        repository = repository.removeprefix(default)
    return f"{repository.removeprefix('library/')}:{tag}"


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
