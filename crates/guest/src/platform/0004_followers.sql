-- Event streams that are being followed. Each holds an instance of its component, so they are counted.

CREATE TABLE followers (
    component TEXT NOT NULL,
    user_id INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
);

CREATE INDEX followers_by_component ON followers (component, until_ms);
