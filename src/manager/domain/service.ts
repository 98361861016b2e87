/** Domains: the tenants of a cluster, with their limits and what they may use. */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { SlotMap } from '../../common/slots.ts';
import type { Db } from '../db/connect.ts';
import { type HostPermissions, hostPermissionsColumn, slotMapColumn } from '../db/json.ts';
import type { ListQuery } from '../graphql/minilang-store.ts';
import { type Listed, mapListed, type PageWish } from '../graphql/page.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import type { Caller } from '../http/route.ts';
import * as store from './store.ts';
import { selectDomainsV2 } from './v2-store.ts';

/** Largest number of domains in one answer. */
const MAX_LISTED = 1000;

export interface Domain {
  readonly name: string;
  readonly description: string | null;
  readonly isActive: boolean;
  readonly createdAt: Date;
  readonly modifiedAt: Date;
  /** A missing slot is unlimited. */
  readonly totalResourceSlots: SlotMap;
  readonly allowedVfolderHosts: HostPermissions;
  /** Names of the registries whose images may be used. */
  readonly allowedDockerRegistries: readonly string[];
  readonly integrationId: string | null;
  /** MessagePack, as stored. */
  readonly dotfiles: Uint8Array;
  /** Names of the resource groups that belong to the domain. */
  readonly resourceGroups: readonly string[];
}

function toDomain(row: store.DomainRecord): Domain {
  return {
    name: row.name,
    description: row.description,
    isActive: row.is_active,
    createdAt: row.created_at,
    modifiedAt: row.modified_at,
    totalResourceSlots: v.parse(slotMapColumn, row.total_resource_slots),
    allowedVfolderHosts: v.parse(hostPermissionsColumn, row.allowed_vfolder_hosts),
    allowedDockerRegistries: row.allowed_docker_registries,
    integrationId: row.integration_id,
    dotfiles: row.dotfiles,
    resourceGroups: row.scaling_groups,
  };
}

const scopeOf = (caller: Caller): store.DomainScope =>
  caller.isSuperadmin ? null : caller.domainName;

/** One domain; null when there is none that the caller may see. */
export async function findDomain(sql: Db, caller: Caller, name: string): Promise<Domain | null> {
  const row = await store.selectDomain(sql, scopeOf(caller), name);
  return row && toDomain(row);
}

export const DOMAIN_PERMISSIONS = [
  'read_attribute',
  'read_sensitive_attribute',
  'update_attribute',
  'create_user',
  'create_project',
] as const;
export type DomainPermission = (typeof DOMAIN_PERMISSIONS)[number];

const HELD = {
  superadmin: DOMAIN_PERMISSIONS,
  admin: DOMAIN_PERMISSIONS,
  monitor: ['read_attribute', 'update_attribute'],
  user: ['read_attribute'],
} as const satisfies Record<Caller['role'], readonly DomainPermission[]>;

/** Whether the caller holds a permission on the domains that it may see. */
export const holdsOnDomains = (caller: Caller, permission: DomainPermission): boolean =>
  HELD[caller.role].some((held) => held === permission);

/**
 * One page of the domains that `caller` may see, by name unless ordered.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order, InvalidCursor.
 */
export async function listDomainNodes(
  sql: Sql,
  caller: Caller,
  query: ListQuery,
  wish: PageWish,
): Promise<Listed<Domain>> {
  return mapListed(await store.selectNodes(sql, scopeOf(caller), query, wish), toDomain);
}

/** The same, newest first unless ordered. @throws BackendError InvalidGraphQLParameters, InvalidCursor. */
export async function listDomainsV2(
  sql: Sql,
  caller: Caller,
  query: V2Query & { readonly resourceGroup?: string },
  wish: PageWish,
): Promise<Listed<Domain>> {
  return mapListed(await selectDomainsV2(sql, scopeOf(caller), query, wish), toDomain);
}

/**
 * A domain: any for superadmins, else only the caller's own; the caller's own when `name` is null.
 * @throws BackendError ObjectNotFound.
 */
export async function getDomain(
  sql: Db,
  caller: Caller,
  name: string | null = null,
): Promise<Domain> {
  const wanted = name ?? caller.domainName;
  const domain = await findDomain(sql, caller, wanted);
  if (domain) return domain;
  throw new BackendError('ObjectNotFound', `There is no domain '${wanted}' you may see.`);
}

/** The domains that `caller` may see, or those of `names` among them, by name; at most 1000. */
export async function listDomains(
  sql: Db,
  caller: Caller,
  names?: readonly string[],
): Promise<Domain[]> {
  return (await store.selectDomains(sql, scopeOf(caller), MAX_LISTED, names)).map(toDomain);
}
