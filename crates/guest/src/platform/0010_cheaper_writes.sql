-- Fewer pages for each event that is created: its words are their own index, the trail of projects has only what
-- belongs to one, and nobody counts all of an owner's events to know whether there may be one more.

CREATE TABLE event_owners (
    owner_id INTEGER PRIMARY KEY,
    events INTEGER NOT NULL
);

INSERT INTO event_owners (owner_id, events) SELECT owner_id, count(*) FROM events GROUP BY owner_id;

CREATE TABLE words_of_events (
    owner_id INTEGER NOT NULL,
    word TEXT NOT NULL,
    event_number INTEGER NOT NULL REFERENCES events (number) ON DELETE CASCADE,
    PRIMARY KEY (owner_id, word, event_number)
) WITHOUT ROWID;

INSERT INTO words_of_events (owner_id, word, event_number) SELECT owner_id, word, event_number FROM event_words;

DROP TABLE event_words;

ALTER TABLE words_of_events RENAME TO event_words;

CREATE INDEX event_words_by_event ON event_words (event_number);

DROP INDEX audit_by_project;

CREATE INDEX audit_by_project ON audit (project_id, at_ms, id) WHERE project_id IS NOT NULL;

DROP INDEX audit_by_project_action;

CREATE INDEX audit_by_project_action ON audit (project_id, action, at_ms, id) WHERE project_id IS NOT NULL;
