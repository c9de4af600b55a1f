"""The tables of state.db, and how an older file becomes a newer one.

Apart from the database because a version, once released, never changes here: it is only added to.
"""

from __future__ import annotations

import sqlite3

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE records (
        app TEXT PRIMARY KEY,
        record TEXT NOT NULL
    ) STRICT;
    CREATE TABLE deployments (
        id INTEGER PRIMARY KEY,
        app TEXT NOT NULL,
        number INTEGER NOT NULL,
        revision TEXT NOT NULL,
        image TEXT NOT NULL,
        started TEXT,
        ended TEXT,
        outcome TEXT,
        reason TEXT NOT NULL DEFAULT '',
        log TEXT NOT NULL DEFAULT '[]'
    ) STRICT;
    CREATE INDEX deployments_of_app ON deployments (app, id);
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY,
        app TEXT NOT NULL,
        at TEXT NOT NULL,
        sentence TEXT NOT NULL
    ) STRICT;
    CREATE INDEX journal_of_app ON journal (app, id);
    """,
    """
    ALTER TABLE deployments ADD COLUMN digest TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE TABLE tags (
        app TEXT PRIMARY KEY,
        tag TEXT NOT NULL
    ) STRICT;
    """,
    """
    CREATE TABLE pulled (
        image_id TEXT NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (image_id, name)
    ) STRICT;
    """,
)
"""Each makes the version of its place from the one before; the version is SQLite's user_version."""

VERSION = len(MIGRATIONS)


def version(connection: sqlite3.Connection) -> int:
    """Return the version of an open database; 0: it is empty."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection) -> None:
    """Bring an open database to the newest version, as a whole or not at all."""
    for number in range(version(connection), VERSION):
        steps = f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
        connection.executescript(steps)  # a failure closes the connection, and so undoes it
