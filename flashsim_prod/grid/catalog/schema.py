"""Tables of the embedded catalogue. Times are seconds since 1970, UTC."""

from __future__ import annotations

#: "FSCT": marks the file as a catalogue
APPLICATION_ID = 0x46534354

_VERSION_1 = (
    """
    CREATE TABLE containers (
        id INTEGER PRIMARY KEY,
        scope TEXT NOT NULL, name TEXT NOT NULL,
        metadata TEXT NOT NULL,
        created REAL NOT NULL,
        UNIQUE (scope, name)
    )
    """,
    """
    CREATE TABLE blocks (
        id INTEGER PRIMARY KEY,
        container INTEGER NOT NULL REFERENCES containers,
        scope TEXT NOT NULL, name TEXT NOT NULL,
        is_open INTEGER NOT NULL DEFAULT 1,
        UNIQUE (scope, name)
    )
    """,
    "CREATE INDEX blocks_by_container ON blocks (container)",
    """
    CREATE TABLE files (
        id INTEGER PRIMARY KEY,
        block INTEGER NOT NULL REFERENCES blocks,
        scope TEXT NOT NULL, lfn TEXT NOT NULL,
        bytes INTEGER NOT NULL, events INTEGER NOT NULL,
        adler32 TEXT NOT NULL, sha256 TEXT NOT NULL,
        lumis TEXT NOT NULL,
        UNIQUE (scope, lfn)
    )
    """,
    "CREATE INDEX files_by_block ON files (block, bytes, events)",
    """
    CREATE TABLE replicas (
        file INTEGER NOT NULL REFERENCES files,
        rse TEXT NOT NULL, pfn TEXT NOT NULL,
        PRIMARY KEY (file, rse)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE rules (
        id INTEGER PRIMARY KEY,
        container INTEGER NOT NULL REFERENCES containers,
        rse_expression TEXT NOT NULL, copies INTEGER NOT NULL,
        expires REAL,
        UNIQUE (container, rse_expression, copies)
    )
    """,
)

#: statements that lead from each schema version to the next; append, never alter
SCHEMA = (_VERSION_1,)
