"""The journal's tables, and how a connection to them is opened.

jobs      one row a job, in the order of asking. `key` is unique among those waiting or running, so
          the same job is never done twice at once. `worker`, `lease`, `tries`: as in `leases`.
wishes    the owners, besides the first, who asked for a job while it was waiting or running.
owners    `turn` is the number of the last claim that served this owner; the smallest goes next.
previews  the last picture of a running job; gone when it ends.

WAL, synchronous=NORMAL: a killed process loses nothing; a power cut may lose the last rows, never
the file. All writes are short transactions that take the write lock at once (BEGIN IMMEDIATE).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

__all__ = ["FILE", "connect"]

FILE = "journal.sqlite"
_VERSION = 2
_WAIT_S = 30.0  # for another process's transaction

_TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  key      TEXT    NOT NULL,
  owner    TEXT    NOT NULL,
  state    TEXT    NOT NULL DEFAULT 'waiting'
                   CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
  recipe   TEXT    NOT NULL,
  options  TEXT    NOT NULL,
  tries    INTEGER NOT NULL DEFAULT 0,
  done     INTEGER NOT NULL DEFAULT 0,
  total    INTEGER NOT NULL DEFAULT 0,
  cancel   INTEGER NOT NULL DEFAULT 0,
  worker   TEXT,
  lease    REAL,
  result   TEXT,
  error    TEXT,
  asked    REAL    NOT NULL,
  started  REAL,
  ended    REAL
);
CREATE UNIQUE INDEX IF NOT EXISTS jobs_alive ON jobs (key) WHERE state IN ('waiting', 'running');
CREATE INDEX IF NOT EXISTS jobs_key ON jobs (key, id);
CREATE INDEX IF NOT EXISTS jobs_waiting ON jobs (owner, id) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS jobs_running ON jobs (worker) WHERE state = 'running';
CREATE TABLE IF NOT EXISTS wishes (
  job      INTEGER NOT NULL REFERENCES jobs (id),
  owner    TEXT    NOT NULL,
  PRIMARY KEY (job, owner)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (
  owner    TEXT    PRIMARY KEY,
  turn     INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS previews (
  job      INTEGER PRIMARY KEY REFERENCES jobs (id),
  picture  BLOB    NOT NULL
);
"""


def connect(folder: Path) -> sqlite3.Connection:
    """Open `folder/journal.sqlite`, made when it is not there; transactions are begun by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    base = sqlite3.connect(
        folder / FILE, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
    )
    base.row_factory = sqlite3.Row
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = NORMAL")
    (version,) = base.execute("PRAGMA user_version").fetchone()
    if version not in (0, _VERSION):
        base.close()
        raise ValueError(
            f"journal: {folder / FILE} has version {version}; expected {_VERSION}, "
            "so it was written by another attention-studio"
        )
    base.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;")
    return base
