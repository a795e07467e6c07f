-- Who hashes a password now, and who waits for it, in all instances together.

CREATE TABLE hash_turns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    running INTEGER NOT NULL,
    -- An instance that died gives its turn back then.
    until_ms INTEGER NOT NULL
);

-- Names and addresses that are being registered, so that only one of many hashes for them.
CREATE TABLE registrations (
    claim TEXT PRIMARY KEY,
    until_ms INTEGER NOT NULL
);
