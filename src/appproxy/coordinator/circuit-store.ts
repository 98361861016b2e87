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

export interface CircuitsChanged {
  /** The circuits that were there. */
  readonly ids: readonly string[];
  readonly workerIds: readonly string[];
}

async function changedCircuits(
  tx: Db,
  rows: readonly { readonly id: string; readonly worker: string }[],
): Promise<CircuitsChanged> {
  // Always in the same order, so that two changes do not wait for each other.
  const workerIds = [...new Set(rows.map(({ worker }) => worker))].sort();
  for (const workerId of workerIds) await raiseVersion(tx, workerId);
  return { ids: rows.map(({ id }) => id), workerIds };
}

/**
 * Removes circuits: those named, all of sessions, or those whose address their worker does not serve any
 * more because it has other settings.
 */
export async function deleteCircuits(
  sql: Sql,
  which:
    | { readonly ids: readonly string[] }
    | { readonly sessionIds: readonly string[] }
    | { readonly unservedBy: string },
): Promise<CircuitsChanged> {
  return await sql.begin(async (tx) => {
    const rows = await tx<{ id: string; worker: string }[]>`
      DELETE FROM circuits c WHERE ${
        'ids' in which
          ? tx`id = ANY(${[...which.ids]}::uuid[])`
          : 'sessionIds' in which
            ? tx`app_mode = 'interactive' AND session_ids && ${[...which.sessionIds]}::uuid[]`
            : tx`app_mode = 'interactive' AND worker = ${which.unservedBy} AND EXISTS (
                SELECT FROM workers w WHERE w.id = c.worker AND (
                  w.frontend_mode <> c.frontend_mode
                  OR c.port NOT BETWEEN w.port_range[1] AND w.port_range[2]))`
      } RETURNING id, worker`;
    return await changedCircuits(tx, rows);
  });
}

/** Every session that has interactive circuits or tokens here, and the hosts that these lead to. */
export async function sessionPlaces(
  sql: Db,
): Promise<{ readonly session_id: string; readonly kernel_hosts: readonly string[] }[]> {
  return await sql<{ session_id: string; kernel_hosts: string[] }[]>`
    SELECT session_id, array_agg(DISTINCT host) AS kernel_hosts FROM (
      SELECT r->>'session_id' AS session_id, r->>'kernel_host' AS host
        FROM circuits, jsonb_array_elements(route_info) AS r WHERE app_mode = 'interactive'
       UNION SELECT session_id::text, kernel_host FROM tokens) AS found
     GROUP BY session_id ORDER BY session_id`;
}

/**
 * Lets the interactive circuits of sessions lead to other hosts, at the same ports.
 * @returns the circuits that led elsewhere before.
 */
export async function moveCircuits(
  sql: Sql,
  moved: readonly { readonly session_id: string; readonly kernel_host: string }[],
  now: Date,
): Promise<CircuitsChanged> {
  const ids = moved.map(({ session_id }) => session_id);
  const hosts = moved.map(({ kernel_host }) => kernel_host);
  return await sql.begin(async (tx) => {
    await tx`
      UPDATE tokens t SET kernel_host = m.host
        FROM unnest(${ids}::uuid[], ${hosts}::varchar[]) AS m(id, host)
       WHERE t.session_id = m.id AND t.kernel_host <> m.host`;
    const rows = await tx<{ id: string; worker: string }[]>`
      WITH m AS (SELECT * FROM unnest(${ids}::text[], ${hosts}::varchar[]) AS m(id, host)),
      found AS (
        SELECT c.id, jsonb_agg(CASE WHEN m.host IS NULL THEN r
            ELSE jsonb_set(r, '{kernel_host}', to_jsonb(m.host)) END ORDER BY at) AS routes
          FROM circuits c, jsonb_array_elements(c.route_info) WITH ORDINALITY AS e(r, at)
          LEFT JOIN m ON m.id = r->>'session_id'
         WHERE c.app_mode = 'interactive' AND c.session_ids && ${ids}::uuid[]
         GROUP BY c.id HAVING bool_or(m.host <> r->>'kernel_host'))
      UPDATE circuits c SET route_info = found.routes,
             updated_at = greatest(${now}, c.updated_at + interval '1 millisecond')
        FROM found WHERE c.id = found.id RETURNING c.id, c.worker`;
    return await changedCircuits(tx, rows);
  });
}
