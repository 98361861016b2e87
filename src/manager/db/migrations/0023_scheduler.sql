-- Where a resource group's round-robin selection of agents has come to.

ALTER TABLE scaling_groups ADD COLUMN round_robin_agent varchar(64);
COMMENT ON COLUMN scaling_groups.round_robin_agent IS
  'The agent that round-robin selection used last; the next one by id is tried first.';

-- Every change of a status writes to every index of its row, which is most of what scheduling costs the
-- server. These serve no query: another one begins with the same columns, or so many rows have the same
-- value that nobody would use them.
DROP INDEX ix_kernels_session_id;
DROP INDEX ix_kernels_session_name;
DROP INDEX ix_kernels_session_type;
DROP INDEX ix_kernels_cluster_role;
DROP INDEX ix_kernels_scaling_group;
DROP INDEX ix_kernels_result;
DROP INDEX ix_kernels_status_role;
DROP INDEX ix_kernels_status_changed;
DROP INDEX ix_sessions_session_type;
DROP INDEX ix_sessions_priority;
DROP INDEX ix_sessions_result;
DROP INDEX ix_sessions_status;
DROP INDEX ix_session_status_with_priority;
DROP INDEX ix_sessions_scaling_group_name;
DROP INDEX ix_sessions_vfolder_mounts;
