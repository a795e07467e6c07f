-- The namespace of each environment of a project, for a target that is a cluster, and what kind of program a revision
-- runs.

-- Recorded with the first release, kept whatever the project is called later, gone with the last deployment. No reference
-- to projects: what is left of a project that was deleted by force is in it until the target has confirmed its end.
CREATE TABLE namespaces (
    project_id INTEGER NOT NULL,
    environment TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (project_id, environment)
);

-- Where a leftover was: nothing for those of before.
ALTER TABLE deployment_leftovers ADD COLUMN project_id INTEGER;

ALTER TABLE deployment_leftovers ADD COLUMN environment TEXT;

-- Of a container image the digest may be unknown: it is empty then.
ALTER TABLE deployment_revisions ADD COLUMN artifact TEXT NOT NULL DEFAULT 'spin'
    CHECK (artifact IN ('spin', 'container'));
