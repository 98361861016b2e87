-- Lists of sessions: what they are filtered, counted and sorted by stands in the indexes, so that a page
-- and its count read no rows but those shown.

-- The first one begins with the creation time, so the one on that alone has no use any more.
DROP INDEX ix_sessions_created_at;
CREATE INDEX ix_sessions_listing ON sessions (created_at, id)
  INCLUDE (status, session_type, domain_name, group_id, user_uuid, name, scaling_group_name);
CREATE INDEX ix_sessions_counting ON sessions (status, session_type, domain_name, group_id)
  INCLUDE (name, user_uuid, scaling_group_name);
CREATE INDEX ix_sessions_owner_listing ON sessions (user_uuid, created_at, id)
  INCLUDE (status, session_type, domain_name, group_id, name, scaling_group_name);
CREATE INDEX ix_sessions_project_listing ON sessions (group_id, created_at, id)
  INCLUDE (status, session_type, domain_name, user_uuid, name, scaling_group_name);
CREATE INDEX ix_sessions_queue
  ON sessions (scaling_group_name, priority DESC, created_at, id)
  WHERE status IN ('PENDING', 'DEPRIORITIZING');
