-- What storage proxies were asked to do with whole folders, so that no manager's end leaves it undone.
CREATE TABLE folder_work (
  vfolder uuid NOT NULL,
  kind varchar(16) NOT NULL,
  -- The folder that is copied.
  source uuid,
  -- The proxy's id of its task; null until it was asked.
  storage_task uuid,
  -- When a manager last looked after it.
  touched_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_folder_work PRIMARY KEY (vfolder),
  CONSTRAINT fk_folder_work_vfolder_vfolders FOREIGN KEY (vfolder) REFERENCES vfolders (id) ON DELETE CASCADE
);
