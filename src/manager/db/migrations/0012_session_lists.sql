-- Lists of sessions: counts by status and kind that read an index only, and each owner's and project's
-- sessions in the order of their age.

CREATE INDEX ix_sessions_listing
  ON sessions (status, session_type, domain_name, group_id) INCLUDE (name, user_uuid, scaling_group_name);
CREATE INDEX ix_sessions_owner_listing
  ON sessions (user_uuid, created_at) INCLUDE (status, session_type, name);
CREATE INDEX ix_sessions_project_listing
  ON sessions (group_id, created_at) INCLUDE (status, session_type, name, user_uuid);
CREATE INDEX ix_sessions_queue
  ON sessions (scaling_group_name, priority DESC, created_at, id)
  WHERE status IN ('PENDING', 'DEPRIORITIZING');
