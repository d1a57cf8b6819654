-- What SQLite has and PostgreSQL has not: functions that the common SQL uses.
ALTER TABLE leaf_count ADD COLUMN IF NOT EXISTS position bigint NOT NULL DEFAULT 0;
CREATE OR REPLACE FUNCTION instr(whole text, part text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN strpos(whole, part);
CREATE OR REPLACE FUNCTION json_array_length(written bytea) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN json_array_length(convert_from(written, 'UTF8')::json);
CREATE OR REPLACE FUNCTION group_concat_next(before text, next text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN before IS NULL THEN next WHEN next IS NULL THEN before ELSE before || ',' || next END;
CREATE OR REPLACE AGGREGATE group_concat(text) (SFUNC = group_concat_next, STYPE = text);
CREATE OR REPLACE VIEW sqlite_master AS
    SELECT relname::text AS name, CASE relkind WHEN 'i' THEN 'index' ELSE 'table' END AS type
    FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'i');
CREATE OR REPLACE FUNCTION typeof(bigint) RETURNS text LANGUAGE sql IMMUTABLE RETURN 'integer';
CREATE OR REPLACE FUNCTION typeof(text) RETURNS text LANGUAGE sql IMMUTABLE RETURN 'text';
CREATE OR REPLACE FUNCTION typeof(bytea) RETURNS text LANGUAGE sql IMMUTABLE RETURN 'blob'
;
-- Where this ledger has its home: a copy that is put back elsewhere is another one.
CREATE TABLE IF NOT EXISTS home (place text NOT NULL);
CREATE OR REPLACE VIEW here AS
    SELECT system_identifier || '/' || pg_database.oid AS place
    FROM pg_control_system(), pg_database WHERE datname = current_database();
INSERT INTO home SELECT place FROM here WHERE NOT EXISTS (SELECT 1 FROM home)
