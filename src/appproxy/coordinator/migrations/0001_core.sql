-- The coordinator's own database, with upstream's names. Beside upstream's columns:
-- workers.circuits_version and .last_seen, tokens.created_at, and what keeps addresses unique.

CREATE EXTENSION IF NOT EXISTS "uuid-ossp";

CREATE TABLE workers (
  id uuid DEFAULT uuid_generate_v4() NOT NULL CONSTRAINT pk_workers PRIMARY KEY,
  authority varchar(255) NOT NULL CONSTRAINT uq_workers_authority UNIQUE,
  frontend_mode varchar(64) NOT NULL,
  protocol varchar(64) NOT NULL,
  hostname varchar(1024) NOT NULL,
  tls_listen boolean NOT NULL,
  tls_advertised boolean NOT NULL,
  api_port integer NOT NULL,
  available_slots integer NOT NULL,
  occupied_slots integer NOT NULL,
  port_range integer[],
  wildcard_domain varchar(1024),
  wildcard_traffic_port integer,
  nodes integer NOT NULL,
  accepted_traffics varchar[] NOT NULL,
  filtered_apps_only boolean NOT NULL,
  traefik_last_used_marker_path varchar(1024),
  created_at timestamptz DEFAULT now(),
  updated_at timestamptz DEFAULT now(),
  status varchar(64) NOT NULL,
  -- Grows whenever the worker's circuits change.
  circuits_version bigint DEFAULT 1 NOT NULL,
  last_seen timestamptz DEFAULT now() NOT NULL
);

CREATE TABLE worker_app_filters (
  id uuid DEFAULT uuid_generate_v4() NOT NULL CONSTRAINT pk_worker_app_filters PRIMARY KEY,
  property_name varchar(96) NOT NULL,
  property_value varchar(1024) NOT NULL,
  worker uuid NOT NULL
    CONSTRAINT fk_worker_app_filters_worker_workers REFERENCES workers (id) ON DELETE CASCADE,
  CONSTRAINT uq_worker_app_filters_property UNIQUE (property_name, property_value, worker)
);

CREATE TABLE circuits (
  id uuid DEFAULT uuid_generate_v4() NOT NULL CONSTRAINT pk_circuits PRIMARY KEY,
  app varchar(255),
  protocol varchar(64) NOT NULL,
  worker uuid NOT NULL CONSTRAINT fk_circuits_worker_workers REFERENCES workers (id),
  app_mode varchar(64) NOT NULL,
  frontend_mode varchar(64) NOT NULL,
  port integer,
  subdomain varchar(255),
  envs jsonb,
  arguments varchar(1000),
  open_to_public boolean DEFAULT false NOT NULL,
  allowed_client_ips varchar(255),
  user_id uuid,
  endpoint_id uuid,
  runtime_variant varchar(64),
  session_ids uuid[] NOT NULL,
  route_info jsonb NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL
);
CREATE UNIQUE INDEX uq_circuits_worker_port ON circuits (worker, port) WHERE port IS NOT NULL;
CREATE UNIQUE INDEX uq_circuits_worker_subdomain
  ON circuits (worker, lower(subdomain)) WHERE subdomain IS NOT NULL;
CREATE INDEX ix_circuits_session_ids ON circuits USING gin (session_ids);
CREATE INDEX ix_circuits_endpoint_id ON circuits (endpoint_id) WHERE endpoint_id IS NOT NULL;

CREATE TABLE tokens (
  id uuid DEFAULT uuid_generate_v4() NOT NULL CONSTRAINT pk_tokens PRIMARY KEY,
  login_session_token varchar(127),
  kernel_host varchar(255) NOT NULL,
  kernel_port integer NOT NULL,
  session_id uuid NOT NULL,
  user_uuid uuid NOT NULL,
  group_id uuid NOT NULL,
  access_key text NOT NULL,
  domain_name text NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL
);
CREATE INDEX ix_tokens_session_id ON tokens (session_id);
CREATE INDEX ix_tokens_created_at ON tokens (created_at);

CREATE TABLE endpoints (
  id uuid DEFAULT uuid_generate_v4() NOT NULL CONSTRAINT pk_endpoints PRIMARY KEY,
  health_check_enabled boolean DEFAULT false NOT NULL,
  health_check_config jsonb,
  created_at timestamptz DEFAULT now(),
  updated_at timestamptz DEFAULT now()
);
