/** The words of role-based access control: what can be a scope or an entity, and what can be done. */

/**
 * Everything that can be a scope (holds others) or an entity (is held): GraphQL's word for it, and that
 * of the tables.
 */
export const elements = {
  DOMAIN: 'domain',
  PROJECT: 'project',
  USER: 'user',
  SESSION: 'session',
  VFOLDER: 'vfolder',
  MODEL_DEPLOYMENT: 'model_deployment',
  KEYPAIR: 'keypair',
  NOTIFICATION_CHANNEL: 'notification_channel',
  NETWORK: 'network',
  RESOURCE_GROUP: 'resource_group',
  CONTAINER_REGISTRY: 'container_registry',
  STORAGE_HOST: 'storage_host',
  AGENT: 'agent',
  KERNEL: 'kernel',
  ROUTING: 'routing',
  IMAGE: 'image',
  ARTIFACT: 'artifact',
  ARTIFACT_REGISTRY: 'artifact_registry',
  SESSION_TEMPLATE: 'session_template',
  APP_CONFIG: 'app_config',
  MODEL_CARD: 'model_card',
  RESOURCE_PRESET: 'resource_preset',
  USER_RESOURCE_POLICY: 'user_resource_policy',
  KEYPAIR_RESOURCE_POLICY: 'keypair_resource_policy',
  PROJECT_RESOURCE_POLICY: 'project_resource_policy',
  ROLE: 'role',
  AUDIT_LOG: 'audit_log',
  EVENT_LOG: 'event_log',
  PROJECT_ADMIN_PAGE: 'project_admin_page',
  DOMAIN_ADMIN_PAGE: 'domain_admin_page',
  NOTIFICATION_RULE: 'notification_rule',
  DEPLOYMENT_TOKEN: 'deployment:token',
  DEPLOYMENT_POLICY: 'deployment:policy',
  DEPLOYMENT_REVISION: 'deployment:revision',
  IMAGE_ALIAS: 'image:alias',
  ROLE_ASSIGNMENT: 'role:assignment',
  VFOLDER_DATA: 'vfolder:data',
  SESSION_APP_SERVICE: 'session:app_service',
  USER_EMAIL: 'user:email',
  ARTIFACT_REVISION: 'artifact_revision',
} as const;
export type ElementMember = keyof typeof elements;
export type ElementType = (typeof elements)[ElementMember];

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

/** The same of the operations. */
const operations = {
  CREATE: 'create',
  READ: 'read',
  UPDATE: 'update',
  SOFT_DELETE: 'soft-delete',
  HARD_DELETE: 'hard-delete',
  GRANT_ALL: 'grant:all',
  GRANT_READ: 'grant:read',
  GRANT_UPDATE: 'grant:update',
  GRANT_SOFT_DELETE: 'grant:soft-delete',
  GRANT_HARD_DELETE: 'grant:hard-delete',
} as const satisfies Record<string, Operation>;

/** Both directions of a table whose words come from clients or from rows. */
function translation<Member extends string, Word extends string>(
  what: string,
  table: Readonly<Record<Member, Word>>,
) {
  const words = new Map<string, Word>(Object.entries<Word>(table));
  const members = new Map<string, Member>();
  for (const member of words.keys()) {
    if (isMember(table, member)) members.set(table[member], member);
  }
  const found = <T>(value: T | undefined, text: string): T => {
    if (value === undefined) throw new Error(`'${text}' is no ${what}`);
    return value;
  };
  return {
    stored: (member: string): Word => found(words.get(member), member),
    member: (stored: string): Member => found(members.get(stored), stored),
    isStored: (text: string): text is Word => members.has(text),
  };
}

const isMember = <Member extends string>(
  table: Readonly<Record<Member, string>>,
  text: string,
): text is Member => Object.hasOwn(table, text);

export const elementWords = translation('type of element', elements);
export const operationWords = translation('operation', operations);
