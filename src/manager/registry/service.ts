/** Container registries: where images come from. */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import type { AgentImage } from '../../common/protocol/manager.ts';
import type { Db } from '../db/connect.ts';
import type { ContainerRegistryRow } from '../db/rows.generated.ts';
import type { ListQuery } from '../graphql/minilang-store.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { requireSuperadmin } from '../graphql/scope.ts';
import type { Caller } from '../http/route.ts';
import { OciClient } from './oci-client.ts';
import { readTag } from './scan.ts';
import * as store from './store.ts';

export type { RegistryConfiguration, RegistryRecord } from './store.ts';

const MAX_LISTED = 1000;
/** Stands for a password that is set; the password itself leaves the manager never. */
export const PASSWORD_PLACEHOLDER = '*****';
/** Type of the rows that stand for images on the hosts. */
const LOCAL_TYPE = 'local';
/** Never contacted; upstream's fixtures give local images the same one. */
const LOCAL_URL = 'http://localhost';

/** What administrators see of registries, by name: all, or those with one name; at most 1000. */
export function listRegistryConfigurations(
  sql: Db,
  name: string | null = null,
): Promise<store.RegistryConfiguration[]> {
  return store.selectConfigurations(sql, name, MAX_LISTED);
}

/**
 * One page of the registries, by id unless ordered; without passwords.
 * @throws BackendError GenericForbidden unless the caller is a superadmin; InvalidAPIParameters for a
 *   wrong filter or order, InvalidCursor.
 */
export function listRegistryNodes(
  sql: Sql,
  caller: Caller,
  query: ListQuery,
  wish: PageWish,
): Promise<Listed<store.RegistryConfiguration>> {
  requireSuperadmin(caller);
  return store.selectNodes(sql, query, wish);
}

/**
 * One registry without its password; null when there is none.
 * @throws BackendError GenericForbidden unless the caller is a superadmin.
 */
export async function findRegistry(
  sql: Db,
  caller: Caller,
  id: string,
): Promise<store.RegistryConfiguration | null> {
  requireSuperadmin(caller);
  return isUuid(id) ? store.selectConfiguration(sql, id) : null;
}

/** A registry that can be read over the network, with its credentials inside the client. */
export interface ReadableRegistry {
  readonly type: string;
  readonly name: string;
  /** Empty: everything in it. */
  readonly project: string;
  readonly client: OciClient;
}

/**
 * The registries on the network with a name and a project, each of all when null; at most 1000.
 * @param signal breaks off what their clients do.
 * @throws BackendError ContainerRegistryNotFound when there is none.
 */
export async function readableRegistries(
  sql: Db,
  wanted: { readonly name: string | null; readonly project: string | null },
  clock: Clock,
  signal: AbortSignal,
): Promise<ReadableRegistry[]> {
  const rows = await store.selectWithCredentials(sql, wanted, MAX_LISTED);
  if (rows.length === 0 && wanted.name !== null) {
    const which = [`name '${wanted.name}'`, wanted.project && `project '${wanted.project}'`];
    throw new BackendError(
      'ContainerRegistryNotFound',
      `There is no container registry with the ${which.filter(Boolean).join(' and ')}.`,
    );
  }
  return rows
    .filter(({ type }) => type !== LOCAL_TYPE)
    .map((row) => ({
      type: row.type,
      name: row.registry_name,
      project: row.project ?? '',
      client: clientOf(row, clock, signal),
    }));
}

/** The one of a registry's rows that stands for a project: its own, else that of everything. */
export const registryOfProject = <R extends { readonly project: string | null }>(
  rows: readonly R[],
  project: string,
): R | undefined => rows.find((row) => row.project === project) ?? rows.find((row) => !row.project);

/**
 * The registry of an image in the catalogue.
 * @throws BackendError ContainerRegistryNotFound when it is gone or stands for the hosts' own images.
 */
export async function registryOfImage(
  sql: Db,
  image: { readonly registry: string; readonly project: string },
  clock: Clock,
  signal: AbortSignal,
): Promise<ReadableRegistry> {
  const named = { name: image.registry, project: null };
  const registries = await readableRegistries(sql, named, clock, signal);
  const found = registryOfProject(registries, image.project);
  if (found) return found;
  throw new BackendError(
    'ContainerRegistryNotFound',
    `'${image.registry}' stands for images on the hosts; there is no registry to change.`,
  );
}

/** What Harbor's webhooks are checked against. */
export interface WebhookTarget {
  readonly name: string;
  /** What the `Authorization` header must be; null accepts everybody. */
  readonly authorization: string | null;
}

/** The row for a project of the registry that answers at a host. */
export async function webhookTarget(
  sql: Db,
  host: string,
  project: string,
): Promise<WebhookTarget | null> {
  const rows = await store.selectWithCredentials(sql, { name: null, project }, MAX_LISTED);
  const row = rows.find(
    ({ registry_name: name, url }) => name === host || URL.parse(url)?.host === host,
  );
  if (row === undefined) return null;
  const expected = v.safeParse(v.object({ webhook_auth_header: v.string() }), row.extra);
  return {
    name: row.registry_name,
    authorization: expected.success ? expected.output.webhook_auth_header : null,
  };
}

/**
 * The registry that keeps a project's images, with a client.
 * @throws BackendError ContainerRegistryNotFound when the project has none.
 */
export async function registryOfGroup(
  sql: Db,
  projectId: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<ReadableRegistry> {
  const row = await store.selectOfProject(sql, projectId);
  if (row === null) {
    throw new BackendError(
      'ContainerRegistryNotFound',
      `Project ${projectId} has no container registry; set its container_registry first.`,
    );
  }
  return {
    type: row.type,
    name: row.registry_name,
    project: row.project ?? '',
    client: clientOf(row, clock, signal),
  };
}

/** Where a project keeps its images, and the account that writes there. */
export interface ImageKeeper {
  readonly registryName: string;
  /** The project within the registry. */
  readonly project: string;
  readonly account: { readonly username: string; readonly password: string };
}

/** The registry that keeps a project's images; null when it has none of its own. */
export async function imageKeeperOf(sql: Db, projectId: string): Promise<ImageKeeper | null> {
  const row = await store.selectOfProject(sql, projectId);
  if (row === null) return null;
  return {
    registryName: row.registry_name,
    project: row.project ?? '',
    account: { username: row.username ?? '', password: row.password ?? '' },
  };
}

/** An image as the registry of a project has it. @throws RegistryFailure. */
export async function readKeptImage(
  { sql, clock }: { readonly sql: Db; readonly clock: Clock },
  projectId: string,
  image: { readonly repository: string; readonly tag: string },
  signal: AbortSignal,
): Promise<AgentImage[]> {
  const { client, name } = await registryOfGroup(sql, projectId, clock, signal);
  return readTag(client, name, image.repository, image.tag);
}

const clientOf = (row: ContainerRegistryRow, clock: Clock, signal: AbortSignal): OciClient =>
  new OciClient(
    {
      url: row.url,
      username: row.username,
      password: row.password,
      sslVerify: row.ssl_verify ?? true,
    },
    clock,
    signal,
  );

/** The rows of the named registries, one per project; at most 1000. */
export function findRegistries(sql: Db, names: readonly string[]): Promise<store.RegistryRecord[]> {
  return store.selectByNames(sql, names, MAX_LISTED);
}

/** The registry that stands for the hosts' own images; made on first use. */
export async function ensureLocalRegistry(sql: Db): Promise<store.RegistryRecord> {
  for (let attempt = 0; attempt < 2; attempt++) {
    const [found] = await store.selectByNames(sql, ['local'], 1);
    if (found) return found;
    await store.insertLocal(sql, 'local', LOCAL_URL);
  }
  throw new Error('the registry of local images vanished while it was being made');
}

/** `project/registry` → URL of all registries, at most 1000. */
export async function registryUrls(sql: Db): Promise<Record<string, string>> {
  const rows = await store.selectConfigurations(sql, null, MAX_LISTED);
  return Object.fromEntries(
    rows.flatMap(({ project, registry_name: name, url }) =>
      project === null ? [] : [[`${project}/${name}`, url]],
    ),
  );
}
