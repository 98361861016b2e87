/** What `top` shows, asked of the server at one moment: nodes, sessions that run, sessions that wait. */
import * as v from 'valibot';
import type { Client } from '../../client/index.ts';
import { sumOf } from './amounts.ts';

/** Most rows of each part; a screen has fewer. */
const MAX_NODES = 200;
const MAX_SESSIONS = 100;
const MAX_WAITING = 50;

const amounts = v.record(v.string(), v.union([v.string(), v.number()]));
const json = <S extends v.GenericSchema>(schema: S) =>
  v.nullable(v.pipe(v.string(), v.parseJson(), v.nullable(schema)));

const figure = v.nullish(v.union([v.string(), v.number()]), null);
const metrics = v.record(v.string(), v.looseObject({ current: figure, pct: figure }));

const node = v.object({
  id: v.string(),
  status: v.string(),
  scaling_group: v.nullable(v.string()),
  schedulable: v.nullable(v.boolean()),
  available_slots: json(amounts),
  occupied_slots: json(amounts),
  live_stat: v.optional(
    json(
      v.looseObject({
        node: v.optional(metrics),
        devices: v.optional(v.looseObject({ cpu_util: v.optional(metrics) })),
      }),
    ),
    null,
  ),
});
const nodeList = v.nullable(v.object({ items: v.array(node), total_count: v.number() }));

const explanation = v.object({
  queue_position: v.number(),
  queue_length: v.number(),
  estimated_start: v.nullable(v.string()),
  starts_now: v.boolean(),
  failed_rules: v.array(v.object({ message: v.string() })),
  closest_agents: v.array(
    v.object({ missing: v.array(v.object({ slot: v.string(), missing: v.string() })) }),
  ),
});
const session = v.object({
  row_id: v.string(),
  name: v.nullable(v.string()),
  status: v.string(),
  scaling_group: v.nullable(v.string()),
  owner: v.nullish(v.object({ email: v.nullable(v.string()) }), null),
  agent_ids: v.nullish(v.array(v.nullable(v.string())), null),
  requested_slots: json(amounts),
  occupied_slots: json(amounts),
  created_at: v.nullable(v.string()),
  kernel_nodes: v.optional(
    v.object({ edges: v.array(v.object({ node: v.object({ live_stat: json(metrics) }) })) }),
  ),
  pending_explanation: v.optional(v.nullable(explanation), null),
});
const sessionPage = v.object({
  count: v.nullable(v.number()),
  edges: v.array(v.object({ node: session })),
});

const answer = v.object({ nodes: nodeList, active: sessionPage, waiting: sessionPage });
type Answer = v.InferOutput<typeof answer>;

/** Decimal numbers by slot name; memory in bytes. */
export type Amounts = Readonly<Record<string, number>>;

export interface TopNode {
  readonly id: string;
  readonly status: string;
  readonly group: string;
  readonly isSchedulable: boolean;
  readonly total: Amounts;
  readonly used: Amounts;
  /** Of all its cores, 0 to 100; null when it is not known, as for those who are no superadmin. */
  readonly cpuPercent: number | null;
  /** What its accelerators do, by family. */
  readonly devices: readonly DeviceUse[];
}

export interface DeviceUse {
  /** As its plugin is called: `cuda`. */
  readonly name: string;
  /** Of all of them, 0 to 100. */
  readonly busyPercent: number;
  readonly memoryPercent: number | null;
}

export interface TopSession {
  readonly id: string;
  readonly name: string;
  readonly owner: string;
  readonly status: string;
  readonly group: string;
  readonly agents: readonly string[];
  readonly slots: Amounts;
  /** 100 for each core in full use; null until there are statistics. */
  readonly cpuPercent: number | null;
  readonly memoryBytes: number | null;
  /** Of its accelerators, 0 to 100, on average; null without any. */
  readonly devicePercent: number | null;
  /** ISO 8601. */
  readonly createdAt: string | null;
}

export interface TopWaiting extends Pick<TopSession, 'id' | 'name' | 'owner' | 'group' | 'slots'> {
  /** From 1; null when the server does not explain it. */
  readonly position: number | null;
  readonly length: number | null;
  readonly why: string;
  /** The rules that it fails, each in a sentence. */
  readonly reasons: readonly string[];
  readonly estimatedStart: string | null;
}

export interface TopSnapshot {
  /** null: hidden from this account. */
  readonly nodes: readonly TopNode[] | null;
  readonly sessions: readonly TopSession[];
  readonly sessionCount: number;
  readonly waiting: readonly TopWaiting[];
  readonly waitingCount: number;
}

const DONE = ['PENDING', 'TERMINATED', 'CANCELLED', 'ERROR'];
const ACTIVE_FILTER = DONE.map((status) => `status != "${status}"`).join(' & ');
const SESSION_FIELDS =
  'row_id name status scaling_group owner { email } agent_ids requested_slots occupied_slots created_at';

function documentFor(seesAll: boolean): string {
  const nodes = seesAll
    ? `agent_list(limit: ${MAX_NODES}, offset: 0, order: "+id")`
    : `agent_summary_list(limit: ${MAX_NODES}, offset: 0, order: "+id")`;
  return `query($active: String!) {
    nodes: ${nodes} { total_count items { id status scaling_group schedulable available_slots
      occupied_slots ${seesAll ? 'live_stat' : ''} } }
    active: compute_session_nodes(first: ${MAX_SESSIONS}, filter: $active, order: "-created_at") {
      count edges { node { ${SESSION_FIELDS} kernel_nodes { edges { node { live_stat } } } } } }
    waiting: compute_session_nodes(first: ${MAX_WAITING}, filter: "status == \\"PENDING\\"",
      order: "-priority,+created_at") {
      count edges { node { ${SESSION_FIELDS} pending_explanation { queue_position queue_length
        estimated_start starts_now failed_rules { message }
        closest_agents { missing { slot missing } } } } } } }`;
}

const numbers = (map: Readonly<Record<string, string | number>> | null): Amounts =>
  Object.fromEntries(Object.entries(map ?? {}).map(([name, value]) => [name, Number(value)]));

const known = (value: string | number | null | undefined): number | null => {
  const number = value === null || value === undefined ? Number.NaN : Number(value);
  return Number.isFinite(number) ? number : null;
};

/** The share of all processors' time; the server tells it against that of one. */
function busyPercent({ live_stat: statistics }: v.InferOutput<typeof node>): number | null {
  const percent = known(statistics?.node?.cpu_util?.pct);
  const processors = Object.keys(statistics?.devices?.cpu_util ?? {}).length;
  return percent === null ? null : percent / Math.max(1, processors);
}

const UTILIZATION = /^(?<family>.+)_util$/;

/** What accelerators do; processors are not among them. */
function devicesOf(found: v.InferOutput<typeof metrics> | undefined): DeviceUse[] {
  return Object.entries(found ?? {}).flatMap(([name, { pct }]) => {
    const family = UTILIZATION.exec(name)?.groups?.family ?? 'cpu';
    const busyPercent = known(pct);
    if (family === 'cpu' || busyPercent === null) return [];
    return [{ name: family, busyPercent, memoryPercent: known(found?.[`${family}_mem`]?.pct) }];
  });
}

/** The mean; null of nothing. */
const meanOf = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;

function nodeOf(found: v.InferOutput<typeof node>): TopNode {
  return {
    id: found.id,
    status: found.status,
    group: found.scaling_group ?? '',
    isSchedulable: found.schedulable ?? true,
    total: numbers(found.available_slots),
    used: numbers(found.occupied_slots),
    cpuPercent: busyPercent(found),
    devices: devicesOf(found.live_stat?.node),
  };
}

function commonOf({ node: found }: Answer['active']['edges'][number]) {
  const occupied = numbers(found.occupied_slots);
  return {
    id: found.row_id,
    name: found.name ?? '',
    owner: found.owner?.email ?? '',
    group: found.scaling_group ?? '',
    slots: Object.keys(occupied).length > 0 ? occupied : numbers(found.requested_slots),
  };
}

function sessionOf(edge: Answer['active']['edges'][number]): TopSession {
  const { node: found } = edge;
  const kernels = found.kernel_nodes?.edges.map(({ node: kernel }) => kernel.live_stat) ?? [];
  return {
    ...commonOf(edge),
    status: found.status,
    agents: found.agent_ids?.filter((id) => id !== null) ?? [],
    cpuPercent: sumOf(kernels.map((stat) => known(stat?.cpu_util?.pct))),
    memoryBytes: sumOf(kernels.map((stat) => known(stat?.mem?.current))),
    devicePercent: meanOf(
      kernels.flatMap((stat) => devicesOf(stat ?? undefined).map((use) => use.busyPercent)),
    ),
    createdAt: found.created_at,
  };
}

function whyOf(found: v.InferOutput<typeof explanation> | null): string {
  if (found === null) return '';
  if (found.starts_now) return 'starts in the next pass';
  const missing = found.closest_agents[0]?.missing.map(
    ({ slot, missing: amount }) => `lacks ${amount} of ${slot}`,
  );
  const [rule] = found.failed_rules;
  // The rule's sentence tells the same of every node, which a line has no room for.
  return missing && missing.length > 0 ? missing.join(', ') : (rule?.message ?? '');
}

function waitingOf(edge: Answer['waiting']['edges'][number]): TopWaiting {
  const found = edge.node.pending_explanation;
  return {
    ...commonOf(edge),
    position: found?.queue_position ?? null,
    length: found?.queue_length ?? null,
    why: whyOf(found),
    reasons: found?.failed_rules.map(({ message }) => message) ?? [],
    estimatedStart: found?.estimated_start ?? null,
  };
}

const role = v.object({ user: v.nullable(v.object({ role: v.nullable(v.string()) })) });

/** Whether the account sees nodes with all that is known of them. @throws ApiError, ConnectionError. */
export async function seesEverything(client: Client): Promise<boolean> {
  const { user } = await client.graphql.query(role, 'query { user { role } }');
  return user?.role === 'superadmin';
}

/** @throws ApiError, ConnectionError. */
export async function takeSnapshot(client: Client, seesAll: boolean): Promise<TopSnapshot> {
  const variables = { active: ACTIVE_FILTER };
  const found = await client.graphql.query(answer, documentFor(seesAll), variables);
  const nodes = found.nodes?.items.map(nodeOf) ?? null;
  return {
    nodes: nodes !== null && nodes.length === 0 && !seesAll ? null : nodes,
    sessions: found.active.edges.map(sessionOf),
    sessionCount: found.active.count ?? found.active.edges.length,
    waiting: found.waiting.edges.map(waitingOf),
    waitingCount: found.waiting.count ?? found.waiting.edges.length,
  };
}
