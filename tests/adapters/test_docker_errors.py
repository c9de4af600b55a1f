"""What Docker's refusals mean, in real sentences of Docker Engine and of registries."""

from __future__ import annotations

import pytest
import requests
from docker.errors import APIError

from traefik_bg.adapters.docker_errors import (
    refused_creation,
    refused_pull,
    refused_start,
    spoken,
    unanswered,
    unexpected,
)
from traefik_bg.core.errors import (
    Conflict,
    EngineUnavailable,
    ImageDenied,
    ImageNotFound,
    SpecRefused,
    TraefikBgError,
)

OCI = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed:"
    " runc create failed: unable to start container process: "
)
TAKEN = "Bind for 0.0.0.0:80 failed: port is already allocated"


def answer(status: int, words: str | None) -> APIError:
    response = requests.Response()
    response.status_code = status
    return APIError("", response=response, explanation=words)


@pytest.mark.parametrize(
    ("words", "cleaned"),
    [
        (
            OCI + 'exec: "nope": executable file not found in $PATH: unknown',
            'exec: "nope": executable file not found in $PATH',
        ),
        (
            "driver failed programming external connectivity on endpoint web-1 (0a2f): " + TAKEN,
            TAKEN,
        ),
        (OCI + "not a directory: unknown: Is it a file?", "not a directory: Is it a file?"),
        ("two\n lines", "two lines"),
        ("", "HTTP 500"),
        (None, "HTTP 500"),
    ],
)
def test_dockers_words_are_kept_without_their_wrappings(words: str | None, cleaned: str) -> None:
    """People are shown the one sentence that matters."""
    assert spoken(answer(500, words)) == cleaned


@pytest.mark.parametrize(
    ("status", "words", "kind", "part"),
    [
        (400, 'exec: "nope": executable file not found in $PATH', SpecRefused, "nope"),
        (500, "Bind for 0.0.0.0:80 failed: port is already allocated", SpecRefused, "0.0.0.0:80"),
        (500, 'error mounting "/a" to rootfs at "/b"', SpecRefused, "mounting"),
        (404, "network 4f2a not found", SpecRefused, "network 4f2a"),
        (404, "No such container: 1234", Conflict, "web-1 is gone"),
        (409, "container is marked for removal and cannot be started", Conflict, "web-1 is gone"),
        (500, "mkdir /x: no space left on device", EngineUnavailable, "disk .* is full"),
        (500, "fork/exec: cannot allocate memory", EngineUnavailable, "out of memory"),
        (500, "no available IPv4 addresses on this network", EngineUnavailable, "no free address"),
        (503, "engine is shutting down", EngineUnavailable, "shutting down"),
    ],
)
def test_a_start_is_refused_for_good_or_for_now(
    status: int, words: str, kind: type[TraefikBgError], part: str
) -> None:
    """What the machine lacks for the moment may be tried again; what the spec says may not."""
    with pytest.raises(kind, match=part):
        raise refused_start(answer(status, words), "web-1")


@pytest.mark.parametrize(
    ("status", "words", "kind", "part"),
    [
        (404, "No such image: acme/web:1", ImageNotFound, "image acme/web:1 is not on"),
        (400, "invalid CapAdd: unknown capability", SpecRefused, "create web-1: invalid CapAdd"),
        (409, "conflicting options: hostname", SpecRefused, "conflicting options"),
        (500, "write /var/lib/docker/x: no space left on device", EngineUnavailable, "disk"),
        (
            404,
            "image with reference x was found but does not match the specified platform",
            SpecRefused,
            "platform",
        ),
    ],
)
def test_a_creation_is_refused_for_good_or_for_now(
    status: int, words: str, kind: type[TraefikBgError], part: str
) -> None:
    """A missing image is pulled, a bad setting is rejected, a full disk may be emptied."""
    with pytest.raises(kind, match=part):
        raise refused_creation(answer(status, words), "web-1", "acme/web:1")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("unauthorized: authentication required", ImageDenied),
        ("denied: requested access to the resource is denied", ImageDenied),
        ("no basic auth credentials", ImageDenied),
        ("pull access denied for x, repository does not exist or may require", ImageDenied),
        ("error parsing HTTP 403 response body: Forbidden", ImageDenied),
        ("manifest unknown: manifest unknown", ImageNotFound),
        ("manifest for ghcr.io/acme/timeout:1 not found", ImageNotFound),
        ("no matching manifest for linux/amd64 in the manifest list entries", ImageNotFound),
        ("name unknown: repository not known", ImageNotFound),
        ("invalid reference format", ImageNotFound),
        ("dial tcp: lookup ghcr.io: no such host", EngineUnavailable),
        ("net/http: TLS handshake timeout", EngineUnavailable),
        ("read: connection reset by peer", EngineUnavailable),
        ("unexpected EOF", EngineUnavailable),
        ("toomanyrequests: You have reached your pull rate limit", EngineUnavailable),
        ("write /x: no space left on device", EngineUnavailable),
        ("something new", EngineUnavailable),
    ],
)
def test_a_registrys_no_is_told_from_its_silence(words: str, kind: type[TraefikBgError]) -> None:
    """A login or a name can be mended by people only; all else is tried again."""
    assert type(refused_pull(words, "ghcr.io/acme/timeout:1", "ghcr.io")) is kind


@pytest.mark.parametrize(
    ("registry", "command"),
    [("ghcr.io", "`docker login ghcr.io`"), ("docker.io", "`docker login`")],
)
def test_a_refused_image_comes_with_the_command_that_helps(registry: str, command: str) -> None:
    """Who reads that a login is needed need not look up how."""
    assert command in str(refused_pull("denied", "acme/web:1", registry))


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (FileNotFoundError(2, "x"), "there is no such socket; is the Docker daemon running"),
        (PermissionError(13, "x"), "permission denied; run as root or as a member of the group"),
        (ConnectionRefusedError(111, "x"), "connection refused; is the Docker daemon running"),
        (ConnectionResetError(104, "x"), "the connection broke off"),
        (TimeoutError(), "no answer in time"),
        (ValueError("odd"), "odd"),
    ],
)
def test_silence_is_explained_by_its_innermost_cause(cause: Exception, words: str) -> None:
    """However deep the libraries wrap it, people read where Docker was sought and what was wrong."""
    wrapped = requests.exceptions.ConnectionError(requests.exceptions.ConnectionError("x", cause))

    message = str(unanswered(wrapped, "unix:///run/docker.sock"))

    assert message.startswith("Docker does not answer at unix:///run/docker.sock: ")
    assert words in message


def test_an_unexpected_answer_is_not_knowledge() -> None:
    """An error about nothing we asked means that we do not know."""
    error = unexpected(answer(500, "database is locked"), "list the containers")

    assert isinstance(error, EngineUnavailable)
    assert str(error) == "Docker could not list the containers: database is locked"
