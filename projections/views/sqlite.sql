CREATE TABLE IF NOT EXISTS jobs_g{g} (
    uuid TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    root TEXT NOT NULL,
    parent TEXT,
    ordinal INTEGER NOT NULL,
    operation TEXT NOT NULL,
    state TEXT NOT NULL,
    created TEXT NOT NULL,
    last_modified TEXT NOT NULL,
    progress INTEGER NOT NULL,
    bytes_done INTEGER NOT NULL,
    bytes_total INTEGER NOT NULL,
    error TEXT,
    worker_lost INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_g{g}_root ON jobs_g{g} (root);
CREATE INDEX IF NOT EXISTS jobs_g{g}_newest ON jobs_g{g} (owner, last_modified DESC, uuid);
CREATE INDEX IF NOT EXISTS jobs_g{g}_state ON jobs_g{g} (owner, state, last_modified DESC, uuid);
CREATE INDEX IF NOT EXISTS jobs_g{g}_ended ON jobs_g{g} (last_modified)
    WHERE parent IS NULL AND state <> 'started';
CREATE INDEX IF NOT EXISTS jobs_g{g}_running ON jobs_g{g} (created) WHERE state = 'started';
-- Which jobs name a drive or server; `running` as long as the job is.
CREATE TABLE IF NOT EXISTS job_resources_g{g} (
    job TEXT NOT NULL,
    place INTEGER NOT NULL,
    resource TEXT NOT NULL,
    kind TEXT NOT NULL,
    role TEXT NOT NULL,
    created TEXT NOT NULL,
    running INTEGER NOT NULL,
    PRIMARY KEY (job, place)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS job_resources_g{g}_resource
    ON job_resources_g{g} (resource, created, job, role, running);
CREATE TABLE IF NOT EXISTS drives_g{g} (
    uuid TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    pool TEXT NOT NULL,
    origin TEXT NOT NULL,
    ready INTEGER NOT NULL,
    resizing INTEGER,
    created TEXT NOT NULL,
    definition BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS drives_g{g}_owner ON drives_g{g} (owner, created, uuid);
CREATE INDEX IF NOT EXISTS drives_g{g}_name ON drives_g{g} (owner, name, created, uuid);
CREATE INDEX IF NOT EXISTS drives_g{g}_unready ON drives_g{g} (created)
    WHERE ready = 0 OR resizing IS NOT NULL;
CREATE TABLE IF NOT EXISTS servers_g{g} (
    uuid TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    created TEXT NOT NULL,
    host TEXT,
    active_since TEXT,
    definition BLOB NOT NULL,
    mounts BLOB NOT NULL,
    nics BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS servers_g{g}_owner ON servers_g{g} (owner, created, uuid);
CREATE INDEX IF NOT EXISTS servers_g{g}_name ON servers_g{g} (owner, name, created, uuid);
CREATE TABLE IF NOT EXISTS tags_g{g} (
    uuid TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    created TEXT NOT NULL,
    meta BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_g{g}_owner ON tags_g{g} (owner, created, uuid);
-- Which drives and servers bear a tag.
CREATE TABLE IF NOT EXISTS tag_resources_g{g} (
    tag TEXT NOT NULL,
    resource TEXT NOT NULL,
    kind TEXT NOT NULL,
    PRIMARY KEY (tag, resource)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tag_resources_g{g}_resource ON tag_resources_g{g} (resource, tag);
CREATE TABLE IF NOT EXISTS profiles_g{g} (
    owner TEXT PRIMARY KEY,
    clone_naming TEXT NOT NULL
) WITHOUT ROWID;
-- Clustered as it is read: an account's log, the newest last.
CREATE TABLE IF NOT EXISTS audit_log_g{g} (
    owner TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    actor TEXT NOT NULL,
    lines BLOB NOT NULL,
    PRIMARY KEY (owner, recorded_at, stream, version)
) WITHOUT ROWID;
-- Deleted drives, servers and tags whose streams are still in the ledger.
CREATE TABLE IF NOT EXISTS departed_g{g} (
    stream TEXT PRIMARY KEY,
    at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS departed_g{g}_at ON departed_g{g} (at);
-- Which servers mount a drive.
CREATE TABLE IF NOT EXISTS attachments_g{g} (
    server TEXT NOT NULL,
    place INTEGER NOT NULL,
    drive TEXT NOT NULL,
    server_created TEXT NOT NULL,
    PRIMARY KEY (server, place)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attachments_g{g}_drive
    ON attachments_g{g} (drive, server_created, server)
