/** The one gate of role-based access control: every feature asks it before it acts in a scope. */
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import type { Caller } from '../http/route.ts';
import { type Decision, decide, decideByAccount, type Grant, type Question } from './decide.ts';
import type { ElementRef, ElementType, Operation } from './elements.ts';
import { type ChainRow, selectChains } from './store.ts';

/** Who asks, and where the answer stands. */
export interface AuthzContext {
  readonly ctx: Pick<ManagerContext, 'sql' | 'settings'>;
  readonly caller: Pick<Caller, 'userId' | 'isSuperadmin' | 'role' | 'domainName'>;
}

/** The same for what roles always decide. */
export interface RoleContext {
  readonly ctx: Pick<ManagerContext, 'sql'>;
  readonly caller: Pick<Caller, 'userId' | 'isSuperadmin'>;
}

/** What something is done to, or in; all of one type. */
export interface Targets {
  readonly type: ElementType;
  readonly ids: readonly string[];
}

/** Most targets of one question. */
const MAX_TARGETS = 1000;
/** Of an id, refusals repeat so many characters. */
const MAX_SHOWN = 100;

type Decide = (grants: readonly Grant[], question: Question) => Decision;

function answer(
  rows: readonly ChainRow[],
  asked: Omit<Question, 'chain'>,
  decideOn: Decide,
): Decision {
  const { operation, entityType } = asked;
  const grants = rows.flatMap((row) =>
    row.role_id === null
      ? []
      : [
          {
            roleId: row.role_id,
            roleName: row.role_name ?? '',
            roleStatus: row.role_status ?? '',
            scope: { type: row.type, id: row.id },
            entityType,
            operation,
          },
        ],
  );
  return decideOn(grants, { ...asked, chain: rows });
}

/**
 * Which of the targets, all of one type, the caller may do that to.
 * @param entityType what is done something to; the targets' own type, or what lies in them.
 * @returns for each refused id the reason; superadmins are refused nothing. While
 *   `manager.rbac.enforcement-enabled` is false, administrators of a domain are refused nothing in it.
 */
export function refusedTargets(
  by: AuthzContext,
  operation: Operation,
  entityType: ElementType,
  targets: Targets,
): Promise<Map<string, string>> {
  const { ctx, caller } = by;
  if (ctx.settings.rbacEnforced) return refusedAlways(by, operation, entityType, targets);
  const byAccount: Decide = (grants, question) => decideByAccount(caller, grants, question);
  return refusedAlways(by, operation, entityType, targets, byAccount);
}

/** The same whether or not roles are enforced: for roles themselves, which nobody may give to himself. */
export async function refusedAlways(
  { ctx, caller }: RoleContext,
  operation: Operation,
  entityType: ElementType,
  targets: Targets,
  decideOn: Decide = decide,
): Promise<Map<string, string>> {
  const refused = new Map<string, string>();
  if (caller.isSuperadmin || targets.ids.length === 0) return refused;
  if (targets.ids.length > MAX_TARGETS) {
    throw new BackendError('InvalidAPIParameters', `At most ${MAX_TARGETS} ids at once.`);
  }
  // Domains and resource groups are named; UUIDs are compared as PostgreSQL writes them.
  const stored = (id: string): string =>
    targets.type === 'domain' || targets.type === 'keypair' ? id : id.toLowerCase();
  const rows = await selectChains(ctx.sql, {
    userId: caller.userId,
    operation,
    entityType,
    type: targets.type,
    ids: [...new Set(targets.ids.map(stored))],
  });
  const chains = Map.groupBy(rows, ({ target }) => target);
  for (const id of targets.ids) {
    const target = { type: targets.type, id: id.slice(0, MAX_SHOWN) };
    const asked = { userId: caller.userId, operation, entityType, target };
    const decision = answer(chains.get(stored(id)) ?? [], asked, decideOn);
    if (!decision.allowed) refused.set(id, decision.reason);
  }
  return refused;
}

/**
 * Passes only if the caller may do that: `requirePermission(by, 'read', 'session', {type: 'project',
 * id})` for what lies in a scope, `requirePermission(by, 'update', 'session', {type: 'session', id})`
 * for one entity. The refusal is the same whether or not the target exists.
 * @throws BackendError NotEnoughPermission with the reason.
 */
export async function requirePermission(
  by: AuthzContext,
  operation: Operation,
  entityType: ElementType,
  target: ElementRef,
): Promise<void> {
  const { type, id } = target;
  const refused = await refusedTargets(by, operation, entityType, { type, ids: [id] });
  refuse(refused.get(id));
}

/** The same of roles themselves, whether or not roles are enforced. */
export async function requireAlways(
  by: RoleContext,
  operation: Operation,
  entityType: ElementType,
  { type, id }: ElementRef,
): Promise<void> {
  refuse((await refusedAlways(by, operation, entityType, { type, ids: [id] })).get(id));
}

function refuse(reason: string | undefined): void {
  if (reason !== undefined) throw new BackendError('NotEnoughPermission', reason);
}
