-- The highest position ever given, which SQLite keeps by itself.
ALTER TABLE leaf_count ADD COLUMN IF NOT EXISTS position bigint NOT NULL DEFAULT 0;
-- Schema 6 has the latest moment in both databases.
ALTER TABLE leaf_count ADD COLUMN IF NOT EXISTS latest bigint NOT NULL DEFAULT 0;
-- Schema 8 has whose the discarded jobs were.
ALTER TABLE spent_ids ADD COLUMN IF NOT EXISTS owner text;
-- Where this ledger has its home: a copy that is put back elsewhere is another one.
CREATE TABLE IF NOT EXISTS home (place text NOT NULL);
CREATE OR REPLACE VIEW here AS
    SELECT system_identifier || '/' || pg_database.oid AS place
    FROM pg_control_system(), pg_database WHERE datname = current_database();
INSERT INTO home SELECT place FROM here WHERE NOT EXISTS (SELECT 1 FROM home);
-- Writers and the last transaction of each, by which it finds out whether a commit that was not
-- answered is there.
CREATE TABLE IF NOT EXISTS writers (
    writer bigint PRIMARY KEY,
    mark bigint NOT NULL,
    at timestamptz NOT NULL
)
