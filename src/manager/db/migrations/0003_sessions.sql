-- Sessions, their kernels, what these hold, and the history of how they were scheduled.

CREATE TABLE sessions (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  creation_id varchar(32),
  name varchar(128),
  session_type varchar(64) DEFAULT 'INTERACTIVE' NOT NULL,
  priority integer NOT NULL,
  is_preemptible boolean DEFAULT true NOT NULL,
  cluster_mode varchar(16) DEFAULT 'SINGLE_NODE' NOT NULL,
  cluster_size integer NOT NULL,
  options jsonb NOT NULL,
  agent_ids varchar[],
  designated_agent_ids varchar[],
  scaling_group_name varchar(64),
  target_sgroup_names varchar(64)[] DEFAULT '{}',
  domain_name varchar(64) NOT NULL,
  group_id uuid NOT NULL,
  user_uuid uuid DEFAULT uuid_generate_v4() NOT NULL,
  access_key varchar(20),
  images varchar[],
  image_ids uuid[],
  tag varchar(64),
  occupying_slots jsonb NOT NULL,
  requested_slots jsonb NOT NULL,
  vfolder_mounts jsonb,
  environ jsonb,
  bootstrap_script varchar(16384),
  use_host_network boolean NOT NULL,
  timeout bigint,
  batch_timeout bigint,
  created_at timestamptz DEFAULT now(),
  terminated_at timestamptz,
  starts_at timestamptz,
  status varchar(64) DEFAULT 'PENDING' NOT NULL,
  status_info varchar,
  status_data jsonb,
  status_history jsonb,
  callback_url text,
  startup_command text,
  result varchar(64) DEFAULT 'UNDEFINED' NOT NULL,
  num_queries bigint,
  last_stat jsonb,
  network_type varchar(64),
  network_id varchar(128),
  replica_id uuid,
  CONSTRAINT pk_sessions PRIMARY KEY (id),
  CONSTRAINT fk_sessions_scaling_group_name_scaling_groups FOREIGN KEY (scaling_group_name) REFERENCES scaling_groups (name),
  CONSTRAINT fk_sessions_domain_name_domains FOREIGN KEY (domain_name) REFERENCES domains (name),
  CONSTRAINT fk_sessions_group_id_groups FOREIGN KEY (group_id) REFERENCES groups (id)
);
CREATE INDEX ix_sessions_name ON sessions (name);
CREATE INDEX ix_sessions_session_type ON sessions (session_type);
CREATE INDEX ix_sessions_priority ON sessions (priority);
CREATE INDEX ix_sessions_scaling_group_name ON sessions (scaling_group_name);
CREATE INDEX ix_sessions_created_at ON sessions (created_at);
CREATE INDEX ix_sessions_terminated_at ON sessions (terminated_at);
CREATE INDEX ix_sessions_status ON sessions (status);
CREATE INDEX ix_sessions_result ON sessions (result);
CREATE INDEX ix_sessions_updated_order ON sessions (greatest(created_at, terminated_at));
CREATE INDEX ix_sessions_vfolder_mounts ON sessions USING gin (vfolder_mounts);
CREATE INDEX ix_session_status_with_priority ON sessions (status, priority);
CREATE UNIQUE INDEX ix_sessions_unique_name_per_user_nonterminal ON sessions (name, user_uuid)
  WHERE status NOT IN ('ERROR', 'TERMINATED', 'CANCELLED');

CREATE TABLE kernels (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  session_id uuid NOT NULL,
  session_creation_id varchar(32),
  session_name varchar(128),
  session_type varchar(64) DEFAULT 'INTERACTIVE' NOT NULL,
  cluster_mode varchar(16) DEFAULT 'SINGLE_NODE' NOT NULL,
  cluster_size integer NOT NULL,
  cluster_role varchar(16) NOT NULL,
  cluster_idx integer NOT NULL,
  local_rank integer NOT NULL,
  cluster_hostname varchar(64) NOT NULL,
  uid integer,
  main_gid integer,
  gids integer[],
  scaling_group varchar(64),
  agent varchar(64),
  agent_addr varchar(128),
  domain_name varchar(64) NOT NULL,
  group_id uuid NOT NULL,
  user_uuid uuid NOT NULL,
  access_key varchar(20),
  image varchar(512),
  image_id uuid,
  architecture varchar(32),
  registry varchar(512),
  tag varchar(64),
  container_id varchar(64),
  occupied_slots jsonb NOT NULL,
  requested_slots jsonb NOT NULL,
  occupied_shares jsonb NOT NULL,
  environ varchar[],
  mounts varchar[],
  mount_map jsonb,
  vfolder_mounts jsonb,
  attached_devices jsonb,
  resource_opts jsonb,
  bootstrap_script varchar(16384),
  kernel_host varchar(128),
  repl_in_port integer NOT NULL,
  repl_out_port integer NOT NULL,
  stdin_port integer NOT NULL,
  stdout_port integer NOT NULL,
  service_ports jsonb,
  preopen_ports integer[],
  use_host_network boolean NOT NULL,
  created_at timestamptz DEFAULT now(),
  terminated_at timestamptz,
  starts_at timestamptz,
  status varchar(64) DEFAULT 'PENDING' NOT NULL,
  status_changed timestamptz,
  status_info varchar,
  status_data jsonb,
  status_history jsonb,
  callback_url text,
  startup_command text,
  result varchar(64) DEFAULT 'UNDEFINED' NOT NULL,
  internal_data jsonb,
  container_log bytea,
  num_queries bigint,
  last_stat jsonb,
  last_seen timestamptz,
  last_observed_at timestamptz,
  CONSTRAINT pk_kernels PRIMARY KEY (id),
  CONSTRAINT fk_kernels_session_id_sessions FOREIGN KEY (session_id) REFERENCES sessions (id),
  CONSTRAINT fk_kernels_scaling_group_scaling_groups FOREIGN KEY (scaling_group) REFERENCES scaling_groups (name),
  CONSTRAINT fk_kernels_agent_agents FOREIGN KEY (agent) REFERENCES agents (id),
  CONSTRAINT fk_kernels_domain_name_domains FOREIGN KEY (domain_name) REFERENCES domains (name),
  CONSTRAINT fk_kernels_group_id_groups FOREIGN KEY (group_id) REFERENCES groups (id),
  CONSTRAINT fk_kernels_image_id_images FOREIGN KEY (image_id) REFERENCES images (id) ON DELETE SET NULL
);
CREATE INDEX ix_kernels_session_id ON kernels (session_id);
CREATE INDEX ix_kernels_session_name ON kernels (session_name);
CREATE INDEX ix_kernels_session_type ON kernels (session_type);
CREATE INDEX ix_kernels_cluster_role ON kernels (cluster_role);
CREATE INDEX ix_kernels_scaling_group ON kernels (scaling_group);
CREATE INDEX ix_kernels_image_id ON kernels (image_id);
CREATE INDEX ix_kernels_created_at ON kernels (created_at);
CREATE INDEX ix_kernels_terminated_at ON kernels (terminated_at);
CREATE INDEX ix_kernels_status ON kernels (status);
CREATE INDEX ix_kernels_status_changed ON kernels (status_changed);
CREATE INDEX ix_kernels_result ON kernels (result);
CREATE INDEX ix_kernels_sess_id_role ON kernels (session_id, cluster_role);
CREATE INDEX ix_kernels_status_role ON kernels (status, cluster_role);
CREATE INDEX ix_kernels_updated_order ON kernels (greatest(created_at, terminated_at, status_changed));
CREATE INDEX ix_kernels_fair_share_running ON kernels (scaling_group)
  WHERE terminated_at IS NULL AND starts_at IS NOT NULL;
CREATE INDEX ix_kernels_fair_share_terminated ON kernels (scaling_group, terminated_at)
  WHERE terminated_at IS NOT NULL AND starts_at IS NOT NULL;

CREATE TABLE session_dependencies (
  session_id uuid NOT NULL,
  depends_on uuid NOT NULL,
  CONSTRAINT sess_dep_pk PRIMARY KEY (session_id, depends_on),
  CONSTRAINT fk_session_dependencies_session_id_sessions FOREIGN KEY (session_id) REFERENCES sessions (id) ON UPDATE CASCADE ON DELETE CASCADE,
  CONSTRAINT fk_session_dependencies_depends_on_sessions FOREIGN KEY (depends_on) REFERENCES sessions (id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX ix_session_dependencies_session_id ON session_dependencies (session_id);
CREATE INDEX ix_session_dependencies_depends_on ON session_dependencies (depends_on);

CREATE TABLE resource_allocations (
  kernel_id uuid NOT NULL,
  slot_name varchar(64) NOT NULL,
  requested numeric(24,6) NOT NULL,
  used numeric(24,6),
  created_at timestamptz DEFAULT now() NOT NULL,
  used_at timestamptz,
  free_at timestamptz,
  CONSTRAINT pk_resource_allocations PRIMARY KEY (kernel_id, slot_name),
  CONSTRAINT fk_resource_allocations_kernel_id_kernels FOREIGN KEY (kernel_id) REFERENCES kernels (id) ON DELETE CASCADE,
  CONSTRAINT fk_resource_allocations_slot_name_resource_slot_types FOREIGN KEY (slot_name) REFERENCES resource_slot_types (slot_name)
);
CREATE INDEX ix_resource_allocations_slot_name ON resource_allocations (slot_name);
CREATE INDEX ix_ra_kernel_slot ON resource_allocations (kernel_id, slot_name);
CREATE INDEX ix_ra_occupied ON resource_allocations (kernel_id, slot_name)
  WHERE free_at IS NULL;

CREATE TABLE session_scheduling_history (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  session_id uuid NOT NULL,
  phase varchar(64) NOT NULL,
  from_status varchar(64),
  to_status varchar(64),
  result varchar(32) NOT NULL,
  error_code varchar(128),
  message text NOT NULL,
  sub_steps jsonb DEFAULT '[]'::jsonb NOT NULL,
  attempts integer NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  CONSTRAINT pk_session_scheduling_history PRIMARY KEY (id)
);
CREATE INDEX ix_session_scheduling_history_session_id ON session_scheduling_history (session_id);

CREATE TABLE kernel_scheduling_history (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  kernel_id uuid NOT NULL,
  session_id uuid NOT NULL,
  phase varchar(64) NOT NULL,
  from_status varchar(64),
  to_status varchar(64),
  result varchar(32) NOT NULL,
  error_code varchar(128),
  message text NOT NULL,
  attempts integer NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  CONSTRAINT pk_kernel_scheduling_history PRIMARY KEY (id)
);
CREATE INDEX ix_kernel_scheduling_history_kernel_id ON kernel_scheduling_history (kernel_id);
CREATE INDEX ix_kernel_scheduling_history_session_id ON kernel_scheduling_history (session_id);
