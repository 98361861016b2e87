-- Who may do what: domains, projects, users, keypairs, their policies, resource groups and roles.

CREATE TYPE defaultforunspecified AS ENUM ('LIMITED', 'UNLIMITED');
CREATE TYPE userstatus AS ENUM ('active', 'inactive', 'deleted', 'before-verification');
CREATE TYPE userrole AS ENUM ('superadmin', 'admin', 'user', 'monitor');
CREATE TYPE projecttype AS ENUM ('general', 'model-store');
CREATE TYPE errorlog_severity AS ENUM ('critical', 'error', 'warning');

CREATE TABLE domains (
  name varchar(64) NOT NULL,
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  description varchar(512),
  is_active boolean NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  modified_at timestamptz DEFAULT now() NOT NULL,
  total_resource_slots jsonb NOT NULL,
  allowed_vfolder_hosts jsonb NOT NULL,
  allowed_docker_registries varchar[] NOT NULL,
  integration_id varchar(512),
  dotfiles bytea NOT NULL,
  CONSTRAINT pk_domains PRIMARY KEY (name),
  CONSTRAINT uq_domains_id UNIQUE (id)
);

CREATE TABLE keypair_resource_policies (
  name varchar(256) NOT NULL,
  created_at timestamptz DEFAULT now(),
  default_for_unspecified defaultforunspecified NOT NULL,
  total_resource_slots jsonb NOT NULL,
  max_session_lifetime integer DEFAULT 0 NOT NULL,
  max_concurrent_sessions integer NOT NULL,
  max_pending_session_count integer,
  max_pending_session_resource_slots jsonb,
  max_concurrent_sftp_sessions integer DEFAULT 1 NOT NULL,
  max_containers_per_session integer NOT NULL,
  idle_timeout bigint NOT NULL,
  allowed_vfolder_hosts jsonb NOT NULL,
  CONSTRAINT pk_keypair_resource_policies PRIMARY KEY (name)
);

CREATE TABLE user_resource_policies (
  name varchar(256) NOT NULL,
  created_at timestamptz DEFAULT now(),
  max_vfolder_count integer NOT NULL,
  max_quota_scope_size bigint NOT NULL,
  max_session_count_per_model_session integer NOT NULL,
  max_customized_image_count integer NOT NULL,
  max_concurrent_logins integer,
  CONSTRAINT pk_user_resource_policies PRIMARY KEY (name)
);

CREATE TABLE project_resource_policies (
  name varchar(256) NOT NULL,
  created_at timestamptz DEFAULT now(),
  max_vfolder_count integer NOT NULL,
  max_quota_scope_size bigint NOT NULL,
  max_network_count integer NOT NULL,
  CONSTRAINT pk_project_resource_policies PRIMARY KEY (name)
);

CREATE TABLE users (
  uuid uuid DEFAULT uuid_generate_v4() NOT NULL,
  username varchar(64),
  email varchar(64) NOT NULL,
  password varchar,
  need_password_change boolean,
  password_changed_at timestamptz DEFAULT now(),
  full_name varchar(64),
  description varchar(500),
  status userstatus NOT NULL,
  status_info varchar,
  created_at timestamptz DEFAULT now(),
  modified_at timestamptz DEFAULT now(),
  integration_id varchar(512),
  domain_name varchar(64),
  role userrole,
  allowed_client_ip cidr[],
  totp_key varchar(32),
  totp_activated boolean DEFAULT false,
  totp_activated_at timestamptz,
  resource_policy varchar(256) NOT NULL,
  sudo_session_enabled boolean NOT NULL,
  main_access_key varchar(20),
  container_uid integer,
  container_main_gid integer,
  container_gids integer[],
  CONSTRAINT pk_users PRIMARY KEY (uuid),
  CONSTRAINT uq_users_username UNIQUE (username),
  CONSTRAINT fk_users_domain_name_domains FOREIGN KEY (domain_name) REFERENCES domains (name),
  CONSTRAINT fk_users_resource_policy_user_resource_policies FOREIGN KEY (resource_policy) REFERENCES user_resource_policies (name)
);
CREATE UNIQUE INDEX ix_users_email ON users (email);
CREATE INDEX ix_users_domain_name ON users (domain_name);

CREATE TABLE keypairs (
  user_id varchar(256),
  access_key varchar(20) NOT NULL,
  secret_key varchar(40),
  is_active boolean,
  is_admin boolean DEFAULT false,
  created_at timestamptz DEFAULT now(),
  modified_at timestamptz DEFAULT now(),
  last_used timestamptz,
  rate_limit integer,
  num_queries integer DEFAULT 0,
  ssh_public_key text,
  ssh_private_key text,
  "user" uuid NOT NULL,
  resource_policy varchar(256) NOT NULL,
  dotfiles bytea NOT NULL,
  bootstrap_script varchar(65536) NOT NULL,
  CONSTRAINT pk_keypairs PRIMARY KEY (access_key),
  CONSTRAINT fk_keypairs_user_users FOREIGN KEY ("user") REFERENCES users (uuid),
  CONSTRAINT fk_keypairs_resource_policy_keypair_resource_policies FOREIGN KEY (resource_policy) REFERENCES keypair_resource_policies (name)
);
CREATE INDEX ix_keypairs_user_id ON keypairs (user_id);
CREATE INDEX ix_keypairs_is_active ON keypairs (is_active);
CREATE INDEX ix_keypairs_is_admin ON keypairs (is_admin);

CREATE TABLE groups (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  name varchar(64) NOT NULL,
  description varchar(512),
  is_active boolean,
  created_at timestamptz DEFAULT now(),
  modified_at timestamptz DEFAULT now(),
  integration_id varchar(512),
  domain_name varchar(64) NOT NULL,
  total_resource_slots jsonb NOT NULL,
  allowed_vfolder_hosts jsonb NOT NULL,
  dotfiles bytea NOT NULL,
  resource_policy varchar(256) NOT NULL,
  type projecttype NOT NULL,
  container_registry jsonb,
  CONSTRAINT pk_groups PRIMARY KEY (id),
  CONSTRAINT uq_groups_name_domain_name UNIQUE (name, domain_name),
  CONSTRAINT fk_groups_domain_name_domains FOREIGN KEY (domain_name) REFERENCES domains (name) ON UPDATE CASCADE ON DELETE CASCADE,
  CONSTRAINT fk_groups_resource_policy_project_resource_policies FOREIGN KEY (resource_policy) REFERENCES project_resource_policies (name)
);
CREATE INDEX ix_groups_domain_name ON groups (domain_name);

CREATE TABLE association_groups_users (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  user_id uuid NOT NULL,
  group_id uuid NOT NULL,
  CONSTRAINT pk_association_groups_users PRIMARY KEY (id),
  CONSTRAINT uq_association_user_id_group_id UNIQUE (user_id, group_id),
  CONSTRAINT fk_association_groups_users_user_id_users FOREIGN KEY (user_id) REFERENCES users (uuid) ON UPDATE CASCADE ON DELETE CASCADE,
  CONSTRAINT fk_association_groups_users_group_id_groups FOREIGN KEY (group_id) REFERENCES groups (id) ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE TABLE scaling_groups (
  name varchar(64) NOT NULL,
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  description varchar(512),
  is_active boolean,
  is_public boolean DEFAULT true NOT NULL,
  created_at timestamptz DEFAULT now(),
  wsproxy_addr varchar(1024),
  wsproxy_api_token varchar(128),
  driver varchar(64) NOT NULL,
  driver_opts jsonb NOT NULL,
  scheduler varchar(64) NOT NULL,
  use_host_network boolean NOT NULL,
  scheduler_opts jsonb NOT NULL,
  fair_share_spec jsonb,
  default_deployment_options jsonb NOT NULL,
  default_session_options jsonb NOT NULL,
  CONSTRAINT pk_scaling_groups PRIMARY KEY (name),
  CONSTRAINT uq_scaling_groups_id UNIQUE (id)
);
CREATE INDEX ix_scaling_groups_is_active ON scaling_groups (is_active);
CREATE INDEX ix_scaling_groups_is_public ON scaling_groups (is_public);

CREATE TABLE sgroups_for_domains (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  scaling_group varchar(64) NOT NULL,
  domain varchar(64) NOT NULL,
  CONSTRAINT pk_sgroups_for_domains PRIMARY KEY (id),
  CONSTRAINT uq_sgroup_domain UNIQUE (scaling_group, domain),
  CONSTRAINT fk_sgroups_for_domains_scaling_group_scaling_groups FOREIGN KEY (scaling_group) REFERENCES scaling_groups (name) ON UPDATE CASCADE ON DELETE CASCADE,
  CONSTRAINT fk_sgroups_for_domains_domain_domains FOREIGN KEY (domain) REFERENCES domains (name) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX ix_sgroups_for_domains_scaling_group ON sgroups_for_domains (scaling_group);
CREATE INDEX ix_sgroups_for_domains_domain ON sgroups_for_domains (domain);

CREATE TABLE sgroups_for_groups (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  scaling_group varchar(64) NOT NULL,
  "group" uuid NOT NULL,
  CONSTRAINT pk_sgroups_for_groups PRIMARY KEY (id),
  CONSTRAINT uq_sgroup_ugroup UNIQUE (scaling_group, "group"),
  CONSTRAINT fk_sgroups_for_groups_scaling_group_scaling_groups FOREIGN KEY (scaling_group) REFERENCES scaling_groups (name) ON UPDATE CASCADE ON DELETE CASCADE,
  CONSTRAINT fk_sgroups_for_groups_group_groups FOREIGN KEY ("group") REFERENCES groups (id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX ix_sgroups_for_groups_scaling_group ON sgroups_for_groups (scaling_group);
CREATE INDEX ix_sgroups_for_groups_group ON sgroups_for_groups ("group");

CREATE TABLE sgroups_for_keypairs (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  scaling_group varchar(64) NOT NULL,
  access_key varchar(20) NOT NULL,
  CONSTRAINT pk_sgroups_for_keypairs PRIMARY KEY (id),
  CONSTRAINT uq_sgroup_akey UNIQUE (scaling_group, access_key),
  CONSTRAINT fk_sgroups_for_keypairs_scaling_group_scaling_groups FOREIGN KEY (scaling_group) REFERENCES scaling_groups (name) ON UPDATE CASCADE ON DELETE CASCADE,
  CONSTRAINT fk_sgroups_for_keypairs_access_key_keypairs FOREIGN KEY (access_key) REFERENCES keypairs (access_key) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX ix_sgroups_for_keypairs_scaling_group ON sgroups_for_keypairs (scaling_group);
CREATE INDEX ix_sgroups_for_keypairs_access_key ON sgroups_for_keypairs (access_key);

CREATE TABLE roles (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  name varchar(64) NOT NULL,
  description text,
  source varchar(16) DEFAULT 'system' NOT NULL,
  status varchar(64) DEFAULT 'active' NOT NULL,
  auto_assign boolean DEFAULT false NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL,
  deleted_at timestamptz,
  CONSTRAINT pk_roles PRIMARY KEY (id)
);
CREATE INDEX ix_id_status ON roles (id, status);

CREATE TABLE user_roles (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  user_id uuid NOT NULL,
  role_id uuid NOT NULL,
  granted_by uuid,
  granted_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_user_roles PRIMARY KEY (id),
  CONSTRAINT uq_user_id_role_id UNIQUE (user_id, role_id),
  CONSTRAINT fk_user_roles_user_id_users FOREIGN KEY (user_id) REFERENCES users (uuid) ON DELETE CASCADE,
  CONSTRAINT fk_user_roles_role_id_roles FOREIGN KEY (role_id) REFERENCES roles (id) ON DELETE CASCADE
);

CREATE TABLE permissions (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  role_id uuid NOT NULL,
  scope_type varchar(32) NOT NULL,
  scope_id varchar(64) NOT NULL,
  entity_type varchar(32) NOT NULL,
  operation varchar(32) NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_permissions PRIMARY KEY (id),
  CONSTRAINT uq_permissions_role_scope_entity_op UNIQUE (role_id, scope_type, scope_id, entity_type, operation),
  CONSTRAINT fk_permissions_role_id_roles FOREIGN KEY (role_id) REFERENCES roles (id) ON DELETE CASCADE
);
CREATE INDEX ix_permissions_role_scope ON permissions (role_id, scope_type, scope_id);
CREATE INDEX ix_permissions_scope_entity ON permissions (scope_type, scope_id, entity_type);

CREATE TABLE association_scopes_entities (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  scope_type varchar(32) NOT NULL,
  scope_id varchar(64) NOT NULL,
  entity_type varchar(32) NOT NULL,
  entity_id varchar(64) NOT NULL,
  relation_type varchar(32) DEFAULT 'auto' NOT NULL,
  permission_cap smallint,
  registered_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_association_scopes_entities PRIMARY KEY (id),
  CONSTRAINT uq_scope_id_entity_id UNIQUE (scope_type, scope_id, entity_id)
);
CREATE INDEX ix_association_scopes_entities_entity ON association_scopes_entities (entity_type, entity_id);

CREATE TABLE login_client_types (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  name varchar(64) NOT NULL,
  description text,
  created_at timestamptz DEFAULT now() NOT NULL,
  modified_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_login_client_types PRIMARY KEY (id),
  CONSTRAINT uq_login_client_types_name UNIQUE (name)
);

CREATE TABLE login_sessions (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  session_token varchar(64) NOT NULL,
  user_id uuid NOT NULL,
  access_key varchar(20) NOT NULL,
  login_client_type_id uuid,
  status varchar(64) DEFAULT 'active' NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  last_accessed_at timestamptz,
  invalidated_at timestamptz,
  CONSTRAINT pk_login_sessions PRIMARY KEY (id),
  CONSTRAINT fk_login_sessions_user_id_users FOREIGN KEY (user_id) REFERENCES users (uuid) ON DELETE CASCADE,
  CONSTRAINT fk_login_sessions_login_client_type_id_login_client_types FOREIGN KEY (login_client_type_id) REFERENCES login_client_types (id) ON DELETE SET NULL
);
CREATE UNIQUE INDEX ix_login_sessions_session_token ON login_sessions (session_token);
CREATE INDEX ix_login_sessions_user_id ON login_sessions (user_id);
CREATE INDEX ix_login_sessions_login_client_type_id ON login_sessions (login_client_type_id);
CREATE INDEX ix_login_sessions_status ON login_sessions (status);
CREATE INDEX ix_login_sessions_user_id_status ON login_sessions (user_id, status);

CREATE TABLE login_history (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  user_id uuid NOT NULL,
  domain_name varchar(64) NOT NULL,
  result varchar(64) NOT NULL,
  fail_reason text,
  created_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_login_history PRIMARY KEY (id),
  CONSTRAINT fk_login_history_user_id_users FOREIGN KEY (user_id) REFERENCES users (uuid) ON DELETE CASCADE
);
CREATE INDEX ix_login_history_user_id ON login_history (user_id);
CREATE INDEX ix_login_history_result ON login_history (result);
CREATE INDEX ix_login_history_created_at ON login_history (created_at);
CREATE INDEX ix_login_history_user_id_created_at ON login_history (user_id, created_at);

CREATE TABLE error_logs (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  created_at timestamptz DEFAULT now(),
  severity errorlog_severity,
  source varchar,
  "user" uuid,
  is_read boolean,
  is_cleared boolean,
  message text,
  context_lang varchar,
  context_env jsonb,
  request_url varchar,
  request_status integer,
  traceback text,
  CONSTRAINT pk_error_logs PRIMARY KEY (id),
  CONSTRAINT fk_error_logs_user_users FOREIGN KEY ("user") REFERENCES users (uuid)
);
CREATE INDEX ix_error_logs_created_at ON error_logs (created_at);
CREATE INDEX ix_error_logs_severity ON error_logs (severity);
CREATE INDEX ix_error_logs_user ON error_logs ("user");
CREATE INDEX ix_error_logs_is_read ON error_logs (is_read);
CREATE INDEX ix_error_logs_is_cleared ON error_logs (is_cleared);

ALTER TABLE users
  ADD CONSTRAINT fk_users_main_access_key_keypairs FOREIGN KEY (main_access_key) REFERENCES keypairs (access_key) ON DELETE SET NULL;
