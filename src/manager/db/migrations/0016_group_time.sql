-- The newer schema promises the time of creation of every resource group. Groups without one were
-- there before anybody noted it: they are as old as the database.
UPDATE scaling_groups
   SET created_at = (SELECT min(applied_at) FROM schema_migrations)
 WHERE created_at IS NULL;
ALTER TABLE scaling_groups ALTER COLUMN created_at SET NOT NULL;
