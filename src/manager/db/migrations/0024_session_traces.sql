-- The traceparent of the request that made a session, whose start belongs to the same trace. NULL: it is not
-- traced.
ALTER TABLE sessions ADD COLUMN trace_context text;
