/** Reading the audit log: superadmins all of it, others what concerns what they may change. */
import type { Sql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import type { ElementRef } from '../authz/elements.ts';
import { type AuthzContext, requirePermission } from '../authz/service.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import { type AuditEntry, selectAuditEntries } from './list-store.ts';

export type { AuditEntry } from './list-store.ts';

/** Entities and users in one question; each costs a look at the caller's roles. */
const MAX_SCOPES = 20;

/** Under which names the log keeps what roles call by another. */
const OTHER_NAMES: Readonly<Record<string, string>> = { resource_group: 'scaling_group' };

const typesOf = (type: string): string[] => [
  type,
  ...(OTHER_NAMES[type] ? [OTHER_NAMES[type]] : []),
];

/**
 * The records about the given entities and of what the given users did, newest first unless ordered.
 * Whoever may change an entity sees its history; everybody sees what they did themselves.
 * @throws BackendError NotEnoughPermission for an entity or user that the caller may not change;
 *   InvalidGraphQLParameters when there is none, or too many.
 */
export async function listAuditEntries(
  by: AuthzContext & { readonly ctx: { readonly sql: Sql } },
  scope: { readonly entities: readonly ElementRef[]; readonly userIds: readonly string[] },
  query: V2Query,
  wish: PageWish,
): Promise<Listed<AuditEntry>> {
  const { entities, userIds } = scope;
  const asked = entities.length + userIds.length;
  if (asked === 0 || asked > MAX_SCOPES) {
    throw new BackendError(
      'InvalidGraphQLParameters',
      `scope: name 1 to ${MAX_SCOPES} entities or users, not ${asked}.`,
    );
  }
  const foreign = userIds.filter((id) => id !== by.caller.userId);
  const targets = [...entities, ...foreign.map((id) => ({ type: 'user', id }) as const)];
  for (const target of targets) await requirePermission(by, 'update', target.type, target);
  const within = {
    userIds,
    entities: entities.map(({ type, id }) => ({ types: typesOf(type), id })),
  };
  return selectAuditEntries(by.ctx.sql, within, query, wish);
}
