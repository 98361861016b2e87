-- Who changed what. The last two columns are ours: the row as it was and as it became.

CREATE TABLE audit_logs (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  entity_type varchar NOT NULL,
  operation varchar NOT NULL,
  entity_id varchar,
  created_at timestamptz DEFAULT now() NOT NULL,
  action_id uuid NOT NULL,
  request_id varchar,
  triggered_by varchar,
  description varchar NOT NULL,
  duration interval,
  status varchar(64) NOT NULL,
  before jsonb,
  after jsonb,
  CONSTRAINT pk_audit_logs PRIMARY KEY (id)
);
CREATE INDEX ix_audit_logs_entity_type ON audit_logs (entity_type);
CREATE INDEX ix_audit_logs_operation ON audit_logs (operation);
CREATE INDEX ix_audit_logs_entity_id ON audit_logs (entity_id);
CREATE INDEX ix_audit_logs_created_at ON audit_logs (created_at);
