-- Second factors (RFC 6238). The secret is sealed; of recovery codes only the SHA-256 is kept.

CREATE TABLE totp (
    user_id INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    secret TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    -- It counts at a sign-in from then on.
    confirmed_at_ms INTEGER,
    -- The newest step whose code was used: neither it nor an older one is taken again.
    last_step INTEGER NOT NULL
);

CREATE TABLE recovery_codes (
    code_hash BLOB PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    used_at_ms INTEGER
);

CREATE INDEX recovery_codes_by_user ON recovery_codes (user_id);
