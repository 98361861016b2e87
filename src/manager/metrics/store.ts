/** What the cluster's gauges are counted from: sums over all tenants, read by operators only. */
import type { Sql } from 'postgres';
import { liveSessionStatuses } from '../session/status.ts';

export interface SessionCount {
  readonly scaling_group: string;
  readonly status: string;
  readonly count: number;
  /** Age of the oldest one. Seconds. */
  readonly oldest_sec: number;
}

/** Sessions that are not over, by group and status; groups without any are told of as well. */
export const countSessions = (sql: Sql) => sql<SessionCount[]>`
  -- Spelled out as in the index of live names, which alone is read.
  WITH live AS MATERIALIZED (
    SELECT scaling_group_name, status, count(*) AS count, min(created_at) AS oldest
    FROM sessions WHERE status NOT IN ('ERROR', 'TERMINATED', 'CANCELLED') GROUP BY 1, 2)
  SELECT g.name AS scaling_group, wanted.status, coalesce(live.count, 0) AS count,
    coalesce(extract(epoch FROM now() - live.oldest), 0)::float8 AS oldest_sec
  FROM scaling_groups g CROSS JOIN unnest(${[...liveSessionStatuses]}::text[]) AS wanted(status)
    LEFT JOIN live ON live.scaling_group_name = g.name AND live.status = wanted.status`;

export interface AgentCount {
  readonly scaling_group: string;
  readonly status: string;
  readonly count: number;
}

export const countAgents = (sql: Sql) => sql<AgentCount[]>`
  SELECT g.name AS scaling_group, wanted.status, count(a.id) AS count
  FROM scaling_groups g CROSS JOIN unnest(enum_range(NULL::agentstatus)) AS wanted(status)
    LEFT JOIN agents a ON a.scaling_group = g.name AND a.status = wanted.status
  GROUP BY 1, 2`;

export interface SlotSum {
  readonly scaling_group: string;
  readonly slot_name: string;
  readonly capacity: number;
  readonly reserved: number;
  readonly used: number;
}

/** Of agents that are alive. */
export const sumSlots = (sql: Sql) => sql<SlotSum[]>`
  SELECT scaling_group, slot_name, sum(capacity)::float8 AS capacity,
    sum(reserved)::float8 AS reserved, sum(used)::float8 AS used
  FROM agent_resources JOIN agents ON agents.id = agent_id
  WHERE status = 'ALIVE' GROUP BY 1, 2`;
