-- Sessions of several kernels. The key pair by which the kernels reach each other is forgotten when the
-- session ends. A kernel of a cluster has joined when it knows where the others are; until all have,
-- the session is not running.

ALTER TABLE sessions ADD COLUMN cluster_ssh_keypair jsonb;
ALTER TABLE kernels ADD COLUMN cluster_joined_at timestamptz;
-- Those that are still to be told, which are few at any time.
CREATE INDEX ix_kernels_unjoined ON kernels (session_id)
  WHERE status = 'RUNNING' AND cluster_size > 1 AND cluster_joined_at IS NULL;
