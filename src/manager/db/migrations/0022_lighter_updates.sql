-- Every change of a status writes to each index that holds the row. These served no query.
DROP INDEX ix_kernels_updated_order;
DROP INDEX ix_sessions_updated_order;
-- Only what has ended is looked for by its end; so a row is written here once.
DROP INDEX ix_kernels_terminated_at;
CREATE INDEX ix_kernels_terminated_at ON kernels (terminated_at) WHERE terminated_at IS NOT NULL;
DROP INDEX ix_sessions_terminated_at;
CREATE INDEX ix_sessions_terminated_at ON sessions (terminated_at) WHERE terminated_at IS NOT NULL;

-- The agents' books change with every session that starts or ends. With no index on the amounts and some
-- room on each page, that writes to no index at all. An agent has a handful of rows, found by its id.
DROP INDEX ix_agent_resources_agent_avail;
ALTER TABLE agent_resources SET (fillfactor = 40);
ALTER TABLE agents SET (fillfactor = 50);
-- A kernel's amounts are written again once it runs.
ALTER TABLE resource_allocations SET (fillfactor = 85);
