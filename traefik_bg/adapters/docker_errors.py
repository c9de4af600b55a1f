"""Says in this project's words what Docker and docker-py refused, and whether it may pass.

Apart from the calls because Docker's status codes alone do not tell: a start that fails for a
missing executable, a taken port or a full disk answers 500 in all three cases, so the text decides.
No message repeats what could be secret.
"""

from __future__ import annotations

import re

import requests
from docker.errors import APIError
from docker.utils import parse_repository_tag

from traefik_bg.core.errors import (
    Conflict,
    EngineUnavailable,
    ImageDenied,
    ImageNotFound,
    SpecRefused,
    TraefikBgError,
)

# What the machine lacks now and may have again: trying later can help.
_PASSING = {
    "no space left on device": "the disk of Docker's machine is full; free some space there",
    "disk quota exceeded": "the disk quota of Docker's machine is used up",
    "cannot allocate memory": "Docker's machine is out of memory",
    "too many open files": "Docker's machine is out of file handles",
    "resource temporarily unavailable": "Docker's machine is out of processes or memory",
    "no available ipv4 addresses": "the network has no free address left",
    "containerd.sock": "Docker cannot reach containerd",
    "ttrpc: closed": "containerd went away meanwhile",
    "transport is closing": "containerd went away meanwhile",
    "context deadline exceeded": "Docker took too long",
    "context canceled": "Docker gave up meanwhile",
}

# Wrappings that runc, containerd and Docker put around the one sentence that matters.
_WRAPPINGS = re.compile(
    r"^(?:failed to create task for container|failed to create shim task|failed to start shim"
    r"|OCI runtime (?:create|start) failed|runc (?:create|run|start) failed"
    r"|unable to start container process|container_linux\.go:\d+|process_linux\.go:\d+"
    r"|starting container process caused|error during container init"
    r"|rpc error|code = \w+ desc = [^:]*"
    r"|driver failed programming external connectivity on endpoint [^:]*"
    r"|Error response from daemon)\s*:\s*"
)

_DENIED = ("unauthorized", "denied", "no basic auth", "authentication required", "forbidden")
_ABSENT = (
    "not found",
    "manifest unknown",
    "name unknown",
    "does not exist",
    "no matching manifest",
)
_INVALID = ("invalid reference format", "invalid tag format", "invalid repository name")
_UNREACHED = (
    "dial tcp",
    "lookup ",
    "timeout",
    "timed out",
    "connection re",
    "no route to host",
    "eof",
)


def spoken(error: APIError) -> str:
    """Return Docker's own words, without the wrappings."""
    words = " ".join(str(error.explanation or "").split())
    while (shorter := _WRAPPINGS.sub("", words)) != words:
        words = shorter
    return (
        words.removesuffix(": unknown").replace(": unknown: ", ": ") or f"HTTP {error.status_code}"
    )


def unanswered(error: BaseException, url: str) -> EngineUnavailable:
    """Return the error for a call that brought no answer, or none that makes sense."""
    return EngineUnavailable(f"Docker does not answer at {url}: {_cause(error)}")


def unexpected(error: APIError, doing: str) -> TraefikBgError:
    """Return the error for an answer that says nothing about what was asked for."""
    passing = _passing(spoken(error))
    return EngineUnavailable(f"Docker could not {doing}: {passing or spoken(error)}")


def refused_creation(error: APIError, name: str, image: str) -> TraefikBgError:
    """Return what it means that a container could not be created."""
    words = spoken(error)
    if "no such image" in words.lower():
        return ImageNotFound(f"image {image} is not on this machine")
    return _refused(error, f"create {name}", words)


def refused_start(error: APIError, name: str) -> TraefikBgError:
    """Return what it means that a container could not be started."""
    words = spoken(error)
    if is_gone(error) or "marked for removal" in words:
        return Conflict(f"{name} is gone")
    return _refused(error, f"start {name}", words)


def refused_pull(words: str, image: str, registry: str, *, doing: str = "pulled") -> TraefikBgError:
    """Return what it means that an image could not be pulled; `words` are Docker's."""
    lower = words.lower()
    for name in (image, parse_repository_tag(image)[0]):
        lower = lower.replace(name.lower(), "")  # an image may be called anything, even "timeout"
    login = "docker login" if registry == "docker.io" else f"docker login {registry}"
    if any(sign in lower for sign in _INVALID):
        return ImageNotFound(f"{image!r} cannot name an image: {words}")
    if any(sign in lower for sign in _DENIED):
        return ImageDenied(
            f"the registry refuses image {image}: it needs a login or does not exist there;"
            f" log in with `{login}` as the user this service runs as ({words})"
        )
    if any(sign in lower for sign in _UNREACHED):
        return EngineUnavailable(f"image {image} could not be {doing} now: {words}")
    if any(sign in lower for sign in _ABSENT):
        return ImageNotFound(f"image {image} is not in its registry: {words}")
    passing = _passing(words)
    return EngineUnavailable(f"image {image} could not be {doing} now: {passing or words}")


def is_gone(error: APIError) -> bool:
    """Tell whether the container that was asked about does not exist."""
    return error.status_code == requests.codes.not_found and "no such container" in (
        spoken(error).lower()
    )


def is_name_taken(error: APIError) -> bool:
    """Tell whether a container could not be created because its name is in use."""
    return error.status_code == requests.codes.conflict and "already in use" in spoken(error)


def _refused(error: APIError, doing: str, words: str) -> TraefikBgError:
    if (passing := _passing(words)) or error.status_code == requests.codes.unavailable:
        return EngineUnavailable(f"Docker could not {doing}: {passing or words}")
    return SpecRefused(f"Docker could not {doing}: {words}")


def _passing(words: str) -> str | None:
    """Return a clear sentence for a want that may pass; None for all that will not."""
    lower = words.lower()
    return next((meaning for sign, meaning in _PASSING.items() if sign in lower), None)


def _cause(error: BaseException) -> str:
    """Return the innermost reason in a few words; libraries wrap it four deep."""
    for reason in _reasons(error):
        match reason:
            case FileNotFoundError():
                return "there is no such socket; is the Docker daemon running?"
            case PermissionError():
                return "permission denied; run as root or as a member of the group docker"
            case ConnectionRefusedError():
                return "connection refused; is the Docker daemon running?"
            case TimeoutError() | requests.exceptions.Timeout():
                return "no answer in time"
            case ConnectionError():
                return "the connection broke off"
    return str(error) or type(error).__name__


def _reasons(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        inner = [item for item in error.args if isinstance(item, BaseException)]
        error = error.__cause__ or error.__context__ or next(iter(inner), None)
    return found
