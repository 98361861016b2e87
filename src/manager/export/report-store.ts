/** The reports and their SQL. Keys, titles and types are upstream's: clients offer them by name. */
import type { Report } from './report.ts';

export const users: Report = {
  key: 'users',
  name: 'Users',
  description: 'The accounts, with their policies, projects and main keypairs',
  subject: 'The user',
  from: 'users u',
  relations: {
    policy: {
      subject: "The user's resource policy",
      sql: 'LEFT JOIN user_resource_policies p ON p.name = u.resource_policy',
    },
    project: {
      subject: 'A project of the user',
      sql: `LEFT JOIN association_groups_users m ON m.user_id = u.uuid
            LEFT JOIN groups g ON g.id = m.group_id`,
    },
    keypair: {
      subject: "The user's main keypair",
      sql: 'LEFT JOIN keypairs k ON k.access_key = u.main_access_key',
    },
  },
  fields: [
    ['uuid', 'UUID', 'uuid', 'u.uuid'],
    ['username', 'Username', 'string', 'u.username'],
    ['email', 'Email', 'string', 'u.email'],
    ['full_name', 'Full Name', 'string', 'u.full_name'],
    ['domain_name', 'Domain', 'string', 'u.domain_name'],
    ['role', 'Role', 'enum', 'u.role'],
    ['status', 'Status', 'enum', 'u.status'],
    ['created_at', 'Created At', 'datetime', 'u.created_at'],
    ['modified_at', 'Modified At', 'datetime', 'u.modified_at'],
    ['resource_policy_name', 'Resource Policy Name', 'string', 'p.name', 'policy'],
    ['resource_policy_created_at', 'Policy Created At', 'datetime', 'p.created_at', 'policy'],
    ...(
      [
        ['max_vfolder_count', 'Policy Max VFolder Count', 'max_vfolder_count'],
        ['max_quota_scope_size', 'Policy Max Quota Size', 'max_quota_scope_size'],
        [
          'max_session_count_per_model',
          'Policy Max Sessions Per Model',
          'max_session_count_per_model_session',
        ],
        ['max_customized_image_count', 'Policy Max Custom Images', 'max_customized_image_count'],
      ] as const
    ).map(
      ([key, title, column]) =>
        [`resource_policy_${key}`, title, 'integer', `p.${column}`, 'policy'] as const,
    ),
    ['project_id', 'Project ID', 'uuid', 'g.id', 'project'],
    ['project_name', 'Project Name', 'string', 'g.name', 'project'],
    ['project_description', 'Project Description', 'string', 'g.description', 'project'],
    ['project_domain_name', 'Project Domain', 'string', 'g.domain_name', 'project'],
    ['project_is_active', 'Project Active', 'boolean', 'g.is_active', 'project'],
    ['project_created_at', 'Project Created At', 'datetime', 'g.created_at', 'project'],
    ['main_access_key', 'Main Access Key', 'string', 'k.access_key', 'keypair'],
    ['main_keypair_is_active', 'Main Keypair Active', 'boolean', 'k.is_active', 'keypair'],
    ['main_keypair_created_at', 'Main Keypair Created At', 'datetime', 'k.created_at', 'keypair'],
    ['main_keypair_last_used', 'Main Keypair Last Used', 'datetime', 'k.last_used', 'keypair'],
  ],
  filters: {
    username: ['text', 'u.username'],
    email: ['text', 'u.email'],
    domain_name: ['text', 'u.domain_name'],
    role: ['words', 'u.role::text'],
    status: ['words', 'u.status::text'],
    created_at: ['time', 'u.created_at'],
  },
  orders: {
    username: 'u.username',
    email: 'u.email',
    full_name: 'u.full_name',
    domain_name: 'u.domain_name',
    role: 'u.role',
    status: 'u.status',
    created_at: 'u.created_at',
    modified_at: 'u.modified_at',
  },
  owners: { domain: 'u.domain_name' },
};

export const sessions: Report = {
  key: 'sessions',
  name: 'Sessions',
  description: 'The compute sessions, with their projects, owners, resource groups and kernels',
  subject: 'The session',
  from: 'sessions s',
  relations: {
    project: { subject: "The session's project", sql: 'LEFT JOIN groups g ON g.id = s.group_id' },
    policy: {
      subject: "The resource policy of the session's project",
      sql: `LEFT JOIN groups pg ON pg.id = s.group_id
            LEFT JOIN project_resource_policies p ON p.name = pg.resource_policy`,
    },
    user: { subject: "The session's owner", sql: 'LEFT JOIN users u ON u.uuid = s.user_uuid' },
    resource_group: {
      subject: "The session's resource group",
      sql: 'LEFT JOIN scaling_groups r ON r.name = s.scaling_group_name',
    },
    kernel: {
      subject: 'A kernel of the session',
      sql: 'LEFT JOIN kernels k ON k.session_id = s.id',
    },
  },
  fields: [
    ['id', 'ID', 'uuid', 's.id'],
    ['name', 'Name', 'string', 's.name'],
    ['session_type', 'Type', 'enum', 's.session_type'],
    ['domain_name', 'Domain', 'string', 's.domain_name'],
    ['access_key', 'Access Key', 'string', 's.access_key'],
    ['status', 'Status', 'enum', 's.status'],
    ['status_info', 'Status Info', 'string', 's.status_info'],
    ['cluster_size', 'Cluster Size', 'integer', 's.cluster_size'],
    ['resource_used', 'Resources Used', 'json', 's.occupying_slots'],
    ['resource_requested', 'Resources Requested', 'json', 's.requested_slots'],
    ['created_at', 'Created At', 'datetime', 's.created_at'],
    ['terminated_at', 'Terminated At', 'datetime', 's.terminated_at'],
    ['project_name', 'Project Name', 'string', 'g.name', 'project'],
    ['project_description', 'Project Description', 'string', 'g.description', 'project'],
    [
      'project_resource_policy',
      'Project Resource Policy',
      'string',
      'g.resource_policy',
      'project',
    ],
    ['project_is_active', 'Project Active', 'boolean', 'g.is_active', 'project'],
    ['project_created_at', 'Project Created At', 'datetime', 'g.created_at', 'project'],
    ...(
      [
        ['max_vfolder_count', 'Project Policy Max VFolders'],
        ['max_quota_scope_size', 'Project Policy Max Quota'],
        ['max_network_count', 'Project Policy Max Networks'],
      ] as const
    ).map(
      ([name, title]) =>
        [`project_policy_${name}`, title, 'integer', `p.${name}`, 'policy'] as const,
    ),
    ['user_email', 'User Email', 'string', 'u.email', 'user'],
    ['user_username', 'User Username', 'string', 'u.username', 'user'],
    ['user_full_name', 'User Full Name', 'string', 'u.full_name', 'user'],
    ['user_role', 'User Role', 'string', 'u.role', 'user'],
    ...(
      [
        ['name', 'Resource Group Name', 'string'],
        ['description', 'Resource Group Description', 'string'],
        ['is_active', 'Resource Group Active', 'boolean'],
        ['is_public', 'Resource Group Public', 'boolean'],
        ['scheduler', 'Resource Group Scheduler', 'string'],
        ['created_at', 'Resource Group Created At', 'datetime'],
      ] as const
    ).map(
      ([name, title, type]) =>
        [`resource_group_${name}`, title, type, `r.${name}`, 'resource_group'] as const,
    ),
    ['kernel_id', 'Kernel ID', 'uuid', 'k.id', 'kernel'],
    ['kernel_role', 'Kernel Role', 'string', 'k.cluster_role', 'kernel'],
    ['kernel_status', 'Kernel Status', 'string', 'k.status', 'kernel'],
    ['kernel_image', 'Kernel Image', 'string', 'k.image', 'kernel'],
    ['kernel_architecture', 'Kernel Architecture', 'string', 'k.architecture', 'kernel'],
    ['kernel_registry', 'Kernel Registry', 'string', 'k.registry', 'kernel'],
    ['kernel_tag', 'Kernel Tag', 'string', 'k.tag', 'kernel'],
    ['kernel_agent', 'Kernel Agent', 'string', 'k.agent', 'kernel'],
    ['kernel_created_at', 'Kernel Created At', 'datetime', 'k.created_at', 'kernel'],
    ['kernel_terminated_at', 'Kernel Terminated At', 'datetime', 'k.terminated_at', 'kernel'],
  ],
  filters: {
    name: ['text', 's.name'],
    session_type: ['words', 's.session_type::text'],
    domain_name: ['text', 's.domain_name'],
    access_key: ['text', 's.access_key'],
    status: ['words', 's.status::text'],
    scaling_group_name: ['text', 's.scaling_group_name'],
    created_at: ['time', 's.created_at'],
    terminated_at: ['time', 's.terminated_at'],
    user_email: ['text', '(SELECT o.email FROM users o WHERE o.uuid = s.user_uuid)'],
    user_username: ['text', '(SELECT o.username FROM users o WHERE o.uuid = s.user_uuid)'],
  },
  orders: {
    name: 's.name',
    session_type: 's.session_type',
    domain_name: 's.domain_name',
    access_key: 's.access_key',
    status: 's.status',
    scaling_group_name: 's.scaling_group_name',
    cluster_size: 's.cluster_size',
    created_at: 's.created_at',
    terminated_at: 's.terminated_at',
  },
  owners: { user: 's.user_uuid::text', project: 's.group_id::text' },
  internal: ['kernel_agent'],
};

const projects: Report = {
  key: 'projects',
  name: 'Projects',
  description: 'The projects, with their policies and resource groups',
  subject: 'The project',
  from: 'groups g',
  relations: {
    policy: {
      subject: "The project's resource policy",
      sql: 'LEFT JOIN project_resource_policies p ON p.name = g.resource_policy',
    },
    container_registry: {
      subject: 'A container registry that the project may use',
      sql: `LEFT JOIN container_registries c ON c.is_global OR EXISTS (
              SELECT 1 FROM association_container_registries_groups x
               WHERE x.group_id = g.id AND x.registry_id = c.id)`,
    },
    resource_group: {
      subject: 'A resource group of the project',
      sql: `LEFT JOIN sgroups_for_groups a ON a."group" = g.id
            LEFT JOIN scaling_groups r ON r.name = a.scaling_group`,
    },
  },
  fields: [
    ['id', 'ID', 'uuid', 'g.id'],
    ['name', 'Name', 'string', 'g.name'],
    ['description', 'Description', 'string', 'g.description'],
    ['domain_name', 'Domain', 'string', 'g.domain_name'],
    ['is_active', 'Active', 'boolean', 'g.is_active'],
    ['total_resource_slots', 'Resource Slots', 'json', 'g.total_resource_slots'],
    ['created_at', 'Created At', 'datetime', 'g.created_at'],
    ['modified_at', 'Modified At', 'datetime', 'g.modified_at'],
    ['allowed_vfolder_hosts', 'Allowed VFolder Hosts', 'json', 'g.allowed_vfolder_hosts'],
    ['container_registry', 'Container Registry', 'json', 'g.container_registry'],
    ['resource_policy_name', 'Resource Policy Name', 'string', 'p.name', 'policy'],
    ...(
      [
        ['max_vfolder_count', 'Resource Policy Max VFolder Count'],
        ['max_quota_scope_size', 'Resource Policy Max Quota Scope Size'],
        ['max_network_count', 'Resource Policy Max Network Count'],
      ] as const
    ).map(
      ([name, title]) =>
        [`resource_policy_${name}`, title, 'integer', `p.${name}`, 'policy'] as const,
    ),
    [
      'resource_policy_created_at',
      'Resource Policy Created At',
      'datetime',
      'p.created_at',
      'policy',
    ],
    ...(
      [
        ['name', 'Scaling Group Name', 'string'],
        ['description', 'Scaling Group Description', 'string'],
        ['is_active', 'Scaling Group Is Active', 'boolean'],
        ['is_public', 'Scaling Group Is Public', 'boolean'],
        ['driver', 'Scaling Group Driver', 'string'],
        ['scheduler', 'Scaling Group Scheduler', 'string'],
        ['created_at', 'Scaling Group Created At', 'datetime'],
      ] as const
    ).map(
      ([name, title, type]) =>
        [`scaling_group_${name}`, title, type, `r.${name}`, 'resource_group'] as const,
    ),
    ...(
      [
        ['id', 'ID', 'uuid', 'c.id'],
        ['url', 'URL', 'string', 'c.url'],
        ['name', 'Name', 'string', 'c.registry_name'],
        ['type', 'Type', 'enum', 'c.type'],
        ['project', 'Project', 'string', 'c.project'],
        ['is_global', 'Is Global', 'boolean', 'c.is_global'],
      ] as const
    ).map(
      ([name, title, type, column]) =>
        [
          ...([`container_registry_${name}`, `Container Registry ${title}`] as const),
          ...([type, column, 'container_registry'] as const),
        ] as const,
    ),
  ],
  filters: {
    name: ['text', 'g.name'],
    domain_name: ['text', 'g.domain_name'],
    is_active: ['boolean', 'g.is_active'],
    created_at: ['time', 'g.created_at'],
  },
  orders: {
    name: 'g.name',
    domain_name: 'g.domain_name',
    is_active: 'g.is_active',
    created_at: 'g.created_at',
    modified_at: 'g.modified_at',
  },
  owners: {},
};

export const keypairs: Report = {
  key: 'keypairs',
  name: 'Keypairs',
  description: 'The access keys, with their owners, policies, resource groups and sessions',
  subject: 'The keypair',
  from: 'keypairs k',
  relations: {
    user: { subject: "The keypair's owner", sql: 'LEFT JOIN users u ON u.uuid = k."user"' },
    policy: {
      subject: "The keypair's resource policy",
      sql: 'LEFT JOIN keypair_resource_policies p ON p.name = k.resource_policy',
    },
    resource_group: {
      subject: 'A resource group of the keypair',
      sql: `LEFT JOIN sgroups_for_keypairs a ON a.access_key = k.access_key
            LEFT JOIN scaling_groups r ON r.name = a.scaling_group`,
    },
    session: {
      subject: 'A session of the keypair',
      sql: 'LEFT JOIN sessions s ON s.access_key = k.access_key',
    },
  },
  fields: [
    ['access_key', 'Access Key', 'string', 'k.access_key'],
    ['is_active', 'Active', 'boolean', 'k.is_active'],
    ['is_admin', 'Admin', 'boolean', 'k.is_admin'],
    [
      'is_default',
      'Default',
      'boolean',
      `EXISTS (SELECT 1 FROM users o WHERE o.uuid = k."user" AND o.main_access_key = k.access_key)`,
    ],
    ['created_at', 'Created At', 'datetime', 'k.created_at'],
    ['modified_at', 'Modified At', 'datetime', 'k.modified_at'],
    ['last_used', 'Last Used', 'datetime', 'k.last_used'],
    ['user_id', 'User Email', 'string', 'u.email', 'user'],
    ['user_uuid', 'User UUID', 'uuid', 'u.uuid', 'user'],
    ['user_username', 'User Username', 'string', 'u.username', 'user'],
    ['user_full_name', 'User Full Name', 'string', 'u.full_name', 'user'],
    ['user_role', 'User Role', 'string', 'u.role', 'user'],
    ['user_status', 'User Status', 'string', 'u.status', 'user'],
    ['user_domain_name', 'User Domain', 'string', 'u.domain_name', 'user'],
    ['resource_policy_name', 'Resource Policy Name', 'string', 'p.name', 'policy'],
    ['resource_policy_created_at', 'Policy Created At', 'datetime', 'p.created_at', 'policy'],
    ...(
      [
        ['max_concurrent_sessions', 'Policy Max Concurrent Sessions', 'integer'],
        ['max_containers_per_session', 'Policy Max Containers Per Session', 'integer'],
        ['idle_timeout', 'Policy Idle Timeout', 'integer'],
        ['max_session_lifetime', 'Policy Max Session Lifetime', 'integer'],
        ['max_pending_session_count', 'Policy Max Pending Sessions', 'integer'],
        ['max_pending_session_resource_slots', 'Policy Max Pending Session Resources', 'json'],
        ['max_concurrent_sftp_sessions', 'Policy Max Concurrent SFTP Sessions', 'integer'],
      ] as const
    ).map(
      ([name, title, type]) =>
        [`resource_policy_${name}`, title, type, `p.${name}`, 'policy'] as const,
    ),
    ...(
      [
        ['name', 'Resource Group Name', 'string'],
        ['description', 'Resource Group Description', 'string'],
        ['is_active', 'Resource Group Active', 'boolean'],
        ['scheduler', 'Resource Group Scheduler', 'string'],
        ['wsproxy_addr', 'Resource Group WSProxy Address', 'string'],
        ['fair_share_spec', 'Resource Group Fair Share Spec', 'json'],
      ] as const
    ).map(
      ([name, title, type]) =>
        [`resource_group_${name}`, title, type, `r.${name}`, 'resource_group'] as const,
    ),
    ['session_id', 'Session ID', 'uuid', 's.id', 'session'],
    ['session_name', 'Session Name', 'string', 's.name', 'session'],
    ['session_status', 'Session Status', 'string', 's.status', 'session'],
    ['session_type', 'Session Type', 'string', 's.session_type', 'session'],
    ['session_domain_name', 'Session Domain', 'string', 's.domain_name', 'session'],
    ['session_group_id', 'Session Group ID', 'uuid', 's.group_id', 'session'],
    ['session_created_at', 'Session Created At', 'datetime', 's.created_at', 'session'],
    ['session_terminated_at', 'Session Terminated At', 'datetime', 's.terminated_at', 'session'],
    [
      'session_resource_requested',
      'Session Resource Requested',
      'json',
      's.requested_slots',
      'session',
    ],
  ],
  // Upstream's command line offers these and its server ignores them.
  filters: {
    access_key: ['text', 'k.access_key'],
    user_id: ['text', 'k.user_id'],
    is_active: ['boolean', 'k.is_active'],
    is_admin: ['boolean', 'k.is_admin'],
    created_at: ['time', 'k.created_at'],
  },
  orders: {
    access_key: 'k.access_key',
    user_id: 'k.user_id',
    is_active: 'k.is_active',
    is_admin: 'k.is_admin',
    created_at: 'k.created_at',
  },
  owners: { user: 'k."user"::text' },
  internal: ['resource_group_wsproxy_addr', 'resource_group_fair_share_spec'],
};

const auditLogs: Report = {
  key: 'audit-logs',
  name: 'Audit Logs',
  description: 'Who changed what, and when',
  subject: 'The change',
  from: 'audit_logs a',
  relations: {},
  fields: [
    ['id', 'ID', 'uuid', 'a.id'],
    ['action_id', 'Action ID', 'uuid', 'a.action_id'],
    ['entity_type', 'Entity Type', 'string', 'a.entity_type'],
    ['entity_id', 'Entity ID', 'string', 'a.entity_id'],
    ['operation', 'Operation', 'string', 'a.operation'],
    ['status', 'Status', 'enum', 'a.status'],
    ['created_at', 'Created At', 'datetime', 'a.created_at'],
    ['description', 'Description', 'string', 'a.description'],
    ['request_id', 'Request ID', 'string', 'a.request_id'],
    ['triggered_by', 'Triggered By', 'string', 'a.triggered_by'],
    ['duration', 'Duration', 'string', 'a.duration::text'],
  ],
  filters: {
    entity_type: ['text', 'a.entity_type'],
    entity_id: ['text', 'a.entity_id'],
    operation: ['text', 'a.operation'],
    status: ['words', 'a.status::text'],
    triggered_by: ['text', 'a.triggered_by'],
    request_id: ['text', 'a.request_id'],
    created_at: ['time', 'a.created_at'],
  },
  orders: {
    entity_type: 'a.entity_type',
    entity_id: 'a.entity_id',
    operation: 'a.operation',
    status: 'a.status',
    created_at: 'a.created_at',
    triggered_by: 'a.triggered_by',
  },
  owners: {},
};

/** All reports by key, in the order in which clients list them. */
export const reports: ReadonlyMap<string, Report> = new Map(
  [sessions, users, projects, keypairs, auditLogs].map((report) => [report.key, report]),
);
