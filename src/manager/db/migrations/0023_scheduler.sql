-- Where a resource group's round-robin selection of agents has come to.

ALTER TABLE scaling_groups ADD COLUMN round_robin_agent varchar(64);
COMMENT ON COLUMN scaling_groups.round_robin_agent IS
  'The agent that round-robin selection used last; the next one by id is tried first.';
