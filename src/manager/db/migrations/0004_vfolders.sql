-- Virtual folders: the folders themselves, their sharing and where they are mounted.

CREATE TYPE vfolderusagemode AS ENUM ('general', 'model', 'data');
CREATE TYPE vfolderpermission AS ENUM ('ro', 'rw', 'wd');
CREATE TYPE vfolderownershiptype AS ENUM ('user', 'group');
CREATE TYPE vfolderinvitationstate AS ENUM ('pending', 'canceled', 'accepted', 'rejected');

CREATE TABLE vfolders (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  host varchar(128) NOT NULL,
  domain_name varchar(64) NOT NULL,
  quota_scope_id varchar(64) NOT NULL,
  name varchar(128) NOT NULL,
  usage_mode vfolderusagemode NOT NULL,
  permission vfolderpermission,
  max_files integer,
  max_size integer,
  num_files integer,
  cur_size integer,
  created_at timestamptz DEFAULT now(),
  last_used timestamptz,
  updated_at timestamptz DEFAULT now() NOT NULL,
  creator varchar(128),
  creator_id uuid,
  unmanaged_path varchar(512),
  ownership_type vfolderownershiptype NOT NULL,
  "user" uuid,
  "group" uuid,
  cloneable boolean NOT NULL,
  status varchar(64) DEFAULT 'ready' NOT NULL,
  status_history jsonb,
  status_changed timestamptz,
  CONSTRAINT pk_vfolders PRIMARY KEY (id)
);
CREATE INDEX ix_vfolders_host ON vfolders (host);
CREATE INDEX ix_vfolders_domain_name ON vfolders (domain_name);
CREATE INDEX ix_vfolders_name ON vfolders (name);
CREATE INDEX ix_vfolders_usage_mode ON vfolders (usage_mode);
CREATE INDEX ix_vfolders_ownership_type ON vfolders (ownership_type);
CREATE INDEX ix_vfolders_status ON vfolders (status);
CREATE INDEX ix_vfolders_status_changed ON vfolders (status_changed);

CREATE TABLE vfolder_permissions (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  permission vfolderpermission,
  vfolder uuid NOT NULL,
  "user" uuid NOT NULL,
  CONSTRAINT pk_vfolder_permissions PRIMARY KEY (id),
  CONSTRAINT fk_vfolder_permissions_vfolder_vfolders FOREIGN KEY (vfolder) REFERENCES vfolders (id) ON UPDATE CASCADE ON DELETE CASCADE,
  CONSTRAINT fk_vfolder_permissions_user_users FOREIGN KEY ("user") REFERENCES users (uuid)
);

CREATE TABLE vfolder_invitations (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  permission vfolderpermission,
  inviter varchar(256),
  invitee varchar(256) NOT NULL,
  state vfolderinvitationstate,
  created_at timestamptz DEFAULT now(),
  modified_at timestamptz,
  vfolder uuid NOT NULL,
  CONSTRAINT pk_vfolder_invitations PRIMARY KEY (id),
  CONSTRAINT fk_vfolder_invitations_vfolder_vfolders FOREIGN KEY (vfolder) REFERENCES vfolders (id) ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE TABLE vfolder_attachment (
  vfolder uuid NOT NULL,
  kernel uuid NOT NULL,
  CONSTRAINT pk_vfolder_attachment PRIMARY KEY (vfolder, kernel),
  CONSTRAINT fk_vfolder_attachment_vfolder_vfolders FOREIGN KEY (vfolder) REFERENCES vfolders (id) ON UPDATE CASCADE ON DELETE CASCADE,
  CONSTRAINT fk_vfolder_attachment_kernel_kernels FOREIGN KEY (kernel) REFERENCES kernels (id) ON UPDATE CASCADE ON DELETE CASCADE
);
