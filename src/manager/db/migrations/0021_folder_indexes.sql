-- Whose folders they are, and who may use them, is asked for with every list and mount.
CREATE INDEX ix_vfolders_user ON vfolders ("user");
CREATE INDEX ix_vfolders_group ON vfolders ("group");
CREATE INDEX ix_vfolder_permissions_user ON vfolder_permissions ("user");

-- A user has one permission on a folder. Of several, which nothing prevented until now, the lowest
-- is kept: nobody gets more than was meant.
DELETE FROM vfolder_permissions p USING vfolder_permissions kept
 WHERE p.vfolder = kept.vfolder AND p."user" = kept."user"
   AND (coalesce(p.permission, 'ro'), p.id) > (coalesce(kept.permission, 'ro'), kept.id);
CREATE UNIQUE INDEX uq_vfolder_permissions_vfolder_user ON vfolder_permissions (vfolder, "user");
