"""What may be secret stays where it is needed: nothing that people or Traefik read repeats it.

A deployment, a change of a secret, a version that Docker refuses and a file with a mistake; then
everything that the service wrote or answers is searched for the values.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest

from integration.stage import APP, QUICK, Stage, docker

IN_ENVIRONMENT = "correct-horse-1"
IN_ENV_FILE = "battery-staple-2"
IN_SECRET = "tr0ub4dor-3"
CHANGED = "tr0ub4dor-4"
VALUES = (IN_ENVIRONMENT, IN_ENV_FILE, IN_SECRET, CHANGED)


def want(scene: Stage, *, platform: str | None = None) -> None:
    """Wish for an app that is given something to keep."""
    app = {
        "image": "traefik-bg-sample:v1",
        "replicas": 1,
        "port": 8000,
        "route": {"host": "sample.localhost"},
        "health": {"path": "/health", "deadline": "15s"},
        "rollout": {"bake": "1s", "drain": "2s"},
        "environment": {**QUICK, "API_KEY": "${API_KEY}"},
        "env_file": "app.env",
        "secrets": ["password"],
        **({"platform": platform} if platform else {}),
    }
    scene.write({"secrets": {"password": {"file": "password.txt"}}, "apps": {APP: app}})


async def told(scene: Stage, *words: str) -> str:
    """Return all that a command says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "traefik_bg", *words, cwd=Path(__file__).parents[1],
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return out.decode()


async def everything(scene: Stage) -> dict[str, str]:
    """Return what the service has written and answers, by where it stands."""
    here = ("--listen", f"127.0.0.1:{scene.port}")
    found = {"log": scene.log.read_text()}
    for words in (("status",), ("status", APP), ("status", APP, "--json"), ("history", APP)):
        found[" ".join(words)] = await told(scene, *words, *here)
    found["check"] = await told(scene, "check", str(scene.desired))
    async with aiohttp.ClientSession() as session:
        for path in ("/api/apps", f"/api/apps/{APP}", f"/api/apps/{APP}/history", "/provider"):
            async with session.get(f"{scene.api}{path}") as answer:
                found[path] = await answer.text()
    for file in (scene.root / "routing/dynamic").iterdir():
        found[file.name] = file.read_text()
    names = docker("ps", "-aq", "--filter", f"label=traefik-bg.instance={scene.name}").split()
    found["labels"] = docker("inspect", "-f", "{{.Name}} {{json .Config.Labels}}", *names)
    return found


@pytest.mark.timeout(120)
async def test_no_value_is_repeated_whatever_happens(scene: Stage) -> None:
    """Deployed, changed, refused and mistaken; a changed secret is a new revision."""
    (scene.root / ".env").write_text(f"API_KEY={IN_ENVIRONMENT}\n")
    (scene.root / "app.env").write_text(f"TOKEN={IN_ENV_FILE}\n")
    (scene.root / "password.txt").write_text(IN_SECRET)
    want(scene)
    scene.start_service()
    first = await scene.until_settled("v1")
    seen = [await everything(scene)]

    (scene.root / "password.txt").write_text(CHANGED)
    second = await scene.until(
        lambda app: app["phase"] == "settled" and app["revision"] != first["revision"]
    )
    seen.append(await everything(scene))
    want(scene, platform="linux/no-such-machine")
    await scene.until(lambda app: app["phase"] == "rejected" or not app["is_well"])
    seen.append(await everything(scene))
    mistake = f"apps: {{{APP}: {{environment: {{A: [{IN_ENVIRONMENT}]}}, {IN_SECRET[:3]}: 1}}}}\n"
    scene.desired.write_text(mistake)
    await scene.until(lambda app: app["desired_error"] is not None)
    seen.append(await everything(scene))

    assert second["revision"] != first["revision"]
    leaks = [
        f"{value!r} is in {where} (look {number})"
        for number, places in enumerate(seen)
        for where, text in places.items()
        for value in VALUES
        if value in text
    ]
    assert not leaks
    new = next(r for r in second["replicas"] if r["revision"] == second["revision"])
    inside = docker("exec", new["name"], "cat", "/run/secrets/password")
    assert inside == CHANGED, "it is where it is needed"
    assert (scene.root / "state/state.db").stat().st_mode & 0o077 == 0, "others cannot read it"
