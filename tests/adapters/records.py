"""Builders for tests of the memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from traefik_bg.adapters.state_db import StateDb
from traefik_bg.core.actions import Ending, Outcome
from traefik_bg.core.model import AppName, AppSpec, HealthPolicy, Json, RevisionId, Route
from traefik_bg.core.ports import Store
from traefik_bg.core.record import Deployment, Record, Rejection, Waiver
from traefik_bg.core.rollout import Rollout, Step

WEB = AppName("web")
API = AppName("api")
BLUE, GREEN = RevisionId("b1b1b1b1"), RevisionId("9e9e9e9e")

SPEC = AppSpec(
    name=WEB,
    image="web:1",
    port=80,
    container=Json('{"environment":{"Ä":"ö \\u0000"}}'),
    routes=(Route(rule="Host(`a`)", entrypoints=("web",), priority=3, tls=Json("{}")),),
    health=HealthPolicy(path="/up", interval=0.1),
    rollout=Rollout(steps=(Step(weight=5, pause=30.0), Step(weight=50, pause=0.25))),
    sticky=True,
)
FULL = Record(
    good=SPEC,
    previous=(SPEC, SPEC),
    rejection=Rejection(spec="abc", revision=GREEN, reason="never healthy", log=("a", "b\n")),
    deployment=Deployment(number=7, revision=GREEN, image="web:2", blue=BLUE),
    deployments=7,
    waiver=Waiver(revision=GREEN, weight=50),
    paused=True,
)


def deploying(number: int, revision: RevisionId = GREEN, image: str = "web:2") -> Record:
    return Record(
        deployment=Deployment(number=number, revision=revision, image=image), deployments=number
    )


def ending(outcome: Outcome = Outcome.SUCCEEDED, revision: RevisionId = GREEN) -> Ending:
    return Ending(outcome=outcome, revision=revision, reason=f"it {outcome}", log=("last words",))


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[StateDb]:
    """Open the memory; it is closed at the end."""
    db = StateDb(folder)
    port: Store = db
    assert port is db
    try:
        yield db
    finally:
        await db.close()
