"""Tables of the ledger. Times are seconds since 1970, UTC."""

from __future__ import annotations

#: "FSLG": marks the file as a ledger
APPLICATION_ID = 0x46534C47

_VERSION_1 = (
    """
    CREATE TABLE requests (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        primary_name TEXT NOT NULL, era TEXT NOT NULL, string TEXT NOT NULL,
        version INTEGER NOT NULL, tier TEXT NOT NULL,
        folder TEXT NOT NULL,
        card TEXT NOT NULL, site TEXT NOT NULL, catalog TEXT NOT NULL,
        seed INTEGER NOT NULL,
        gen_events INTEGER NOT NULL, oversample INTEGER NOT NULL,
        n_simulate INTEGER NOT NULL, n_merge INTEGER NOT NULL,
        digest TEXT NOT NULL,
        created REAL NOT NULL,
        cancelled INTEGER NOT NULL DEFAULT 0,
        registered REAL,
        UNIQUE (primary_name, era, string, tier, version)
    )
    """,
    "CREATE INDEX requests_by_site ON requests (site, card)",
    """
    CREATE TABLE jobs (
        request INTEGER NOT NULL REFERENCES requests,
        stage TEXT NOT NULL, idx INTEGER NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        updated REAL NOT NULL,
        PRIMARY KEY (request, stage, idx)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX jobs_by_state ON jobs (request, stage, state)",
    """
    CREATE TABLE attempts (
        request INTEGER NOT NULL, stage TEXT NOT NULL, idx INTEGER NOT NULL, number INTEGER NOT NULL,
        started REAL NOT NULL, ended REAL,
        exit_code INTEGER, error TEXT, cause TEXT,
        log TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER, device TEXT,
        gen_events INTEGER NOT NULL DEFAULT 0, events INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        wall_s REAL, startup_s REAL, generate_s REAL, timings_s TEXT NOT NULL DEFAULT '{}',
        peak_rss_mb REAL NOT NULL DEFAULT 0, energy_j REAL,
        PRIMARY KEY (request, stage, idx, number),
        FOREIGN KEY (request, stage, idx) REFERENCES jobs
    ) WITHOUT ROWID
    """,
    "CREATE INDEX attempts_open ON attempts (request) WHERE ended IS NULL",
    "CREATE INDEX attempts_failed ON attempts (request, stage, exit_code, cause, ended) WHERE exit_code <> 0",
    "CREATE INDEX attempts_good ON attempts (request, stage, ended) WHERE exit_code = 0",
    """
    CREATE TABLE files (
        request INTEGER NOT NULL, stage TEXT NOT NULL, idx INTEGER NOT NULL,
        lfn TEXT NOT NULL UNIQUE, pfn TEXT NOT NULL,
        bytes INTEGER NOT NULL, events INTEGER NOT NULL,
        adler32 TEXT NOT NULL, sha256 TEXT NOT NULL, lumis TEXT NOT NULL,
        removed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (request, stage, idx),
        FOREIGN KEY (request, stage, idx) REFERENCES jobs
    ) WITHOUT ROWID
    """,
)

_VERSION_2 = (
    # graphs handed to a batch system that goes on by itself; entered before the batch system is asked
    """
    CREATE TABLE submissions (
        request INTEGER NOT NULL REFERENCES requests,
        number INTEGER NOT NULL,
        token TEXT NOT NULL UNIQUE,
        created REAL NOT NULL,
        batch_id TEXT,
        ended REAL,
        PRIMARY KEY (request, number)
    ) WITHOUT ROWID
    """,
    "CREATE UNIQUE INDEX submissions_open ON submissions (request) WHERE ended IS NULL",
)

#: why a graph was ended before its jobs had
_STOPPED = ("ALTER TABLE submissions ADD COLUMN stopped TEXT",)

#: what was told of requests, to whom (a digest of the address, which may be a secret)
_NOTICES = (
    """
    CREATE TABLE notices (
        request INTEGER NOT NULL REFERENCES requests,
        event TEXT NOT NULL, sign TEXT NOT NULL, target TEXT NOT NULL,
        begun REAL NOT NULL, tries INTEGER NOT NULL DEFAULT 1, sent REAL,
        PRIMARY KEY (request, event, sign, target)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX notices_open ON notices (request) WHERE sent IS NULL",
)

#: statements that lead from each schema version to the next; append, never alter. (Jobs of the
#: first ledgers have a column batch_id that nothing reads: not every SQLite can drop one.)
SCHEMA = (_VERSION_1, _VERSION_2, _STOPPED, _NOTICES)
