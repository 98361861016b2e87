-- Role-based access control: presets and invitations, and the roles of every user, project and domain
-- that exists already, which from now on are made together with them.

CREATE TABLE role_presets (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  name varchar(64) NOT NULL,
  scope_type varchar(32) NOT NULL,
  auto_assign boolean DEFAULT false NOT NULL,
  deleted boolean DEFAULT false NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_role_presets PRIMARY KEY (id)
);
CREATE INDEX ix_role_presets_scope_type_deleted ON role_presets (scope_type, deleted);

CREATE TABLE role_permission_presets (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  role_preset_id uuid NOT NULL,
  entity_type varchar(32) NOT NULL,
  operation varchar(32) NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_role_permission_presets PRIMARY KEY (id),
  CONSTRAINT uq_role_permission_presets_preset_entity_op UNIQUE (role_preset_id, entity_type, operation),
  CONSTRAINT fk_role_permission_presets_role_preset_id_role_presets FOREIGN KEY (role_preset_id) REFERENCES role_presets (id) ON DELETE CASCADE
);

CREATE TABLE role_invitations (
  id uuid DEFAULT uuid_generate_v4() NOT NULL,
  inviter_user_id uuid,
  invitee_user_id uuid NOT NULL,
  role_id uuid NOT NULL,
  state varchar(64) DEFAULT 'pending' NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz,
  CONSTRAINT pk_role_invitations PRIMARY KEY (id),
  CONSTRAINT fk_role_invitations_inviter_user_id_users FOREIGN KEY (inviter_user_id) REFERENCES users (uuid) ON UPDATE CASCADE ON DELETE SET NULL,
  CONSTRAINT fk_role_invitations_invitee_user_id_users FOREIGN KEY (invitee_user_id) REFERENCES users (uuid) ON UPDATE CASCADE ON DELETE CASCADE,
  CONSTRAINT fk_role_invitations_role_id_roles FOREIGN KEY (role_id) REFERENCES roles (id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE UNIQUE INDEX uq_role_invitations_active ON role_invitations (invitee_user_id, role_id) WHERE state <> 'accepted';
CREATE INDEX ix_role_invitations_role_id ON role_invitations (role_id);
CREATE INDEX ix_role_invitations_inviter_user_id ON role_invitations (inviter_user_id);

-- The operation as a bit; 0 for those that pass permissions on.
ALTER TABLE permissions ADD COLUMN permission smallint DEFAULT 0 NOT NULL;
UPDATE permissions
   SET permission = CASE operation WHEN 'read' THEN 1 WHEN 'update' THEN 2 WHEN 'create' THEN 4
                                   WHEN 'soft-delete' THEN 8 WHEN 'hard-delete' THEN 16 ELSE 0 END;

-- Every user has a role, so lists of roles and of who has one need these.
CREATE INDEX ix_roles_created_at ON roles (created_at, id);
CREATE INDEX ix_roles_name ON roles (name, id);
CREATE INDEX ix_user_roles_role_id ON user_roles (role_id, granted_at);

CREATE TEMPORARY TABLE new_roles ON COMMIT DROP AS
  SELECT uuid_generate_v5(uuid_ns_url(), 'backend.ai/role/' || kind || '/' || scope_id) AS id, *
    FROM (
      SELECT 'user-owner' AS kind, 'user' AS scope_type, uuid::text AS scope_id,
             'user-' || left(uuid::text, 8) AS name
        FROM users
      UNION ALL
      SELECT 'project-' || part, 'project', g.id::text,
             'project-' || left(g.id::text, 8) || '-' || part
        FROM groups g, (VALUES ('admin'), ('member')) AS parts (part)
      UNION ALL
      SELECT 'domain-' || part, 'domain', d.name, 'domain-' || left(d.name, 50) || '-' || part
        FROM domains d, (VALUES ('admin'), ('member')) AS parts (part)
    ) AS scopes;

INSERT INTO roles (id, name, source, status, auto_assign)
SELECT id, name, 'system', 'active', kind LIKE '%-member' FROM new_roles;

INSERT INTO association_scopes_entities (scope_type, scope_id, entity_type, entity_id)
SELECT scope_type, scope_id, 'role', id::text FROM new_roles
UNION ALL
SELECT 'domain', domain_name, 'project', id::text FROM groups
UNION ALL
SELECT 'domain', domain_name, 'user', uuid::text FROM users WHERE domain_name IS NOT NULL
ON CONFLICT DO NOTHING;

-- Being a member puts nobody into a project in the sense that the project's roles reach the person.
INSERT INTO association_scopes_entities (scope_type, scope_id, entity_type, entity_id, relation_type)
SELECT 'project', group_id::text, 'user', user_id::text, 'ref' FROM association_groups_users
ON CONFLICT DO NOTHING;

-- Owners need none: what is one's own is allowed without a permission.
INSERT INTO permissions (role_id, scope_type, scope_id, entity_type, operation, permission)
SELECT r.id, r.scope_type, r.scope_id, entity_type, operation,
       CASE operation WHEN 'read' THEN 1 WHEN 'update' THEN 2 WHEN 'create' THEN 4
                      WHEN 'soft-delete' THEN 8 ELSE 16 END
  FROM (VALUES
         ('{project-admin,domain-admin}',
          '{session,vfolder,model_deployment,image,artifact,artifact_registry,
            app_config,model_card,notification_channel,notification_rule}',
          '{create,read,update,soft-delete,hard-delete}'),
         ('{project-admin,domain-admin}',
          '{user,network,role:assignment}',
          '{create,read,update,soft-delete,hard-delete}'),
         ('{project-admin,domain-admin}', '{role,resource_group,container_registry}', '{read}'),
         ('{project-admin}', '{project}', '{read,update}'),
         ('{project-admin}', '{project_admin_page}', '{read}'),
         ('{project-member}',
          '{project,user,vfolder,model_deployment,image,artifact,
            model_card,resource_group,container_registry}',
          '{read}'),
         ('{project-member}', '{session,vfolder,model_deployment}', '{create}'),
         ('{domain-admin}', '{domain}', '{read,update}'),
         ('{domain-admin}', '{project}', '{create,read,update,soft-delete,hard-delete}'),
         ('{domain-admin}', '{domain_admin_page}', '{read}'),
         ('{domain-member}', '{domain}', '{read}')
       ) AS allowed (kinds, entity_types, operations)
  JOIN new_roles r ON r.kind = ANY (kinds::text[]),
       unnest(entity_types::text[]) AS entity_type, unnest(operations::text[]) AS operation;

INSERT INTO user_roles (user_id, role_id)
SELECT scope_id::uuid, id FROM new_roles WHERE kind = 'user-owner'
UNION ALL
SELECT u.uuid, r.id FROM users u
  JOIN new_roles r ON r.scope_type = 'domain' AND r.scope_id = u.domain_name
                  AND (r.kind = 'domain-member' OR u.role = 'admin')
UNION ALL
SELECT m.user_id, r.id FROM association_groups_users m
  JOIN new_roles r ON r.kind = 'project-member' AND r.scope_id = m.group_id::text
ON CONFLICT DO NOTHING;
