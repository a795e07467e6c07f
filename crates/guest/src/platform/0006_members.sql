-- Members by name, and indexes in the order that lists are read in.

-- A user's name never changes, so a member is found by the name in its path.
CREATE UNIQUE INDEX project_members_by_name ON project_members (project_id, username);

-- The audit trail is read newest first: all of it, what one user did, what was done in one project, each
-- between two times and for one action.
DROP INDEX audit_by_project;

DROP INDEX audit_by_actor;

CREATE INDEX audit_by_time ON audit (at_ms, id);

CREATE INDEX audit_by_action ON audit (action, at_ms, id);

CREATE INDEX audit_by_project ON audit (project_id, at_ms, id);

CREATE INDEX audit_by_project_action ON audit (project_id, action, at_ms, id);

CREATE INDEX audit_by_actor ON audit (actor_id, at_ms, id);

CREATE INDEX audit_by_actor_action ON audit (actor_id, action, at_ms, id);

-- A project's builds and deployments are listed newest first, and so are everyone's for administrators.
DROP INDEX builds_by_project;

CREATE INDEX builds_by_project ON builds (project_id, created_at_ms, id);

CREATE INDEX builds_by_time ON builds (created_at_ms, id);

CREATE INDEX deployments_by_project ON deployments (project_id, created_at_ms, id);

CREATE INDEX deployments_by_time ON deployments (created_at_ms, id);
