/** Domains: the tenants of a cluster, with their limits and what they may use. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { SlotMap } from '../../common/slots.ts';
import type { Db } from '../db/connect.ts';
import { type HostPermissions, hostPermissionsColumn, slotMapColumn } from '../db/json.ts';
import type { Caller } from '../http/route.ts';
import * as store from './store.ts';

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
    resourceGroups: row.scaling_groups,
  };
}

const scopeOf = (caller: Caller): store.DomainScope =>
  caller.isSuperadmin ? null : caller.domainName;

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
  const row = await store.selectDomain(sql, scopeOf(caller), wanted);
  if (row) return toDomain(row);
  throw new BackendError('ObjectNotFound', `There is no domain '${wanted}' you may see.`);
}

/** The domains that `caller` may see, by name; at most 1000. */
export async function listDomains(sql: Db, caller: Caller): Promise<Domain[]> {
  return (await store.selectDomains(sql, scopeOf(caller), MAX_LISTED)).map(toDomain);
}
