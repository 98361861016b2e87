-- What the control plane looks for all the time.

-- The kernels that an agent holds or should hold: read on every heartbeat.
CREATE INDEX ix_kernels_agent_live ON kernels (agent) WHERE terminated_at IS NULL;
-- The latest history row of a session: read whenever a reason to wait is written down.
CREATE INDEX ix_session_scheduling_history_latest ON session_scheduling_history (session_id, created_at DESC);
