-- Columns of our own, beside upstream's, for the link between manager and agents.

-- Number of the last outbox entry of the agent that has been applied; see managerApi.deliver.
ALTER TABLE agents ADD COLUMN last_event_seq bigint DEFAULT 0 NOT NULL;
-- Ed25519 key, base64url. Upstream's public_key holds a CURVE key, which is too short for it.
ALTER TABLE agents ADD COLUMN identity_key text;
-- How the agent runs kernels: docker, process, dummy.
ALTER TABLE agents ADD COLUMN backend varchar(32);
-- When the agent was last heard of; the database's view of liveness survives a restart.
ALTER TABLE agents ADD COLUMN last_heartbeat timestamptz;
-- What the backend could not isolate or limit for the kernel, in plain words.
ALTER TABLE kernels ADD COLUMN isolation_gaps jsonb DEFAULT '[]'::jsonb NOT NULL;
