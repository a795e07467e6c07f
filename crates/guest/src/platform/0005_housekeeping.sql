-- What housekeeping asks: which builds and revisions are old, and what still needs them.

-- The revision that was last seen to run: what serves while a newer one does not come up.
ALTER TABLE deployments ADD COLUMN settled_revision INTEGER;

UPDATE deployments SET settled_revision = revision
WHERE status = 'running' AND acknowledged_generation = generation;

CREATE INDEX builds_by_service ON builds (project_id, service_name, id DESC, completed_at_ms);

CREATE INDEX builds_by_source ON builds (source_build_id);

CREATE INDEX builds_by_digest ON builds (digest);

CREATE INDEX deployment_revisions_by_build ON deployment_revisions (build_id);

CREATE INDEX deployment_revisions_by_digest ON deployment_revisions (digest);
