/** A cluster and its queue for the scheduling benchmark: as rows, and as a snapshot. */
import type { Sql } from 'postgres';
import { parseSlots, type Slots } from '../../common/slots.ts';
import type { Snapshot } from '../../manager/scheduler/snapshot.ts';
import { agent, session, snapshot } from '../scheduling.ts';

/** Two kinds of agents by turns: with and without accelerators. */
const AGENTS = [
  { cpu: 128, mem: 1_099_511_627_776, 'cuda.device': 8 },
  { cpu: 96, mem: 412_316_860_416 },
] as const;

/** Kinds of requests by turns, each kernel's; the last one is a cluster of two nodes. */
const REQUESTS = [
  { cpu: 1, mem: 2_147_483_648 },
  { cpu: 4, mem: 17_179_869_184, 'cuda.device': 1 },
  { cpu: 2, mem: 8_589_934_592 },
  { cpu: 8, mem: 68_719_476_736, 'cuda.device': 2 },
  { cpu: 16, mem: 34_359_738_368 },
  { cpu: 1, mem: 4_294_967_296 },
  { cpu: 4, mem: 17_179_869_184 },
  { cpu: 2, mem: 4_294_967_296 },
] as const;
const KERNELS = [1, 1, 1, 1, 1, 1, 1, 2] as const;
const USERS = 200;

const kindOf = (index: number) => index % REQUESTS.length;

/** The same cluster and queue as the rows, in memory. */
export function benchSnapshot(agents: number, sessions: number): Snapshot {
  const capacities = AGENTS.map((slots): Slots => parseSlots(slots));
  const requests = REQUESTS.map((slots): Slots => parseSlots(slots));
  const none: Slots = new Map();
  const pending = Array.from({ length: sessions }, (_, index) =>
    session(`s-${index}`, none, {
      accessKey: `AK${index % USERS}`,
      userId: `u-${index % USERS}`,
      projectId: `p-${index % 10}`,
      createdAt: new Date(1000 + index),
      clusterMode: KERNELS[kindOf(index)] === 1 ? 'single-node' : 'multi-node',
      kernels: Array.from({ length: KERNELS[kindOf(index)] ?? 1 }, (_none, kernel) => ({
        id: `s-${index}-${kernel}`,
        architecture: 'x86_64',
        requested: requests[kindOf(index)] ?? none,
      })),
    }),
  );
  const hosts = Array.from({ length: agents }, (_, index) =>
    agent(`i-${String(index).padStart(6, '0')}`, capacities[index % AGENTS.length] ?? none),
  );
  return snapshot(hosts, pending, { now: new Date(1000 + sessions) });
}

/** Agents numbered from 0, with nothing on them. Needs the resource group `default`. */
export async function insertAgents(sql: Sql, count: number): Promise<void> {
  await sql`INSERT INTO resource_slot_types (slot_name, slot_type)
    VALUES ('cpu', 'count'), ('mem', 'bytes'), ('cuda.device', 'count') ON CONFLICT DO NOTHING`;
  await sql`INSERT INTO agents (id, status, region, scaling_group, available_slots, occupied_slots,
      addr, public_host, identity_key, version, architecture, compute_plugins, schedulable)
    SELECT 'i-' || lpad(i::text, 6, '0'), 'ALIVE', 'local', 'default', '{}', '{}', 'local:',
           '127.0.0.1', 'key', '26.4.4', 'x86_64', '{}', true
      FROM generate_series(0, ${count - 1}::int) AS i`;
  const kinds = JSON.stringify(AGENTS);
  await sql`INSERT INTO agent_resources (agent_id, slot_name, capacity, reserved, used)
    SELECT 'i-' || lpad(i::text, 6, '0'), c.key, c.value::numeric, 0, 0
      FROM generate_series(0, ${count - 1}::int) AS i,
           jsonb_each_text(${kinds}::text::jsonb->(i % ${AGENTS.length}::int)) AS c`;
}

/** Sessions that wait, by turns of `USERS` users with projects and keypairs of their own. */
export async function insertQueue(sql: Sql, count: number, projectId: string): Promise<void> {
  await sql`INSERT INTO users (username, email, status, domain_name, role, resource_policy,
      sudo_session_enabled)
    SELECT 'bench-' || i, 'bench-' || i || '@bench.example', 'active', 'default', 'user', 'default',
           false
      FROM generate_series(0, ${USERS - 1}::int) AS i`;
  await sql`INSERT INTO keypairs (user_id, access_key, secret_key, is_active, is_admin, rate_limit,
      "user", resource_policy, dotfiles, bootstrap_script)
    SELECT u.email, 'AKBENCH' || lpad(i::text, 13, '0'), repeat('b', 40), true, false, null, u.uuid,
           'default', '\\x90', ''
      FROM generate_series(0, ${USERS - 1}::int) AS i
      JOIN users u ON u.email = 'bench-' || i || '@bench.example'`;
  const [requests, kernels] = [JSON.stringify(REQUESTS), JSON.stringify(KERNELS)];
  await sql`INSERT INTO sessions (name, session_type, priority, cluster_mode, cluster_size, options,
      agent_ids, scaling_group_name, domain_name, group_id, user_uuid, access_key, images,
      occupying_slots, requested_slots, environ, use_host_network, status, status_history,
      num_queries, created_at)
    SELECT 'bench-' || i, 'INTERACTIVE', 10,
           CASE kinds.kernels WHEN 1 THEN 'single-node' ELSE 'multi-node' END, kinds.kernels, '{}',
           '{}', 'default', 'default', ${projectId}::uuid, u.uuid,
           'AKBENCH' || lpad((i % ${USERS}::int)::text, 13, '0'), '{local/python:3.11}', '{}',
           kinds.request, '{}', false, 'PENDING', '{}', 0, now() + i * interval '1 microsecond'
      FROM generate_series(0, ${count - 1}::int) AS i
      CROSS JOIN LATERAL (SELECT
        (${kernels}::text::jsonb->>(i % ${REQUESTS.length}::int))::int AS kernels,
        ${requests}::text::jsonb->(i % ${REQUESTS.length}::int) AS request) AS kinds
      JOIN users u ON u.email = 'bench-' || (i % ${USERS}::int) || '@bench.example'`;
  await sql`INSERT INTO kernels (session_id, session_name, session_type, cluster_mode, cluster_size,
      cluster_role, cluster_idx, local_rank, cluster_hostname, scaling_group, domain_name, group_id,
      user_uuid, access_key, image, architecture, registry, occupied_slots, requested_slots,
      occupied_shares, environ, resource_opts, repl_in_port, repl_out_port, stdin_port, stdout_port,
      service_ports, use_host_network, status, status_history)
    SELECT s.id, s.name, 'INTERACTIVE', s.cluster_mode, s.cluster_size,
           CASE k WHEN 1 THEN 'main' ELSE 'sub' END, 1, k - 1, 'main1', 'default', 'default',
           s.group_id, s.user_uuid, s.access_key, 'local/python:3.11', 'x86_64', 'local', '{}',
           s.requested_slots, '{}', '{}', '{}', 0, 0, 0, 0, '[]', false, 'PENDING', '{}'
      FROM sessions s, generate_series(1, s.cluster_size) AS k`;
  await sql`INSERT INTO resource_allocations (kernel_id, slot_name, requested)
    SELECT k.id, c.key, c.value::numeric FROM kernels k, jsonb_each_text(k.requested_slots) AS c`;
  // As the server does by itself after a while.
  await sql`VACUUM ANALYZE`;
}
