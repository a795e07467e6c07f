-- Deployments and their revisions.

CREATE TABLE deployments (
    id TEXT PRIMARY KEY,
    -- No cascade: a project goes only after the target has confirmed that its deployments are gone.
    project_id INTEGER NOT NULL REFERENCES projects (id),
    service_name TEXT NOT NULL,
    environment TEXT NOT NULL,
    -- The first label of its host name. `api` in `staging` is `api-staging` in production.
    host_label TEXT NOT NULL,
    custom_domain TEXT UNIQUE,
    -- The wanted revision, and the wanted copies of it.
    revision INTEGER NOT NULL,
    replicas INTEGER NOT NULL,
    desired TEXT NOT NULL CHECK (desired IN ('running', 'stopped', 'deleted')),
    -- Grows with every change of what is wanted; the target has acknowledged the other one.
    generation INTEGER NOT NULL,
    acknowledged_generation INTEGER NOT NULL,
    handover_failures INTEGER NOT NULL,
    handover_after_ms INTEGER NOT NULL,
    status TEXT NOT NULL,
    replicas_ready INTEGER NOT NULL,
    replicas_total INTEGER NOT NULL,
    access_url TEXT,
    objects TEXT NOT NULL,
    error_message TEXT,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    UNIQUE (project_id, service_name, environment),
    UNIQUE (project_id, host_label)
);

CREATE TABLE deployment_revisions (
    deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('deploy', 'configure', 'rollback')),
    -- No reference: a build's row may go, what was made of it stays deployed.
    build_id TEXT,
    image_name TEXT NOT NULL,
    digest TEXT NOT NULL,
    spec TEXT NOT NULL,
    -- Sealed, by name. They open at this deployment only, in every one of its revisions.
    secrets TEXT NOT NULL,
    rolled_back_to INTEGER,
    created_by INTEGER NOT NULL,
    created_by_name TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (deployment_id, revision)
);

-- Deployments of projects that were deleted by force while the target did not answer: it is told
-- until it has confirmed.
CREATE TABLE deployment_leftovers (
    deployment_id TEXT PRIMARY KEY,
    since_ms INTEGER NOT NULL
);
