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
  SELECT g.name AS scaling_group, wanted.status, count(s.id) AS count,
    coalesce(extract(epoch FROM now() - min(s.created_at)), 0)::float8 AS oldest_sec
  FROM scaling_groups g CROSS JOIN unnest(${[...liveSessionStatuses]}::text[]) AS wanted(status)
    LEFT JOIN sessions s ON s.scaling_group_name = g.name AND s.status = wanted.status
  GROUP BY 1, 2`;

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
