"""The tables of a batch, beside those of the jobs in the same `journal.sqlite`.

plan     name -> value: fingerprint of the plan, whether it is complete, who makes it or ends it.
frames   recipes without prompts and seeds. needs: bytes of a row beside the weights, roughly.
calls    one row a call of the pipeline, in the order of the manifest. model: number of the first
         frame with its model, since calls of one model follow each other. tries, worker, lease:
         as in `jobs.leases`; calls with which a process vanished come last.
items    one row a row of the manifest. key: its folder in lower case, since some file systems do
         not tell cases apart. figures: what filters read, JSON. kept, score: what a selection has
         made of it. state "elsewhere": another shard's.
refused  lines of the manifest that make no row.
"""

from __future__ import annotations

__all__ = ["TABLES"]

TABLES = """
CREATE TABLE IF NOT EXISTS plan (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS frames (
  number   INTEGER PRIMARY KEY,
  digest   TEXT    NOT NULL UNIQUE,
  recipe   TEXT    NOT NULL,
  needs    INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS calls (
  number   INTEGER PRIMARY KEY,
  model    INTEGER NOT NULL,
  state    TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done')),
  tries    INTEGER NOT NULL DEFAULT 0,
  worker   TEXT,
  lease    REAL
);
CREATE INDEX IF NOT EXISTS calls_waiting ON calls (tries, model, number) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS calls_running ON calls (worker) WHERE state = 'running';
CREATE TABLE IF NOT EXISTS items (
  number   INTEGER PRIMARY KEY,
  id       TEXT    NOT NULL,
  key      TEXT    NOT NULL UNIQUE,
  line     INTEGER NOT NULL,
  call     INTEGER NOT NULL,
  frame    INTEGER NOT NULL REFERENCES frames (number),
  prompts  TEXT    NOT NULL,
  seed     INTEGER NOT NULL,
  said     TEXT    NOT NULL,
  state    TEXT    NOT NULL DEFAULT 'waiting'
                   CHECK (state IN ('waiting', 'done', 'failed', 'elsewhere')),
  pictures INTEGER NOT NULL DEFAULT 0,
  seconds  REAL    NOT NULL DEFAULT 0,
  figures  TEXT,
  files    TEXT,
  kept     INTEGER NOT NULL DEFAULT 1,
  score    REAL,
  error    TEXT,
  trace    TEXT
);
CREATE INDEX IF NOT EXISTS items_call ON items (call);
CREATE INDEX IF NOT EXISTS items_state ON items (state);
CREATE TABLE IF NOT EXISTS refused (line INTEGER NOT NULL, error TEXT NOT NULL);
"""
