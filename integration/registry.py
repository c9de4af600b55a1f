"""A real registry on this machine, with a login, for the tests that pull.

The program is the one of the distribution's package (`scripts/fetch-registry`). It listens on
loopback, which Docker takes without TLS.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt

from integration.stage import SAMPLE, docker

USER, PASSWORD = "deployer", "correct horse"
PATIENCE = 20.0  # seconds for a registry to listen; it takes a fraction of one
HELPER = "docker-credential-stage"

_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: stage, path: {htpasswd}}}}}
"""


@dataclass(kw_only=True)
class Registry:
    """A registry that wants a login, and the images that were made for it."""

    root: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    made: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        """What names of its images begin with."""
        return f"127.0.0.1:{self.port}"

    def image(self, tag: str) -> str:
        """Return the name of an image in it."""
        return f"{self.host}/acme/web:{tag}"

    # --- its life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Have it answer; what was pushed before is still there."""
        with (self.root / "registry.log").open("ab") as log:
            self.process = subprocess.Popen(
                [os.environ["TESTBED_REGISTRY"], "serve", self.root / "config.yml"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.05)
        raise AssertionError((self.root / "registry.log").read_text())

    def stop(self) -> None:
        """Have it answer no more."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    # --- who may pull -----------------------------------------------------------------------------

    def login(self, folder: Path, password: str = PASSWORD) -> None:
        """Write Docker's config file into a folder, with a login in it."""
        token = base64.b64encode(f"{USER}:{password}".encode()).decode()
        self._write(folder, {"auths": {self.host: {"auth": token}}})

    def login_by_helper(self, folder: Path) -> None:
        """Write Docker's config file, and the program it names, which knows the login."""
        folder.mkdir(exist_ok=True)
        answer = {"ServerURL": self.host, "Username": USER, "Secret": PASSWORD}
        helper = folder / HELPER
        helper.write_text(
            f'#!/bin/sh\nread -r server\n[ "$1 $server" = "get {self.host}" ] || exit 1\n'
            f"cat <<'END'\n{json.dumps(answer)}\nEND\n"
        )
        helper.chmod(0o755)
        name = HELPER.removeprefix("docker-credential-")
        self._write(folder, {"credHelpers": {self.host: name}})

    @staticmethod
    def _write(folder: Path, config: object) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))

    # --- what is in it ----------------------------------------------------------------------------

    def push(self, tag: str, version: str, *, padding: int = 0) -> str:
        """Push a version of the sample app under a tag; returns its digest.

        Nothing of it is left on this machine, but the layers of the sample app itself. `padding` is
        the size of a layer that is nowhere else.
        """
        name, container = self.image(tag), f"for-{self.port}-{tag}"
        docker("create", "--name", container, f"{SAMPLE}:v1")
        try:
            if padding:
                (self.root / "padding").write_bytes(os.urandom(padding))
                docker("cp", str(self.root / "padding"), f"{container}:/padding")
            docker("commit", "--change", f"ENV VERSION={version}", container, name)
        finally:
            docker("rm", container)
        self.login(self.root / "docker")
        docker("--config", str(self.root / "docker"), "push", "--quiet", name)
        digest = docker("image", "inspect", "-f", "{{index .RepoDigests 0}}", name)
        docker("rmi", name)
        return digest.partition("@")[2]

    def pull(self, tag: str) -> str:
        """Have somebody pull a tag by hand; returns Docker's ID of it."""
        name = self.image(tag)
        docker("--config", str(self.root / "docker"), "pull", "--quiet", name)
        return docker("image", "inspect", "-f", "{{.Id}}", name)

    def sweep(self) -> None:
        """Remove from this machine what came from here."""
        of_ours = f"reference={self.host}/*/*"
        found = docker("images", "-q", "--no-trunc", "--filter", of_ours, check=False).split()
        if found:
            docker("rmi", "--force", *set(found), check=False)


@contextlib.contextmanager
def registry(root: Path) -> Iterator[Registry]:
    """Let there be a registry."""
    root.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(rounds=5)).decode()
    (root / "htpasswd").write_text(f"{USER}:{hashed}\n")
    (root / "config.yml").write_text(
        _CONFIG.format(data=root / "data", port=port, htpasswd=root / "htpasswd")
    )
    made = Registry(root=root, port=port)
    made.start()
    try:
        yield made
    finally:
        made.stop()
        made.sweep()
