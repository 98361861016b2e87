/** The words of role-based access control: what can be a scope or an entity, and what can be done. */

/** Everything that can be a scope (holds others) or an entity (is held), as the tables spell it. */
export const elementTypes = [
  'domain',
  'project',
  'user',
  'session',
  'vfolder',
  'model_deployment',
  'keypair',
  'notification_channel',
  'network',
  'resource_group',
  'container_registry',
  'storage_host',
  'agent',
  'kernel',
  'routing',
  'image',
  'artifact',
  'artifact_registry',
  'session_template',
  'app_config',
  'model_card',
  'resource_preset',
  'user_resource_policy',
  'keypair_resource_policy',
  'project_resource_policy',
  'role',
  'audit_log',
  'event_log',
  'project_admin_page',
  'domain_admin_page',
  'notification_rule',
  'deployment:token',
  'deployment:policy',
  'deployment:revision',
  'image:alias',
  'role:assignment',
  'vfolder:data',
  'session:app_service',
  'user:email',
  'artifact_revision',
] as const;
export type ElementType = (typeof elementTypes)[number];

/** Operations and the bit of each in `permission_cap` and `permissions.permission`. */
export const operationBits = {
  read: 1,
  update: 2,
  create: 4,
  'soft-delete': 8,
  'hard-delete': 16,
  // Leave to pass on a permission; no bit, so no association lets it through that has a cap.
  'grant:all': 0,
  'grant:read': 0,
  'grant:update': 0,
  'grant:soft-delete': 0,
  'grant:hard-delete': 0,
} as const;
export type Operation = keyof typeof operationBits;

/** What one of them is called with its id: project ids are UUIDs, domains and groups have names. */
export interface ElementRef {
  readonly type: ElementType;
  readonly id: string;
}
