-- Failed attempts whose delays grow, and where accounts signed in from before.

CREATE TABLE throttles (
    bucket TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    -- The next attempt is not looked at before this.
    open_at_ms INTEGER NOT NULL,
    forget_at_ms INTEGER NOT NULL
);

CREATE INDEX throttles_by_end ON throttles (forget_at_ms);

-- An IPv6 address stands for its /64.
CREATE TABLE known_addresses (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address TEXT NOT NULL,
    last_used_at_ms INTEGER NOT NULL,
    PRIMARY KEY (user_id, address)
);
