/** Read queries of the session routes that no other feature asks for. */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { isoTimeOrNull } from '../../common/time.ts';

/** Most sessions a dependency graph may reach, and most nodes its tree may have. */
const MAX_GRAPH_SESSIONS = 1000;
const MAX_GRAPH_NODES = 10_000;

interface DependencyNode {
  readonly session_id: string;
  readonly session_name: string;
  readonly status: string;
  readonly status_changed: string | null;
  readonly depends_on: DependencyNode[];
}

const graphRow = v.object({
  session_id: v.string(),
  session_name: v.nullable(v.string()),
  status: v.string(),
  status_changed: v.nullable(v.date()),
  depends_on: v.array(v.string()),
});

/**
 * The session with all sessions it depends on, as a tree.
 * @throws BackendError SessionNotFound; InvalidAPIParameters when the tree would be too large.
 */
export async function dependencyGraph(sql: Sql, sessionId: string): Promise<DependencyNode> {
  const rows = await sql`
    with recursive reached(id) as (
      select ${sessionId}::uuid
      union
      select d.depends_on from session_dependencies d join reached r on d.session_id = r.id
    )
    select s.id as session_id, s.name as session_name, s.status,
      (select max(k.status_changed) from kernels k where k.session_id = s.id) as status_changed,
      coalesce((select array_agg(d.depends_on::text order by d.depends_on)
        from session_dependencies d where d.session_id = s.id), '{}') as depends_on
    from sessions s join reached on reached.id = s.id
    limit ${MAX_GRAPH_SESSIONS + 1}`;
  const tooLarge = () =>
    new BackendError('InvalidAPIParameters', 'This dependency graph is too large to be shown.');
  if (rows.length > MAX_GRAPH_SESSIONS) throw tooLarge();
  const parsed = v.parse(v.array(graphRow), rows);
  const byId = new Map(parsed.map((row) => [row.session_id, row]));
  let nodes = 0;
  const build = (id: string, path: readonly string[]): DependencyNode | null => {
    const row = byId.get(id);
    if (!row || path.includes(id)) return null;
    nodes += 1;
    if (nodes > MAX_GRAPH_NODES) throw tooLarge();
    const below = [...path, id];
    return {
      session_id: row.session_id,
      session_name: row.session_name ?? '',
      status: row.status,
      status_changed: isoTimeOrNull(row.status_changed),
      depends_on: row.depends_on.flatMap((next) => build(next, below) ?? []),
    };
  };
  const root = build(sessionId, []);
  if (!root) throw new BackendError('SessionNotFound');
  return root;
}

/** Where people outside the cluster reach the agent; null when it told nothing. */
export async function publicHostOfAgent(sql: Sql, agentId: string): Promise<string | null> {
  const rows = await sql`select public_host from agents where id = ${agentId}`;
  return (
    v.parse(v.optional(v.object({ public_host: v.nullable(v.string()) })), rows[0])?.public_host ??
    null
  );
}

const subjectRow = v.object({
  id: v.string(),
  name: v.nullable(v.string()),
  accessKey: v.nullable(v.string()),
  domainName: v.string(),
  groupName: v.string(),
  result: v.string(),
  exitCode: v.nullable(v.number()),
  kernels: v.array(v.object({ id: v.string(), clusterRole: v.string(), clusterIdx: v.number() })),
});
/** What an event tells about its session, and what filters go by. */
export type EventSubject = v.InferOutput<typeof subjectRow>;

/** The sessions that events are about, by id; those that are not there (any more) are left out. */
export async function eventSubjects(
  sql: Sql,
  sessionIds: readonly string[],
): Promise<Map<string, EventSubject>> {
  if (sessionIds.length === 0) return new Map();
  const rows = await sql`
    select s.id, s.name, s.access_key as "accessKey", s.domain_name as "domainName",
      g.name as "groupName", s.result,
      (s.status_data->'kernel'->>'exit_code')::int as "exitCode",
      coalesce((select jsonb_agg(jsonb_build_object('id', k.id, 'clusterRole', k.cluster_role,
        'clusterIdx', k.cluster_idx)) from kernels k where k.session_id = s.id), '[]') as kernels
    from sessions s join groups g on g.id = s.group_id where s.id = any(${[...sessionIds]})`;
  return new Map(v.parse(v.array(subjectRow), [...rows]).map((subject) => [subject.id, subject]));
}
