-- What schema 4 made in a user's PostgreSQL database, as it is in databases of that version.
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
