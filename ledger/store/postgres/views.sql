-- For other programs: the eventsourcing library's recorders find here what they select. These columns
-- are promised (scripts/HOWTO.md); the tables are not.
CREATE VIEW recorded_events AS
    SELECT position AS notification_id, originator_id, originator_version, topic, state
    FROM stored_events;
