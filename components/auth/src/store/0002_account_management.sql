-- API tokens, lists of users, and reading the audit trail by time, action and actor.

-- SHA-256 of the value: 256 bits of randomness can't be guessed. A token that another one made ends with it.
CREATE TABLE api_tokens (
    id TEXT PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    made_by TEXT REFERENCES api_tokens (id) ON DELETE CASCADE,
    token_hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    last_used_at_ms INTEGER
);

CREATE INDEX api_tokens_by_user ON api_tokens (user_id, id);

CREATE INDEX api_tokens_by_maker ON api_tokens (made_by);

CREATE INDEX api_tokens_by_end ON api_tokens (expires_at_ms);

CREATE INDEX users_by_role ON users (role, id);

-- Whose account spent the code stays known when that account is deleted.
CREATE TABLE setup_once (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    user_id INTEGER NOT NULL,
    done_at_ms INTEGER NOT NULL
);

INSERT INTO setup_once (id, user_id, done_at_ms) SELECT id, user_id, done_at_ms FROM setup;

DROP TABLE setup;

ALTER TABLE setup_once RENAME TO setup;

CREATE INDEX audit_by_time ON audit (at_ms, id);

CREATE INDEX audit_by_actor_and_time ON audit (actor_id, at_ms, id);

CREATE INDEX audit_by_action ON audit (action, at_ms, id);

DROP INDEX audit_by_actor;
