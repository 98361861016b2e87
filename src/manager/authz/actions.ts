/** What can be allowed where: the combinations of scope, entity and operation that are enforced. */
import type { ElementType, Operation } from './elements.ts';

const operationOf = {
  create: 'create',
  get: 'read',
  search: 'read',
  update: 'update',
  soft_delete: 'soft-delete',
  hard_delete: 'hard-delete',
} as const satisfies Record<string, Operation>;
type ActionName = keyof typeof operationOf;

const SENTENCES: Readonly<Record<ActionName, (what: string) => string>> = {
  create: (what) => `Make a new ${what}`,
  get: (what) => `See the details of a ${what}`,
  search: (what) => `List every ${what}`,
  update: (what) => `Change a ${what}`,
  soft_delete: (what) => `Delete a ${what} so that it can come back`,
  hard_delete: (what) => `Delete a ${what} for good`,
};

const READ: readonly ActionName[] = ['get', 'search'];
const LASTING: readonly ActionName[] = ['create', ...READ, 'update', 'hard_delete'];
const ALL: readonly ActionName[] = [...LASTING, 'soft_delete'];

const enforced: Partial<Record<ElementType, Partial<Record<ElementType, readonly ActionName[]>>>> =
  {
    domain: { project: ALL, user: ALL, domain_admin_page: ['get'] },
    project: {
      model_deployment: LASTING,
      project: ['get', 'update'],
      project_admin_page: ['get'],
      role: ['search'],
      'role:assignment': ['create', 'search', 'soft_delete'],
      session: ALL,
      user: ['search'],
      vfolder: ALL,
    },
    user: { 'role:assignment': ['update'], session: ALL, vfolder: ALL },
  };

/** Which entities can be in a scope at all. */
export const scopeContents: Partial<Record<ElementType, readonly ElementType[]>> = {
  domain: [
    'resource_group',
    'container_registry',
    'user',
    'project',
    'network',
    'storage_host',
    'domain_admin_page',
  ],
  project: [
    'resource_group',
    'container_registry',
    'session',
    'vfolder',
    'model_deployment',
    'network',
    'user',
    'storage_host',
    'project_admin_page',
  ],
  user: ['resource_group', 'session', 'vfolder', 'model_deployment', 'keypair'],
  resource_group: ['agent'],
  agent: ['kernel'],
  session: ['kernel'],
  model_deployment: ['routing', 'session'],
  container_registry: ['image'],
  storage_host: ['vfolder'],
};

export interface Action {
  readonly name: ActionName;
  readonly description: string;
  readonly operation: Operation;
}

function actionsOf(entity: string, names: readonly ActionName[]): Action[] {
  const what = entity.replaceAll(/[_:]/g, ' ');
  return [...names].sort().map((name) => ({
    name,
    description: SENTENCES[name](what),
    operation: operationOf[name],
  }));
}

const byName = <Value>(table: Readonly<Record<string, Value>>): [string, Value][] =>
  Object.entries(table).sort(([a], [b]) => a.localeCompare(b));

/** Per scope and entity what can be done, by name. */
export const permissionMatrix = byName(enforced).map(([scope, entities]) => ({
  scope,
  entities: byName(entities ?? {}).map(([entity, names]) => ({
    entity,
    actions: actionsOf(entity, names ?? []),
  })),
}));

/** Per entity what can be done in any scope, by name. */
export const entityActions = [
  ...Map.groupBy(
    permissionMatrix.flatMap(({ entities }) => entities),
    ({ entity }) => entity,
  ),
]
  .sort(([a], [b]) => a.localeCompare(b))
  .map(([entity, places]) => ({
    entity,
    actions: [
      ...new Map(
        places.flatMap(({ actions }) => actions).map((action) => [action.name, action]),
      ).values(),
    ].sort((a, b) => a.name.localeCompare(b.name)),
  }));
