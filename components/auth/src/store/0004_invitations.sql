-- Invitations to register. Only the SHA-256 of a code is kept.

CREATE TABLE invitations (
    id TEXT PRIMARY KEY,
    code_hash BLOB NOT NULL UNIQUE,
    email TEXT,
    created_by INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    used_by INTEGER REFERENCES users (id) ON DELETE SET NULL,
    used_at_ms INTEGER
);

CREATE INDEX invitations_by_end ON invitations (expires_at_ms);
