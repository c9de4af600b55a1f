"""The history of deployments and the journal of sentences: written for people, read by people.

Apart from the store because nothing is ever decided by what stands here. Deployments are derived
from the records that are saved: one that was not there before has begun, an ending ends it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from traefik_bg.core.actions import Ending, Outcome
from traefik_bg.core.model import AppName, RevisionId
from traefik_bg.core.record import Deployment, Pin, Record

KEPT_SENTENCES = 500  # an app; about a hundred deployments' worth
KEPT_DEPLOYMENTS = 200  # an app; years of them for most

_UNSEEN_END = "how it ended was not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDeployment:
    """One deployment, as the history has it."""

    number: int
    app: AppName
    revision: RevisionId
    image: str
    """Empty when its beginning was not recorded."""
    digest: str
    """What exactly ran, such as `ghcr.io/acme/web@sha256:…`, or its ID on this machine; empty:
    nothing was seen of it."""
    started: datetime | None
    ended: datetime | None
    outcome: Outcome | None
    """None: under way, or its end was not recorded."""
    reason: str
    log: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One sentence, and when it was said."""

    at: datetime
    sentence: str


# --- writing --------------------------------------------------------------------------------------


def keep(
    connection: sqlite3.Connection,
    app: AppName,
    *,
    before: Record,
    after: Record,
    endings: Sequence[Ending],
    now: datetime,
) -> None:
    """Write down what the change from one record to the next means for the history."""
    for ending in endings:
        _end(connection, app, after.deployments, ending, now)
    begun = after.deployment
    if begun is not None and (
        before.deployment is None or begun.number != before.deployment.number
    ):
        _begin(connection, app, begun, now)
    for pin in after.pins:
        if pin not in before.pins:
            _say_what_ran(connection, app, pin)
    _forget_old(connection, "deployments", app, KEPT_DEPLOYMENTS)


def note(connection: sqlite3.Connection, app: AppName, sentence: str, now: datetime) -> None:
    """Add a sentence to the journal."""
    connection.execute(
        "INSERT INTO journal (app, at, sentence) VALUES (?, ?, ?)",
        (app, now.isoformat(), _clean(sentence)),
    )
    _forget_old(connection, "journal", app, KEPT_SENTENCES)


def _begin(
    connection: sqlite3.Connection, app: AppName, deployment: Deployment, now: datetime
) -> None:
    is_known = connection.execute(
        "SELECT 1 FROM deployments WHERE app = ? AND number = ? AND revision = ? AND ended IS NULL",
        (app, deployment.number, deployment.revision),
    ).fetchone()
    if is_known:
        return
    connection.execute(
        "UPDATE deployments SET ended = ?, reason = ? WHERE app = ? AND ended IS NULL",
        (now.isoformat(), _UNSEEN_END, app),
    )
    connection.execute(
        "INSERT INTO deployments (app, number, revision, image, started) VALUES (?, ?, ?, ?, ?)",
        (app, deployment.number, deployment.revision, deployment.image, now.isoformat()),
    )


def _say_what_ran(connection: sqlite3.Connection, app: AppName, pin: Pin) -> None:
    connection.execute(
        "UPDATE deployments SET digest = ? WHERE digest = '' AND id = ("
        "SELECT max(id) FROM deployments WHERE app = ? AND revision = ?)",
        (pin.digest or pin.image_id, app, pin.revision),
    )


def _end(
    connection: sqlite3.Connection, app: AppName, number: int, ending: Ending, now: datetime
) -> None:
    log = _clean(json.dumps(ending.log, ensure_ascii=False))
    said = (now.isoformat(), ending.outcome, _clean(ending.reason), log)
    changed = connection.execute(
        "UPDATE deployments SET ended = ?, outcome = ?, reason = ?, log = ? WHERE id = ("
        "SELECT max(id) FROM deployments WHERE app = ? AND revision = ? AND ended IS NULL)",
        (*said, app, ending.revision),
    )
    if changed.rowcount:
        return
    last = connection.execute(
        "SELECT number, revision, outcome FROM deployments WHERE app = ? ORDER BY id DESC LIMIT 1",
        (app,),
    ).fetchone()
    if last != (number, ending.revision, ending.outcome):  # else it is said a second time
        connection.execute(
            "INSERT INTO deployments (ended, outcome, reason, log, app, number, revision, image)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, '')",
            (*said, app, number, ending.revision),
        )


def _forget_old(connection: sqlite3.Connection, table: str, app: AppName, kept: int) -> None:
    connection.execute(
        f"DELETE FROM {table} WHERE app = ? AND id <= ("  # noqa: S608 - a name of our own
        f"SELECT id FROM {table} WHERE app = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (app, app, kept),
    )


def _clean(text: str) -> str:
    """Return the text as SQLite can keep it: a container may log half a character."""
    return text.encode("utf-8", "replace").decode()


# --- reading --------------------------------------------------------------------------------------


def deployments(
    connection: sqlite3.Connection, app: AppName, limit: int
) -> tuple[PastDeployment, ...]:
    """Return the deployments of an app, the newest first."""
    rows = connection.execute(
        "SELECT number, app, revision, image, digest, started, ended, outcome, reason, log"
        " FROM deployments WHERE app = ? ORDER BY id DESC LIMIT ?",
        (app, limit),
    )
    return tuple(_deployment(row) for row in rows)


def _deployment(row: Sequence[str]) -> PastDeployment:
    number, app, revision, image, digest, started, ended, outcome, reason, log = row
    return PastDeployment(
        number=int(number),
        app=AppName(app),
        revision=RevisionId(revision),
        image=image,
        digest=digest,
        started=datetime.fromisoformat(started) if started else None,
        ended=datetime.fromisoformat(ended) if ended else None,
        outcome=Outcome(outcome) if outcome else None,
        reason=reason,
        log=tuple(json.loads(log)),
    )


def sentences(connection: sqlite3.Connection, app: AppName, limit: int) -> tuple[JournalEntry, ...]:
    """Return what was noted of an app, the newest first."""
    rows = connection.execute(
        "SELECT at, sentence FROM journal WHERE app = ? ORDER BY id DESC LIMIT ?", (app, limit)
    )
    return tuple(JournalEntry(at=datetime.fromisoformat(at), sentence=said) for at, said in rows)
