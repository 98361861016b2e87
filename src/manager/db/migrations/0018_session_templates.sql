-- Templates of sessions, and the calls to `callback_url` that are still to be made.

CREATE TYPE templatetype AS ENUM ('TASK', 'CLUSTER');

CREATE TABLE session_templates (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  created_at timestamptz DEFAULT now(),
  is_active boolean DEFAULT true,
  domain_name varchar(64) NOT NULL,
  group_id uuid,
  user_uuid uuid NOT NULL,
  type templatetype DEFAULT 'TASK' NOT NULL,
  name varchar(128),
  template jsonb NOT NULL,
  CONSTRAINT pk_session_templates PRIMARY KEY (id),
  CONSTRAINT fk_session_templates_domain_name_domains FOREIGN KEY (domain_name) REFERENCES domains (name) ON UPDATE CASCADE ON DELETE CASCADE,
  CONSTRAINT fk_session_templates_group_id_groups FOREIGN KEY (group_id) REFERENCES groups (id) ON DELETE CASCADE,
  CONSTRAINT fk_session_templates_user_uuid_users FOREIGN KEY (user_uuid) REFERENCES users (uuid) ON DELETE CASCADE
);
CREATE INDEX ix_session_templates_created_at ON session_templates (created_at);
CREATE INDEX ix_session_templates_user_uuid ON session_templates (user_uuid);
CREATE INDEX ix_session_templates_group_id ON session_templates (group_id);

-- One call of a session's `callback_url`, written with the transition that it tells of.
CREATE TABLE session_callbacks (
  id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
  session_id uuid NOT NULL,
  url varchar NOT NULL,
  -- What is sent.
  body jsonb NOT NULL,
  created_at timestamptz NOT NULL,
  -- Calls made so far, and when the next one is due.
  attempts integer DEFAULT 0 NOT NULL,
  next_at timestamptz NOT NULL,
  CONSTRAINT pk_session_callbacks PRIMARY KEY (id)
);
CREATE INDEX ix_session_callbacks_session_id ON session_callbacks (session_id, id);
