-- What sessions run on and from: slot types, presets, agents, registries and images.

CREATE TYPE agentstatus AS ENUM ('ALIVE', 'LOST', 'RESTARTING', 'TERMINATED');
CREATE TYPE imagetype AS ENUM ('COMPUTE', 'SYSTEM', 'SERVICE');

CREATE TABLE resource_slot_types (
  slot_name varchar(64) NOT NULL,
  slot_type varchar(16) NOT NULL,
  required boolean DEFAULT false NOT NULL,
  enabled boolean DEFAULT true NOT NULL,
  display_name varchar(128) DEFAULT '' NOT NULL,
  description varchar(256) DEFAULT '' NOT NULL,
  display_unit varchar(32) DEFAULT '' NOT NULL,
  display_icon varchar(64) DEFAULT '' NOT NULL,
  number_format jsonb DEFAULT '{"binary":false,"round_length":0}'::jsonb NOT NULL,
  rank integer DEFAULT 0 NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_resource_slot_types PRIMARY KEY (slot_name)
);

CREATE TABLE resource_presets (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  name varchar(256) NOT NULL,
  resource_slots jsonb NOT NULL,
  shared_memory bigint,
  scaling_group_name varchar(64),
  CONSTRAINT pk_resource_presets PRIMARY KEY (id)
);
CREATE UNIQUE INDEX ix_resource_presets_name_null_scaling_group_name ON resource_presets (name)
  WHERE scaling_group_name IS NULL;
CREATE UNIQUE INDEX ix_resource_presets_name_scaling_group_name ON resource_presets (name, scaling_group_name)
  WHERE scaling_group_name IS NOT NULL;

CREATE TABLE agents (
  id varchar(64) NOT NULL,
  status agentstatus NOT NULL,
  status_changed timestamptz,
  region varchar(64) NOT NULL,
  scaling_group varchar(64) DEFAULT 'default' NOT NULL,
  schedulable boolean DEFAULT true NOT NULL,
  available_slots jsonb NOT NULL,
  occupied_slots jsonb NOT NULL,
  addr varchar(128) NOT NULL,
  public_host varchar(256),
  public_key varchar(40),
  first_contact timestamptz DEFAULT now(),
  lost_at timestamptz,
  version varchar(64) NOT NULL,
  architecture varchar(32) NOT NULL,
  compute_plugins jsonb NOT NULL,
  auto_terminate_abusing_kernel boolean DEFAULT false NOT NULL,
  CONSTRAINT pk_agents PRIMARY KEY (id),
  CONSTRAINT fk_agents_scaling_group_scaling_groups FOREIGN KEY (scaling_group) REFERENCES scaling_groups (name)
);
CREATE INDEX ix_agents_status ON agents (status);
CREATE INDEX ix_agents_region ON agents (region);
CREATE INDEX ix_agents_scaling_group ON agents (scaling_group);

CREATE TABLE agent_resources (
  agent_id varchar(64) NOT NULL,
  slot_name varchar(64) NOT NULL,
  capacity numeric(24,6) NOT NULL,
  reserved numeric(24,6) DEFAULT 0 NOT NULL,
  used numeric(24,6) DEFAULT 0 NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_agent_resources PRIMARY KEY (agent_id, slot_name),
  CONSTRAINT fk_agent_resources_agent_id_agents FOREIGN KEY (agent_id) REFERENCES agents (id) ON DELETE CASCADE,
  CONSTRAINT fk_agent_resources_slot_name_resource_slot_types FOREIGN KEY (slot_name) REFERENCES resource_slot_types (slot_name)
);
CREATE INDEX ix_agent_resources_slot_name ON agent_resources (slot_name);
CREATE INDEX ix_agent_resources_agent_avail ON agent_resources (agent_id, slot_name, capacity, reserved, used);

CREATE TABLE container_registries (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  url varchar(512) NOT NULL,
  registry_name varchar(255) NOT NULL,
  type varchar(64) DEFAULT 'docker' NOT NULL,
  project varchar(255),
  username varchar(255),
  password varchar,
  ssl_verify boolean DEFAULT true,
  is_global boolean DEFAULT true,
  extra json,
  CONSTRAINT pk_container_registries PRIMARY KEY (id)
);
CREATE INDEX ix_container_registries_url ON container_registries (url);
CREATE INDEX ix_container_registries_registry_name ON container_registries (registry_name);
CREATE INDEX ix_container_registries_type ON container_registries (type);
CREATE INDEX ix_container_registries_project ON container_registries (project);
CREATE INDEX ix_container_registries_ssl_verify ON container_registries (ssl_verify);
CREATE INDEX ix_container_registries_is_global ON container_registries (is_global);

CREATE TABLE images (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  name varchar NOT NULL,
  project varchar,
  image varchar NOT NULL,
  created_at timestamptz DEFAULT now(),
  tag text,
  registry varchar NOT NULL,
  registry_id uuid NOT NULL,
  architecture varchar NOT NULL,
  config_digest char(72) NOT NULL,
  size_bytes bigint NOT NULL,
  is_local boolean DEFAULT false NOT NULL,
  type imagetype NOT NULL,
  accelerators varchar,
  labels json NOT NULL,
  resources jsonb NOT NULL,
  status varchar(64) DEFAULT 'ALIVE' NOT NULL,
  last_used_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_images PRIMARY KEY (id),
  CONSTRAINT uq_image_identifier UNIQUE (registry, project, name, tag, architecture),
  CONSTRAINT fk_images_registry_id_container_registries FOREIGN KEY (registry_id) REFERENCES container_registries (id) ON DELETE RESTRICT
);
CREATE INDEX ix_images_name ON images (name);
CREATE INDEX ix_images_image ON images (image);
CREATE INDEX ix_images_created_at ON images (created_at);
CREATE INDEX ix_images_registry ON images (registry);
CREATE INDEX ix_images_registry_id ON images (registry_id);
CREATE INDEX ix_images_architecture ON images (architecture);

CREATE TABLE image_aliases (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  alias varchar,
  image uuid NOT NULL,
  CONSTRAINT pk_image_aliases PRIMARY KEY (id),
  CONSTRAINT fk_image_aliases_image_images FOREIGN KEY (image) REFERENCES images (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX ix_image_aliases_alias ON image_aliases (alias);
