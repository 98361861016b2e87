/** The coordinator's SQL about circuits. Every change raises the version of its worker's circuits. */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import type { Db } from '../../stores/sql/connect.ts';
import { type CircuitInfo, circuitInfo, type RouteInfo } from '../shared/protocol.ts';

/** Where a worker serves a circuit. */
export type Address = { readonly port: number } | { readonly subdomain: string };

export type NewCircuit = Omit<CircuitInfo, 'port' | 'subdomain' | 'created_at' | 'updated_at'>;

type RawCircuit = Record<keyof CircuitInfo, unknown> & { created_at: Date; updated_at: Date };

const columns = (sql: Db) => sql`
  c.id, coalesce(c.app, '') AS app, c.protocol, c.worker, c.app_mode, c.frontend_mode,
  coalesce(c.envs, '{}') AS envs, c.arguments, c.open_to_public, c.allowed_client_ips, c.port,
  c.subdomain, c.user_id, c.endpoint_id, c.runtime_variant, c.route_info, c.session_ids,
  c.created_at, c.updated_at`;

const parsed = ({ created_at, updated_at, ...row }: RawCircuit): CircuitInfo =>
  v.parse(circuitInfo, {
    ...row,
    created_at: created_at.toISOString(),
    updated_at: updated_at.toISOString(),
  });

/** @returns the new version. */
async function raiseVersion(sql: Db, workerId: string): Promise<number> {
  const [row] = await sql<{ circuits_version: number }[]>`
    UPDATE workers SET circuits_version = circuits_version + 1,
           occupied_slots = (SELECT count(*) FROM circuits WHERE worker = ${workerId})
     WHERE id = ${workerId} RETURNING circuits_version`;
  if (row === undefined) throw new Error(`worker ${workerId} has vanished`);
  return row.circuits_version;
}

export async function circuitsOf(
  sql: Sql,
  workerId: string,
): Promise<{ version: number; circuits: CircuitInfo[] } | null> {
  // One snapshot, so that the version is that of the list.
  return await sql.begin('ISOLATION LEVEL REPEATABLE READ READ ONLY', async (tx) => {
    const [worker] = await tx<{ circuits_version: number }[]>`
      SELECT circuits_version FROM workers WHERE id = ${workerId}`;
    if (worker === undefined) return null;
    const rows = await tx<RawCircuit[]>`
      SELECT ${columns(tx)} FROM circuits c WHERE c.worker = ${workerId} ORDER BY c.created_at`;
    return { version: worker.circuits_version, circuits: rows.map(parsed) };
  });
}

export async function versionOf(sql: Db, workerId: string): Promise<number | null> {
  const [row] = await sql<{ circuits_version: number }[]>`
    SELECT circuits_version FROM workers WHERE id = ${workerId}`;
  return row?.circuits_version ?? null;
}

/** @param ids all circuits when absent. */
export async function listCircuits(sql: Db, ids?: readonly string[]): Promise<CircuitInfo[]> {
  const rows = await sql<RawCircuit[]>`
    SELECT ${columns(sql)} FROM circuits c
     ${ids === undefined ? sql`` : sql`WHERE c.id = ANY(${[...ids]}::uuid[])`}
     ORDER BY c.created_at`;
  return rows.map(parsed);
}

export async function findCircuit(sql: Db, id: string): Promise<CircuitInfo | null> {
  const [row] = await listCircuits(sql, [id]);
  return row ?? null;
}

/** The circuit that already leads where another one is asked for. */
export async function findReusable(
  sql: Db,
  wanted: {
    readonly sessionId: string;
    readonly userId: string;
    readonly app: string;
    readonly openToPublic: boolean;
    readonly allowedClientIps: string | null;
  },
): Promise<CircuitInfo | null> {
  const [row] = await sql<RawCircuit[]>`
    SELECT ${columns(sql)} FROM circuits c JOIN workers w ON w.id = c.worker
     WHERE c.session_ids @> ARRAY[${wanted.sessionId}]::uuid[] AND c.app = ${wanted.app}
       AND c.app_mode = 'interactive' AND c.user_id = ${wanted.userId}
       AND c.open_to_public = ${wanted.openToPublic}
       AND c.allowed_client_ips IS NOT DISTINCT FROM ${wanted.allowedClientIps}
       AND w.status = 'ALIVE'
     ORDER BY c.created_at LIMIT 1`;
  return row ? parsed(row) : null;
}

/**
 * Adds a circuit unless its address is taken.
 * @returns the circuit and the version of its worker's circuits that contains it, or null.
 */
export async function insertCircuit(
  sql: Sql,
  circuit: NewCircuit,
  address: Address,
  now: Date,
): Promise<{ circuit: CircuitInfo; version: number } | null> {
  const { envs, route_info, session_ids, ...rest } = circuit;
  return await sql.begin(async (tx) => {
    const [row] = await tx<RawCircuit[]>`
      WITH c AS (
        INSERT INTO circuits ${tx({
          ...rest,
          ...address,
          ...{ created_at: now, updated_at: now, session_ids: [...session_ids] },
          envs: tx.json(JSON.parse(JSON.stringify(envs))),
          route_info: tx.json(route_info),
        })} ON CONFLICT DO NOTHING RETURNING *)
      SELECT ${columns(tx)} FROM c`;
    if (row === undefined) return null;
    return { circuit: parsed(row), version: await raiseVersion(tx, circuit.worker) };
  });
}

/** The ports of a worker that circuits have. */
export async function takenPorts(sql: Db, workerId: string): Promise<Set<number>> {
  const rows = await sql<{ port: number }[]>`
    SELECT port FROM circuits WHERE worker = ${workerId} AND port IS NOT NULL`;
  return new Set(rows.map(({ port }) => port));
}

/** @returns the version with the new routes, or null when there is no such circuit. */
export async function setRoutes(
  sql: Sql,
  id: string,
  routes: readonly RouteInfo[],
  now: Date,
): Promise<{ circuit: CircuitInfo; version: number } | null> {
  const sessions = [...new Set(routes.map(({ session_id }) => session_id))];
  return await sql.begin(async (tx) => {
    const [row] = await tx<RawCircuit[]>`
      WITH c AS (
        UPDATE circuits SET route_info = ${tx.json([...routes])}, session_ids = ${sessions}::uuid[],
               updated_at = greatest(${now}, updated_at + interval '1 millisecond')
         WHERE id = ${id} RETURNING *)
      SELECT ${columns(tx)} FROM c`;
    if (row === undefined) return null;
    const circuit = parsed(row);
    return { circuit, version: await raiseVersion(tx, circuit.worker) };
  });
}

export interface Removal {
  /** The circuits that were there. */
  readonly ids: readonly string[];
  readonly workerIds: readonly string[];
}

/** Removes circuits: those named, or all of sessions. */
export async function deleteCircuits(
  sql: Sql,
  which: { readonly ids: readonly string[] } | { readonly sessionIds: readonly string[] },
): Promise<Removal> {
  return await sql.begin(async (tx) => {
    const rows = await tx<{ id: string; worker: string }[]>`
      DELETE FROM circuits WHERE ${
        'ids' in which
          ? tx`id = ANY(${[...which.ids]}::uuid[])`
          : tx`app_mode = 'interactive' AND session_ids && ${[...which.sessionIds]}::uuid[]`
      } RETURNING id, worker`;
    // Always in the same order, so that two removals do not wait for each other.
    const workerIds = [...new Set(rows.map(({ worker }) => worker))].sort();
    for (const workerId of workerIds) await raiseVersion(tx, workerId);
    return { ids: rows.map(({ id }) => id), workerIds };
  });
}

/** Every session that has interactive circuits or tokens here. */
export async function sessionsWithCircuits(sql: Db): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT unnest(session_ids)::text AS id FROM circuits WHERE app_mode = 'interactive'
     UNION SELECT session_id::text FROM tokens ORDER BY id`;
  return rows.map(({ id }) => id);
}
