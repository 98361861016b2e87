-- What domains, projects and users have used of resource groups per day, and the fair shares that follow.

CREATE TABLE domain_usage_buckets (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  domain_name varchar(64) NOT NULL,
  resource_group varchar(64) NOT NULL,
  period_start date NOT NULL,
  period_end date NOT NULL,
  decay_unit_days integer DEFAULT 1 NOT NULL,
  resource_usage jsonb DEFAULT '{}'::jsonb NOT NULL,
  capacity_snapshot jsonb DEFAULT '{}'::jsonb NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_domain_usage_buckets PRIMARY KEY (id),
  CONSTRAINT uq_domain_usage_bucket UNIQUE (domain_name, resource_group, period_start)
);
CREATE INDEX ix_domain_usage_bucket_lookup ON domain_usage_buckets (resource_group, period_start);

CREATE TABLE domain_fair_shares (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  resource_group varchar(64) NOT NULL,
  domain_name varchar(64) NOT NULL,
  weight numeric(10,4),
  fair_share_factor numeric(8,6) DEFAULT 1.0 NOT NULL,
  total_decayed_usage jsonb DEFAULT '{}'::jsonb NOT NULL,
  resource_weights jsonb DEFAULT '{}'::jsonb NOT NULL,
  normalized_usage numeric(8,6) DEFAULT 0 NOT NULL,
  last_calculated_at timestamptz DEFAULT now() NOT NULL,
  lookback_start date DEFAULT CURRENT_DATE NOT NULL,
  lookback_end date DEFAULT CURRENT_DATE NOT NULL,
  half_life_days integer DEFAULT 7 NOT NULL,
  lookback_days integer DEFAULT 28 NOT NULL,
  decay_unit_days integer DEFAULT 1 NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_domain_fair_shares PRIMARY KEY (id),
  CONSTRAINT uq_domain_fair_share UNIQUE (resource_group, domain_name),
  CONSTRAINT fk_domain_fair_shares_owner FOREIGN KEY (domain_name) REFERENCES domains (name) ON UPDATE CASCADE ON DELETE CASCADE,
  CONSTRAINT fk_domain_fair_shares_resource_group FOREIGN KEY (resource_group) REFERENCES scaling_groups (name) ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE TABLE project_usage_buckets (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  project_id uuid NOT NULL,
  domain_name varchar(64) NOT NULL,
  resource_group varchar(64) NOT NULL,
  period_start date NOT NULL,
  period_end date NOT NULL,
  decay_unit_days integer DEFAULT 1 NOT NULL,
  resource_usage jsonb DEFAULT '{}'::jsonb NOT NULL,
  capacity_snapshot jsonb DEFAULT '{}'::jsonb NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_project_usage_buckets PRIMARY KEY (id),
  CONSTRAINT uq_project_usage_bucket UNIQUE (project_id, resource_group, period_start)
);
CREATE INDEX ix_project_usage_bucket_lookup ON project_usage_buckets (resource_group, period_start);

CREATE TABLE project_fair_shares (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  resource_group varchar(64) NOT NULL,
  project_id uuid NOT NULL,
  domain_name varchar(64) NOT NULL,
  weight numeric(10,4),
  fair_share_factor numeric(8,6) DEFAULT 1.0 NOT NULL,
  total_decayed_usage jsonb DEFAULT '{}'::jsonb NOT NULL,
  resource_weights jsonb DEFAULT '{}'::jsonb NOT NULL,
  normalized_usage numeric(8,6) DEFAULT 0 NOT NULL,
  last_calculated_at timestamptz DEFAULT now() NOT NULL,
  lookback_start date DEFAULT CURRENT_DATE NOT NULL,
  lookback_end date DEFAULT CURRENT_DATE NOT NULL,
  half_life_days integer DEFAULT 7 NOT NULL,
  lookback_days integer DEFAULT 28 NOT NULL,
  decay_unit_days integer DEFAULT 1 NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_project_fair_shares PRIMARY KEY (id),
  CONSTRAINT uq_project_fair_share UNIQUE (resource_group, project_id),
  CONSTRAINT fk_project_fair_shares_owner FOREIGN KEY (project_id) REFERENCES groups (id) ON DELETE CASCADE,
  CONSTRAINT fk_project_fair_shares_resource_group FOREIGN KEY (resource_group) REFERENCES scaling_groups (name) ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE TABLE user_usage_buckets (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  user_uuid uuid NOT NULL,
  project_id uuid NOT NULL,
  domain_name varchar(64) NOT NULL,
  resource_group varchar(64) NOT NULL,
  period_start date NOT NULL,
  period_end date NOT NULL,
  decay_unit_days integer DEFAULT 1 NOT NULL,
  resource_usage jsonb DEFAULT '{}'::jsonb NOT NULL,
  capacity_snapshot jsonb DEFAULT '{}'::jsonb NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_user_usage_buckets PRIMARY KEY (id),
  CONSTRAINT uq_user_usage_bucket UNIQUE (user_uuid, project_id, resource_group, period_start)
);
CREATE INDEX ix_user_usage_bucket_lookup ON user_usage_buckets (resource_group, period_start);

CREATE TABLE user_fair_shares (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  resource_group varchar(64) NOT NULL,
  user_uuid uuid NOT NULL,
  project_id uuid NOT NULL,
  domain_name varchar(64) NOT NULL,
  weight numeric(10,4),
  fair_share_factor numeric(8,6) DEFAULT 1.0 NOT NULL,
  scheduling_rank integer,
  total_decayed_usage jsonb DEFAULT '{}'::jsonb NOT NULL,
  resource_weights jsonb DEFAULT '{}'::jsonb NOT NULL,
  normalized_usage numeric(8,6) DEFAULT 0 NOT NULL,
  last_calculated_at timestamptz DEFAULT now() NOT NULL,
  lookback_start date DEFAULT CURRENT_DATE NOT NULL,
  lookback_end date DEFAULT CURRENT_DATE NOT NULL,
  half_life_days integer DEFAULT 7 NOT NULL,
  lookback_days integer DEFAULT 28 NOT NULL,
  decay_unit_days integer DEFAULT 1 NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_user_fair_shares PRIMARY KEY (id),
  CONSTRAINT uq_user_fair_share UNIQUE (resource_group, user_uuid, project_id),
  CONSTRAINT fk_user_fair_shares_owner FOREIGN KEY (user_uuid) REFERENCES users (uuid) ON DELETE CASCADE,
  CONSTRAINT fk_user_fair_shares_resource_group FOREIGN KEY (resource_group) REFERENCES scaling_groups (name) ON UPDATE CASCADE ON DELETE CASCADE
);

-- Usage of the last days is added up again and again.
CREATE INDEX ix_ra_freed ON resource_allocations (free_at) WHERE free_at IS NOT NULL;
