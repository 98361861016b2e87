-- Nobody reads a kernel's own history, and it goes with its session's; each step of a kernel wrote to this
-- index. Dropping it needs a moment's lock.
DROP INDEX ix_kernel_scheduling_history_kernel_id;
-- The history of all sessions is shown newest first. Made in 3 s for two million rows on a busy machine;
-- transitions wait meanwhile, and go on by themselves.
CREATE INDEX ix_session_scheduling_history_newest ON session_scheduling_history (created_at, id);
-- A kernel's amounts are written again once it runs: with this much room that writes to no index. For new pages.
ALTER TABLE resource_allocations SET (fillfactor = 60);
