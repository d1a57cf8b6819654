-- Events: the ledger itself. Positions are never used again; the leaf index is dense.
CREATE TABLE IF NOT EXISTS stored_events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    leaf_index INTEGER NOT NULL UNIQUE,
    originator_id TEXT NOT NULL,
    originator_version INTEGER NOT NULL,
    topic TEXT NOT NULL,
    state BLOB NOT NULL,
    leaf BLOB NOT NULL,
    UNIQUE (originator_id, originator_version)
);
-- How many leaves there have ever been, and the latest moment of any event.
CREATE TABLE IF NOT EXISTS leaf_count (
    leaves INTEGER NOT NULL,
    latest INTEGER NOT NULL DEFAULT 0
);
INSERT INTO leaf_count (leaves) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM leaf_count);
-- Guards: how many decisions have rested on this drive or server.
CREATE TABLE IF NOT EXISTS guards (
    uuid TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) WITHOUT ROWID;
-- Spent ids: the jobs that were discarded, whose they were as far as known, and the archives whose jobs are all among them.
CREATE TABLE IF NOT EXISTS spent_ids (uuid TEXT PRIMARY KEY, owner TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent_archives (archive TEXT PRIMARY KEY) WITHOUT ROWID;
-- Which job an account has registered under the id of another system.
CREATE TABLE IF NOT EXISTS external_ids (
    owner TEXT NOT NULL,
    source TEXT NOT NULL,
    external_id TEXT NOT NULL,
    job TEXT NOT NULL UNIQUE,
    PRIMARY KEY (owner, source, external_id)
) WITHOUT ROWID;
-- Plain tables: what is secret or personal, never in the ledger; a rebuild leaves them alone.
CREATE TABLE IF NOT EXISTS server_secrets (
    server TEXT PRIMARY KEY,
    vnc_password TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS personal_fields (
    account TEXT NOT NULL,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (account, field)
) WITHOUT ROWID;
-- Free words of jobs, the newest in each slot; the event at this version of the job's stream has the
-- digest of salt and words.
CREATE TABLE IF NOT EXISTS texts (
    job TEXT NOT NULL,
    slot TEXT NOT NULL,
    version INTEGER NOT NULL,
    salt BLOB NOT NULL,
    words TEXT NOT NULL,
    PRIMARY KEY (job, slot)
);
CREATE TABLE IF NOT EXISTS accounts (
    uuid TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    password_version INTEGER NOT NULL,
    created TEXT NOT NULL
) WITHOUT ROWID;
-- Sessions and tokens give access, so only their hashes are stored.
CREATE TABLE IF NOT EXISTS sessions (
    id_hash BLOB PRIMARY KEY,
    account TEXT NOT NULL,
    csrf_hash BLOB NOT NULL,
    created TEXT NOT NULL,
    expires TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_of_account ON sessions (account, created);
-- The last revocation of an account's logins, numbered across all accounts.
CREATE TABLE IF NOT EXISTS endings (
    account TEXT PRIMARY KEY,
    nth INTEGER NOT NULL UNIQUE
) WITHOUT ROWID;
-- Keys for signatures that are valid for minutes; keys of earlier hours are removed.
CREATE TABLE IF NOT EXISTS hourly_keys (
    hour INTEGER PRIMARY KEY,
    key BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS tokens (
    id TEXT PRIMARY KEY,
    token_hash BLOB NOT NULL UNIQUE,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    created TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tokens_of_account ON tokens (account);
-- What each token may do: one without a row is refused, and the scopes `*` are whatever its account may.
CREATE TABLE IF NOT EXISTS token_grants (
    token TEXT PRIMARY KEY,
    scopes TEXT NOT NULL,
    restrictors TEXT NOT NULL,
    source TEXT,
    expires TEXT,
    issuer TEXT,
    used TEXT
) WITHOUT ROWID;
-- Removed tokens are known for a while, so that a program that still has one learns why it is refused.
CREATE TABLE IF NOT EXISTS removed_tokens (
    token_hash BLOB PRIMARY KEY,
    removed TEXT NOT NULL
) WITHOUT ROWID;
-- The keys from which the tokens of jobs are derived: the newest signs, the one before it still counts.
CREATE TABLE IF NOT EXISTS job_token_keys (
    number INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    made TEXT NOT NULL
);
-- From where accounts have logged in by their passwords: a keyed hash of each address.
CREATE TABLE IF NOT EXISTS known_places (
    account TEXT NOT NULL,
    place BLOB NOT NULL,
    seen TEXT NOT NULL,
    PRIMARY KEY (account, place)
) WITHOUT ROWID;
-- Requests with an idempotency key, recorded with their commands, and their answers.
CREATE TABLE IF NOT EXISTS claims (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    seed TEXT NOT NULL,
    recorded TEXT NOT NULL,
    status INTEGER,
    content_type TEXT,
    location TEXT,
    body BLOB,
    PRIMARY KEY (account, key)
);
CREATE INDEX IF NOT EXISTS claims_by_age ON claims (recorded);
-- The tree over the leaves, which follows the events with a delay. It holds what a proof needs,
-- whether the event is there or gone.
-- The hashes of 256 leaves, 32 bytes each, and a bit for each whose event is gone; the newest tile
-- grows. A full tile whose events are all gone is dropped, but its root stays.
CREATE TABLE IF NOT EXISTS leaf_tiles (
    tile INTEGER PRIMARY KEY,
    gone BLOB NOT NULL,
    leaves BLOB NOT NULL
);
-- Level 1 has the roots of full leaf tiles, level 2 those of full tiles of level 1, and so on.
CREATE TABLE IF NOT EXISTS node_tiles (
    level INTEGER NOT NULL,
    tile INTEGER NOT NULL,
    nodes BLOB NOT NULL,
    PRIMARY KEY (level, tile)
);
-- The last leaf of every full tile, and of all tiles: its position, and the latest moment of any
-- event up to it. The moment of an event is its timestamp, in microseconds since 1970.
CREATE TABLE IF NOT EXISTS moments (
    leaf_index INTEGER PRIMARY KEY,
    position INTEGER NOT NULL,
    latest INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS moments_by_time ON moments (latest, leaf_index);
-- But the timestamps of these events were made by a wrong clock, in an earlier version.
CREATE TABLE IF NOT EXISTS stamp_faults (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    moment INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS stamp_faults_by_last ON stamp_faults (last);
-- Checkpoints: states of the tree, signed from time to time.
CREATE TABLE IF NOT EXISTS checkpoints (
    made TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    size INTEGER NOT NULL,
    note TEXT NOT NULL
) WITHOUT ROWID;
-- The verifier of the only key that signs checkpoints: processes that share the ledger may each
-- have a key.
CREATE TABLE IF NOT EXISTS signed_by (verifier TEXT PRIMARY KEY) WITHOUT ROWID;
-- Plans to cancel many jobs: the uuids of those that were found.
CREATE TABLE IF NOT EXISTS cancel_plans (
    plan TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    expires TEXT NOT NULL,
    jobs TEXT NOT NULL
) WITHOUT ROWID;
-- The clocks as they were last trusted, so that a clock that somebody moved discards nothing.
CREATE TABLE IF NOT EXISTS clock_watch (
    boot TEXT NOT NULL,
    booted TEXT NOT NULL,
    seen TEXT NOT NULL
);
-- Leases: what is expected next of each producer's job that goes on, and by when. Overwritten in
-- place by reports, which are no events. `due` is in microseconds of service time, `heard`, `lost`
-- and `deadline` are in those since 1970.
CREATE TABLE IF NOT EXISTS leases (
    job TEXT PRIMARY KEY,
    root TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    awaits TEXT NOT NULL,
    due INTEGER NOT NULL,
    lease_s INTEGER,
    lost INTEGER,
    heard INTEGER,
    live INTEGER,
    buffered INTEGER,
    instance TEXT,
    host TEXT,
    pid INTEGER,
    figures BLOB,
    waiting BLOB,
    deadline INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS leases_by_due ON leases (due);
CREATE INDEX IF NOT EXISTS leases_of_tree ON leases (root);
CREATE INDEX IF NOT EXISTS leases_of_instance ON leases (instance) WHERE instance IS NOT NULL;
CREATE INDEX IF NOT EXISTS leases_by_deadline ON leases (deadline) WHERE deadline IS NOT NULL;
-- When the service was last there, and for how long it was away, in microseconds. The store's clock
-- without `away` is the service time, which stands still while nobody could report.
CREATE TABLE IF NOT EXISTS service_time (
    seen INTEGER NOT NULL,
    away INTEGER NOT NULL
);
INSERT INTO service_time SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM service_time);
