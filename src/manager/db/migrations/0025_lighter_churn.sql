-- What a session's life costs the server. These indexes serve no query; each change of a kernel's status
-- writes to them.
DROP INDEX ix_kernels_fair_share_running;
DROP INDEX ix_kernels_fair_share_terminated;

-- A kernel is made together with its session, in the same domain, project and resource group, and these are
-- kept by the session's own constraints. Slots come from the table of their types, of which none is ever
-- removed. Checking them once more was a third of what making a kernel costs.
ALTER TABLE kernels
  DROP CONSTRAINT fk_kernels_domain_name_domains,
  DROP CONSTRAINT fk_kernels_group_id_groups,
  DROP CONSTRAINT fk_kernels_scaling_group_scaling_groups;
ALTER TABLE resource_allocations
  DROP CONSTRAINT fk_resource_allocations_slot_name_resource_slot_types;
