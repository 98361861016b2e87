-- What is due at agents, oldest first: few kernels at any time, however many run and have ended. Indexes
-- on expressions, as only these then serve their queries, whatever is known of the table at the time.
CREATE INDEX ix_kernels_due ON kernels (
  (CASE WHEN status IN ('SCHEDULED', 'TERMINATING')
      OR (status = 'RUNNING' AND cluster_size > 1 AND cluster_joined_at IS NULL)
    THEN status_changed END), id)
  WHERE (CASE WHEN status IN ('SCHEDULED', 'TERMINATING')
      OR (status = 'RUNNING' AND cluster_size > 1 AND cluster_joined_at IS NULL)
    THEN status_changed END) IS NOT NULL;
DROP INDEX ix_kernels_unjoined;
-- Ended in the books without their agent's word.
CREATE INDEX ix_kernels_unconfirmed ON kernels (
  (CASE WHEN status = 'TERMINATED' AND NOT coalesce(status_data, '{}') ? 'kernel'
    THEN terminated_at END))
  WHERE (CASE WHEN status = 'TERMINATED' AND NOT coalesce(status_data, '{}') ? 'kernel'
    THEN terminated_at END) IS NOT NULL;

-- Others begin with the same columns, or tell nearly nothing apart; every session writes to each several
-- times.
DROP INDEX ix_ra_kernel_slot;
DROP INDEX ix_resource_allocations_slot_name;
DROP INDEX ix_session_scheduling_history_session_id;
