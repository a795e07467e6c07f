-- Events, each its owner's alone. Every index begins with the owner, so that nobody's list costs what others have.

CREATE TABLE events (
    -- For the words below: a tenth of the id's size.
    number INTEGER PRIMARY KEY,
    owner_id INTEGER NOT NULL,
    id TEXT NOT NULL,
    title TEXT NOT NULL,
    title_key TEXT NOT NULL,
    description TEXT,
    is_whole_days INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    -- The last millisecond that belongs to it.
    until_ms INTEGER NOT NULL,
    status TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    UNIQUE (owner_id, id)
);

CREATE INDEX events_by_start ON events (owner_id, start_ms, id);

CREATE INDEX events_by_status ON events (owner_id, status, start_ms, id);

CREATE INDEX events_by_until ON events (owner_id, until_ms, id);

CREATE INDEX events_by_title ON events (owner_id, title_key, id);

CREATE INDEX events_by_update ON events (owner_id, updated_at_ms, id);

-- What events are found by: lower case, without accents; a search is a range of words.
CREATE TABLE event_words (
    owner_id INTEGER NOT NULL,
    word TEXT NOT NULL,
    event_number INTEGER NOT NULL REFERENCES events (number) ON DELETE CASCADE,
    PRIMARY KEY (owner_id, word, event_number)
);

CREATE INDEX event_words_by_event ON event_words (event_number);

-- The private address of an owner's calendar; what is kept is its token's SHA-256.
CREATE TABLE event_feeds (
    owner_id INTEGER PRIMARY KEY,
    owner_name TEXT NOT NULL,
    token_hash BLOB NOT NULL UNIQUE,
    created_at_ms INTEGER NOT NULL,
    last_read_at_ms INTEGER,
    window_start_ms INTEGER NOT NULL,
    window_count INTEGER NOT NULL
);

-- Addresses of calendars that do not exist, by who asked for them.
CREATE TABLE event_feed_misses (
    bucket TEXT PRIMARY KEY,
    window_start_ms INTEGER NOT NULL,
    count INTEGER NOT NULL
);

CREATE INDEX event_feed_misses_by_age ON event_feed_misses (window_start_ms);
