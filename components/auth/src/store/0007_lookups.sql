-- Indexes for what read whole tables.

-- Administrators list the accounts that are disabled, and those that are not, in the order they were made.

CREATE INDEX users_by_state ON users (disabled_at_ms, id);

-- What a deleted account leaves in them is found without reading all.
CREATE INDEX invitations_by_maker ON invitations (created_by);

CREATE INDEX invitations_by_user ON invitations (used_by);
