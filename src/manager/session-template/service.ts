/**
 * Templates of sessions and clusters. One belongs to a user and a project: the project's members see
 * and use it, its owner changes it, and so do administrators of the domain and superadmins.
 */
import { BackendError } from '../../common/errors.ts';
import { type Change, type ChangeContext, change } from '../audit/service.ts';
import { resolveOwner } from '../auth/delegation.ts';
import type { ManagerContext } from '../context.ts';
import type { Db } from '../db/connect.ts';
import type { Caller } from '../http/route.ts';
import { projectOfMember } from '../project/service.ts';
import type { ClusterTemplate, TaskItem } from './schema.ts';
import * as store from './store.ts';

export type { TemplateKind, TemplateRow } from './store.ts';

/** Templates in one answer. */
const MAX_LISTED = 1000;
/** Templates that one user may own. */
const MAX_OWNED = 1000;
const ENTITY = 'session_template';
const TEMPLATE_ID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

const notFound = (id: string) =>
  new BackendError('TaskTemplateNotFound', `There is no template '${id}' that you may use.`);

/** The dashed form of an id that may be written without dashes. @throws BackendError not found. */
export function templateIdOf(text: string): string {
  if (!TEMPLATE_ID.test(text)) throw notFound(text);
  const hex = text.replaceAll('-', '').toLowerCase();
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function scopeOf(caller: Caller, wish: 'read' | 'write'): store.TemplateScope {
  if (caller.isSuperadmin) return { kind: 'all' };
  if (caller.role === 'admin') return { kind: 'domain', domainName: caller.domainName };
  return { kind: wish === 'read' ? 'reader' : 'owner', userId: caller.userId };
}

/**
 * The templates that `caller` may use, the oldest first.
 * @param options.all for superadmins: everybody's. Otherwise the caller's own and those of its
 *   projects; administrators see those of their domain.
 */
export function listTemplates(
  ctx: ManagerContext,
  caller: Caller,
  kind: store.TemplateKind,
  options: { readonly all: boolean; readonly groupId: string | null },
): Promise<store.TemplateRow[]> {
  const scope: store.TemplateScope =
    caller.isSuperadmin && !options.all
      ? { kind: 'reader', userId: caller.userId }
      : scopeOf(caller, 'read');
  return store.selectList(ctx.sql, kind, scope, { groupId: options.groupId, limit: MAX_LISTED });
}

/** @throws BackendError TaskTemplateNotFound, also for one that `caller` may not use. */
export async function getTemplate(
  ctx: ManagerContext,
  caller: Caller,
  kind: store.TemplateKind,
  id: string,
): Promise<store.TemplateRow> {
  const row = await store.selectOne(ctx.sql, kind, scopeOf(caller, 'read'), templateIdOf(id));
  if (row === null) throw notFound(id);
  return row;
}

/** Where new templates belong unless they say otherwise. */
export interface Place {
  /** Name or id of the project; null: as it is, or `default` for a new template. */
  readonly group: string | null;
  /** null: the owner's. */
  readonly domain: string | null;
  readonly ownerAccessKey: string | null;
}

interface Belonging {
  readonly userId: string;
  readonly groupId: string;
  readonly domainName: string;
}

/** Whoever owns the template must be a member of its project, or administer it. */
async function belongingOf(
  sql: Db,
  owner: { readonly userId: string; readonly role: string; readonly domainName: string },
  project: string,
  domain: string,
): Promise<Belonging> {
  const administers =
    owner.role === 'superadmin' || (owner.role === 'admin' && owner.domainName === domain);
  const found = await projectOfMember(sql, {
    ...{ userId: owner.userId, domain, nameOrId: project, anyMember: administers },
  });
  return { userId: owner.userId, groupId: found.id, domainName: found.domainName };
}

/** Another owner named by a template; only administrators may name one. */
async function namedOwner(sql: Db, caller: Caller, owner: Caller, userId: string | null) {
  if (userId === null || userId === owner.userId) return owner;
  const administrator = caller.isSuperadmin || caller.role === 'admin';
  const within = caller.isSuperadmin ? null : caller.domainName;
  const user = administrator ? await store.selectUser(sql, userId, within) : null;
  if (user !== null && (caller.isSuperadmin || user.role !== 'superadmin')) {
    return { userId: user.uuid, role: user.role, domainName: user.domain_name };
  }
  throw new BackendError(
    'GenericForbidden',
    `user_uuid: you may not make templates for user ${userId}. Leave it out.`,
  );
}

/** Who stores a template, on a manager that may hide its agents. */
type Author = ChangeContext & { readonly ctx: Pick<ManagerContext, 'settings'> };

function refuseHiddenAgents({ ctx, caller }: Author, item: TaskItem): void {
  const chosen = item.template.spec.agent_list?.length ?? 0;
  if (chosen === 0 || !ctx.settings.hideAgents || caller.isSuperadmin) return;
  throw new BackendError(
    'InsufficientPrivilege',
    'Agents are hidden on this server; only superadmins may choose them. Leave agent_list out.',
  );
}

/** What the audit log keeps: the template itself may hold the password of a repository. */
const recorded = (row: Omit<store.NewTemplate, 'id' | 'template'>) => ({
  name: row.name,
  type: row.kind,
  domain_name: row.domainName,
  group_id: row.groupId,
  user_uuid: row.userId,
});

const noteOf = (id: string, operation: Change['operation'], after?: object): Change => ({
  ...{ entityType: ENTITY, entityId: id, operation },
  ...(after && { after }),
});

async function checkCount(sql: Db, userId: string, more: number): Promise<void> {
  const owned = await store.countOwned(sql, userId);
  if (owned + more <= MAX_OWNED) return;
  throw new BackendError(
    'QuotaExceeded',
    `A user may own ${MAX_OWNED} templates; there are ${owned} already. Delete some of them first.`,
  );
}

export interface CreatedTemplate {
  readonly id: string;
  readonly userId: string;
}

/** Stores task templates, all or none. @throws BackendError naming what is not allowed. */
export async function createTaskTemplates(
  by: Author,
  place: Place,
  items: readonly TaskItem[],
): Promise<CreatedTemplate[]> {
  const { ctx, caller } = by;
  const owner = await resolveOwner(ctx.sql, caller, place.ownerAccessKey);
  const domain = place.domain || owner.domainName;
  return change(by, async (tx, note) => {
    const created: CreatedTemplate[] = [];
    await checkCount(tx, owner.userId, items.length);
    for (const item of items) {
      refuseHiddenAgents(by, item);
      const whose = await namedOwner(tx, caller, owner, item.user_uuid);
      const project = item.group_id ?? place.group ?? 'default';
      const row = {
        ...(await belongingOf(tx, whose, project, domain)),
        id: ctx.random.uuid(),
        kind: 'TASK' as const,
        name: item.name ?? item.template.metadata.name,
        template: item.template,
      };
      await store.insertTemplate(tx, row, ctx.clock.now());
      note(noteOf(row.id, 'create', recorded(row)));
      created.push({ id: row.id, userId: row.userId });
    }
    return created;
  });
}

/** Replaces a task template; project and owner stay unless others are named. */
export async function replaceTaskTemplate(
  by: Author,
  id: string,
  place: Place,
  item: TaskItem,
): Promise<void> {
  const { caller } = by;
  refuseHiddenAgents(by, item);
  await change(by, async (tx, note) => {
    const before = await lockTemplate(tx, caller, 'TASK', id);
    const name = item.name ?? item.template.metadata.name;
    const after = { ...(await movedTo(by, tx, before, place, item)), name };
    await store.updateTemplate(tx, before.id, { ...after, template: item.template });
    note(noteOf(before.id, 'update', recorded({ ...after, kind: 'TASK' })));
  });
}

/** Where a template belongs after a change of it. */
async function movedTo(
  { ctx, caller }: ChangeContext,
  tx: Db,
  before: store.TemplateRow,
  place: Place,
  item: Pick<TaskItem, 'group_id' | 'user_uuid'>,
): Promise<Belonging> {
  const stays = { userId: before.user_uuid, domainName: before.domain_name };
  const groupId = item.group_id ?? place.group ?? before.group_id;
  const elsewhere =
    groupId !== before.group_id || (place.domain || stays.domainName) !== stays.domainName;
  const moves = elsewhere || item.user_uuid || place.ownerAccessKey;
  if (!moves && groupId !== null) return { ...stays, groupId };
  const acting = await resolveOwner(ctx.sql, caller, place.ownerAccessKey);
  const userId = item.user_uuid ?? (place.ownerAccessKey ? acting.userId : before.user_uuid);
  const owner = await namedOwner(tx, caller, acting, userId);
  return belongingOf(tx, owner, groupId ?? 'default', place.domain || before.domain_name);
}

async function lockTemplate(
  tx: Db,
  caller: Caller,
  kind: store.TemplateKind,
  id: string,
): Promise<store.TemplateRow> {
  const known = templateIdOf(id);
  const row = await store.selectOne(tx, kind, scopeOf(caller, 'write'), known, true);
  if (row !== null) return row;
  if ((await store.selectOne(tx, kind, scopeOf(caller, 'read'), known)) === null) {
    throw notFound(id);
  }
  throw new BackendError(
    'GenericForbidden',
    `Template ${id} belongs to somebody else of the project; only its owner and administrators change it.`,
  );
}

/** @throws BackendError TaskTemplateNotFound; GenericForbidden for one that is only readable. */
export async function deleteTemplate(
  by: ChangeContext,
  kind: store.TemplateKind,
  id: string,
): Promise<void> {
  await change(by, async (tx, note) => {
    const row = await lockTemplate(tx, by.caller, kind, id);
    await store.deactivate(tx, row.id);
    note(noteOf(row.id, 'delete'));
  });
}

/** The task templates of a cluster must be such as the caller may use. */
async function checkNodes(tx: Db, caller: Caller, template: ClusterTemplate): Promise<void> {
  const ids = template.spec.nodes.map(({ session_template: id }) => id.toLowerCase());
  const known = await store.selectKnownTasks(tx, scopeOf(caller, 'read'), ids);
  const missing = ids.find((id) => !known.has(id));
  if (missing !== undefined) throw notFound(missing);
}

export async function createClusterTemplate(
  by: ChangeContext,
  place: Place,
  template: ClusterTemplate,
): Promise<CreatedTemplate> {
  const { ctx, caller } = by;
  const owner = await resolveOwner(ctx.sql, caller, place.ownerAccessKey);
  const domain = place.domain || owner.domainName;
  return change(by, async (tx, note) => {
    await checkCount(tx, owner.userId, 1);
    const belonging = await belongingOf(tx, owner, place.group ?? 'default', domain);
    await checkNodes(tx, caller, template);
    const row = {
      ...belonging,
      id: ctx.random.uuid(),
      kind: 'CLUSTER' as const,
      name: template.metadata.name,
      template,
    };
    await store.insertTemplate(tx, row, ctx.clock.now());
    note(noteOf(row.id, 'create', recorded(row)));
    return { id: row.id, userId: row.userId };
  });
}

export async function replaceClusterTemplate(
  by: ChangeContext,
  id: string,
  template: ClusterTemplate,
): Promise<void> {
  await change(by, async (tx, note) => {
    const before = await lockTemplate(tx, by.caller, 'CLUSTER', id);
    await checkNodes(tx, by.caller, template);
    if (before.group_id === null) throw notFound(id);
    const stays = { userId: before.user_uuid, domainName: before.domain_name };
    const after = { ...stays, groupId: before.group_id, name: template.metadata.name };
    await store.updateTemplate(tx, before.id, { ...after, template });
    note(noteOf(before.id, 'update', recorded({ ...after, kind: 'CLUSTER' })));
  });
}
