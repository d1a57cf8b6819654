-- What workers need beside the tables of Procrastinate, in PostgreSQL only.
CREATE TABLE IF NOT EXISTS task_migrations (name text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS pool_identities (pool text PRIMARY KEY, identity text NOT NULL);
CREATE TABLE IF NOT EXISTS pools (
    worker text NOT NULL,
    pool text NOT NULL,
    storage_type text NOT NULL,
    free_bytes bigint NOT NULL,
    seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (worker, pool)
);
