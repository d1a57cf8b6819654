CREATE INDEX IF NOT EXISTS jobs_g{g}_root ON jobs_g{g} (root, created, uuid);
CREATE INDEX IF NOT EXISTS jobs_g{g}_newest ON jobs_g{g} (owner, last_modified DESC, uuid);
CREATE INDEX IF NOT EXISTS jobs_g{g}_state ON jobs_g{g} (owner, state, last_modified DESC, uuid);
CREATE INDEX IF NOT EXISTS jobs_g{g}_created ON jobs_g{g} (owner, created, uuid);
CREATE INDEX IF NOT EXISTS jobs_g{g}_state_created ON jobs_g{g} (owner, state, created, uuid);
CREATE INDEX IF NOT EXISTS jobs_g{g}_ended ON jobs_g{g} (ended)
    WHERE parent IS NULL AND state <> 'started';
CREATE INDEX IF NOT EXISTS jobs_g{g}_ended_of_owner ON jobs_g{g} (owner, ended, uuid)
    WHERE ended IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_g{g}_parent ON jobs_g{g} (parent, created, uuid, state)
    WHERE parent IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_g{g}_produced ON jobs_g{g} (outcome, worker_lost)
    WHERE source IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_g{g}_running ON jobs_g{g} (created) WHERE state = 'started';
CREATE INDEX IF NOT EXISTS jobs_g{g}_unattended ON jobs_g{g} (uuid)
    WHERE unattended = 1;
CREATE INDEX IF NOT EXISTS runs_g{g}_ended ON runs_g{g} (owner, series, ended, uuid)
    WHERE is_root = 1;
CREATE INDEX IF NOT EXISTS runs_g{g}_success ON runs_g{g} (owner, series, ended, uuid, is_root)
    WHERE succeeded = 1;
CREATE INDEX IF NOT EXISTS labels_g{g}_job ON labels_g{g} (uuid, key, value);
CREATE INDEX IF NOT EXISTS job_resources_g{g}_resource
    ON job_resources_g{g} (resource, created, job, role, running);
CREATE INDEX IF NOT EXISTS drives_g{g}_owner ON drives_g{g} (owner, created, uuid);
CREATE INDEX IF NOT EXISTS drives_g{g}_name
    ON drives_g{g} (owner, name, created, uuid, folded_name);
CREATE INDEX IF NOT EXISTS drives_g{g}_unready ON drives_g{g} (created)
    WHERE ready = 0 OR resizing IS NOT NULL;
CREATE INDEX IF NOT EXISTS servers_g{g}_owner ON servers_g{g} (owner, created, uuid);
CREATE INDEX IF NOT EXISTS servers_g{g}_name
    ON servers_g{g} (owner, name, created, uuid, folded_name);
CREATE INDEX IF NOT EXISTS tags_g{g}_owner ON tags_g{g} (owner, created, uuid);
CREATE INDEX IF NOT EXISTS tags_g{g}_name
    ON tags_g{g} (owner, name, created, uuid, folded_name);
CREATE INDEX IF NOT EXISTS tag_resources_g{g}_resource ON tag_resources_g{g} (resource, tag);
CREATE INDEX IF NOT EXISTS departed_g{g}_at ON departed_g{g} (at);
CREATE INDEX IF NOT EXISTS attachments_g{g}_resource
    ON attachments_g{g} (resource, server_created, server);
CREATE INDEX IF NOT EXISTS ips_g{g}_owner ON ips_g{g} (owner, created, uuid);
CREATE INDEX IF NOT EXISTS keypairs_g{g}_owner ON keypairs_g{g} (owner, created, uuid);
CREATE INDEX IF NOT EXISTS keypairs_g{g}_name
    ON keypairs_g{g} (owner, name, created, uuid, folded_name);
