-- Users whose accounts are being deleted: with an access token that is still out they make nothing any more.

CREATE TABLE forgotten_users (
    user_id INTEGER PRIMARY KEY,
    forgotten_at_ms INTEGER NOT NULL
);
