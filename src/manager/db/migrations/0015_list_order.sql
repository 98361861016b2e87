-- The newest rows first: the order of lists for which nobody asked for another one. The key comes
-- last, as in the lists, so that a page is read from the index without sorting the table.

CREATE INDEX ix_users_created_at ON users (created_at DESC, uuid);
CREATE INDEX ix_groups_created_at ON groups (created_at DESC, id);
CREATE INDEX ix_keypairs_created_at ON keypairs (created_at DESC, access_key);
CREATE INDEX ix_login_sessions_created_at ON login_sessions (created_at DESC, id);
CREATE INDEX ix_login_sessions_user_id_created_at ON login_sessions (user_id, created_at DESC, id);
