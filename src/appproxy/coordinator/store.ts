/** The coordinator's SQL about workers and tokens. */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import type { Db } from '../../stores/sql/connect.ts';
import type { AppMode, FrontendMode, Protocol, WorkerRegistration } from '../shared/protocol.ts';

export type WorkerStatus = 'ALIVE' | 'LOST' | 'TERMINATED';

export interface WorkerRow {
  readonly id: string;
  readonly authority: string;
  readonly frontend_mode: FrontendMode;
  readonly protocol: Protocol;
  readonly hostname: string;
  readonly tls_listen: boolean;
  readonly tls_advertised: boolean;
  readonly api_port: number;
  /** -1: as many as one likes. */
  readonly available_slots: number;
  readonly occupied_slots: number;
  readonly port_range: readonly [number, number] | null;
  readonly wildcard_domain: string | null;
  readonly wildcard_traffic_port: number | null;
  readonly nodes: number;
  readonly accepted_traffics: readonly AppMode[];
  readonly filtered_apps_only: boolean;
  readonly traefik_last_used_marker_path: string | null;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly status: WorkerStatus;
  readonly circuits_version: number;
  readonly filters: readonly { readonly key: string; readonly value: string }[];
}

const filterList = v.array(v.object({ key: v.string(), value: v.string() }));
type RawWorker = Omit<WorkerRow, 'filters'> & { filters: unknown };

const parsed = (row: RawWorker): WorkerRow => ({
  ...row,
  filters: v.parse(filterList, row.filters),
});

/** A worker with its filters; the number of circuits is counted, so that it cannot drift. */
const columns = (sql: Db) => sql`
  w.id, w.authority, w.frontend_mode, w.protocol, w.hostname, w.tls_listen, w.tls_advertised,
  w.api_port, w.available_slots, w.port_range, w.wildcard_domain, w.wildcard_traffic_port, w.nodes,
  w.accepted_traffics, w.filtered_apps_only, w.traefik_last_used_marker_path, w.created_at,
  w.updated_at, w.status, w.circuits_version,
  (SELECT count(*)::integer FROM circuits c WHERE c.worker = w.id) AS occupied_slots,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('key', f.property_name, 'value', f.property_value)
                             ORDER BY f.property_name, f.property_value), '[]')
     FROM worker_app_filters f WHERE f.worker = w.id) AS filters`;

export async function listWorkers(sql: Db): Promise<WorkerRow[]> {
  const rows = await sql<RawWorker[]>`SELECT ${columns(sql)} FROM workers w ORDER BY w.authority`;
  return rows.map(parsed);
}

export async function findWorker(sql: Db, id: string): Promise<WorkerRow | null> {
  const [row] = await sql<RawWorker[]>`SELECT ${columns(sql)} FROM workers w WHERE w.id = ${id}`;
  return row ? parsed(row) : null;
}

/** Takes a worker up, or again; one more node when it is alive already. @returns its id. */
export async function saveWorker(
  sql: Sql,
  registration: WorkerRegistration,
  availableSlots: number,
  now: Date,
): Promise<string> {
  const { authority, app_filters, accepted_traffics, port_range, ...rest } = registration;
  const values = {
    ...rest,
    available_slots: availableSlots,
    accepted_traffics: [...accepted_traffics],
    port_range: port_range === null ? null : [...port_range],
  };
  return await sql.begin(async (tx) => {
    const [row] = await tx<{ id: string }[]>`
      INSERT INTO workers ${tx({
        ...values,
        ...{ authority, occupied_slots: 0, nodes: 1, status: 'ALIVE', last_seen: now },
      })}
      ON CONFLICT (authority) DO UPDATE SET ${tx({ ...values, last_seen: now, updated_at: now })},
        nodes = CASE WHEN workers.status = 'ALIVE' THEN workers.nodes + 1 ELSE 1 END,
        status = 'ALIVE'
      RETURNING id`;
    if (row === undefined) throw new Error('PostgreSQL returned no row for an upsert');
    await tx`DELETE FROM worker_app_filters WHERE worker = ${row.id}`;
    for (const { key, value } of app_filters) {
      await tx`
        INSERT INTO worker_app_filters (property_name, property_value, worker)
        VALUES (${key}, ${value}, ${row.id}) ON CONFLICT DO NOTHING`;
    }
    return row.id;
  });
}

/** Notes that a worker lives. @returns whether it is known. */
export async function touchWorker(sql: Db, id: string, now: Date): Promise<boolean> {
  const rows = await sql`
    UPDATE workers SET last_seen = ${now}, status = 'ALIVE', nodes = greatest(nodes, 1)
     WHERE id = ${id} RETURNING id`;
  return rows.length > 0;
}

/** One node of a worker leaves; without any it is lost. @returns whether the worker is known. */
export async function leaveWorker(sql: Db, id: string, now: Date): Promise<boolean> {
  const rows = await sql`
    UPDATE workers SET nodes = greatest(nodes - 1, 0), updated_at = ${now},
           status = CASE WHEN nodes <= 1 THEN 'LOST' ELSE status END
     WHERE id = ${id} RETURNING id`;
  return rows.length > 0;
}

/** Marks workers that were not heard of since `before`. @returns their authorities. */
export async function loseSilentWorkers(sql: Db, before: Date, now: Date): Promise<string[]> {
  const rows = await sql<{ authority: string }[]>`
    UPDATE workers SET status = 'LOST', nodes = 0, updated_at = ${now}
     WHERE status = 'ALIVE' AND last_seen < ${before} RETURNING authority`;
  return rows.map(({ authority }) => authority);
}

/** The token that a start of a service gave: where the application is, and whose it is. */
export interface TokenRow {
  readonly id: string;
  readonly login_session_token: string | null;
  readonly kernel_host: string;
  readonly kernel_port: number;
  readonly session_id: string;
  readonly user_uuid: string;
  readonly group_id: string;
  readonly access_key: string;
  readonly domain_name: string;
}

export async function insertToken(sql: Db, row: TokenRow, now: Date): Promise<void> {
  await sql`INSERT INTO tokens ${sql({ ...row, created_at: now })}`;
}

/** @param since older tokens are over. */
export async function findToken(sql: Db, id: string, since: Date): Promise<TokenRow | null> {
  const [row] = await sql<TokenRow[]>`
    SELECT id, login_session_token, kernel_host, kernel_port, session_id, user_uuid, group_id,
           access_key, domain_name
      FROM tokens WHERE id = ${id} AND created_at >= ${since}`;
  return row ?? null;
}

export async function deleteTokens(
  sql: Db,
  which: { readonly before: Date } | { readonly sessionIds: readonly string[] },
): Promise<void> {
  if ('before' in which) await sql`DELETE FROM tokens WHERE created_at < ${which.before}`;
  else await sql`DELETE FROM tokens WHERE session_id = ANY(${[...which.sessionIds]}::uuid[])`;
}
