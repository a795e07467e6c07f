-- Builds, their logs, and which service an image name belongs to.

CREATE TABLE builds (
    id TEXT PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    service_name TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'building', 'success', 'failed', 'cancelled')),
    builder TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('git', 'upload')),
    -- 0 while an announced upload has not arrived: no runner is given the build.
    source_ready INTEGER NOT NULL,
    repository_url TEXT,
    branch TEXT,
    subdirectory TEXT,
    wanted_commit TEXT,
    built_commit TEXT,
    -- The build whose upload is the source: this one, or the one it repeats.
    source_build_id TEXT,
    source_digest TEXT,
    image_repository TEXT NOT NULL,
    image_tag TEXT NOT NULL,
    build_args TEXT NOT NULL,
    digest TEXT,
    error_message TEXT,
    -- Starts that a runner acknowledged.
    attempts INTEGER NOT NULL,
    -- Names one lease; kept at the end, so that a result told twice is recognised.
    lease_id TEXT,
    lease_expires_at_ms INTEGER,
    -- Lines and bytes of the log so far, where the present lease's lines begin, and whether it is full.
    log_lines INTEGER NOT NULL,
    log_bytes INTEGER NOT NULL,
    log_base INTEGER NOT NULL,
    log_full INTEGER NOT NULL,
    retry_of TEXT,
    created_by INTEGER NOT NULL,
    created_by_name TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    queued_at_ms INTEGER NOT NULL,
    started_at_ms INTEGER,
    completed_at_ms INTEGER
);

CREATE INDEX builds_by_project ON builds (project_id, created_at_ms);

CREATE INDEX builds_by_status ON builds (status, queued_at_ms);

CREATE INDEX builds_by_image ON builds (image_repository, image_tag, completed_at_ms);

CREATE TABLE build_logs (
    build_id TEXT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    n INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    stream TEXT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (build_id, n)
);

-- `<owner>-<project>-<service>` can be read in several ways: the first service to use a name owns it.
CREATE TABLE image_names (
    repository TEXT PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    service_name TEXT NOT NULL
);
