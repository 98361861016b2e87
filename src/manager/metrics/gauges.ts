/**
 * Gauges of the cluster as a whole: sessions, agents, slots. Every manager tells the same numbers, so
 * that they are there whichever of them is alive; dashboards take the maximum over managers.
 */
import type { Sql } from 'postgres';
import type { Logger } from '../../common/logger.ts';
import { lookedUpGauge } from '../../metrics/looked-up.ts';
import type { MetricsRegistry } from '../../metrics/registry.ts';
import { countAgents, countSessions, sumSlots } from './store.ts';

export interface ClusterGaugeOptions {
  readonly registry: MetricsRegistry;
  readonly sql: Sql;
  readonly isLeader: () => boolean;
  readonly log: Pick<Logger, 'warn'>;
}

export function clusterGauges({ registry, sql, isLeader, log }: ClusterGaugeOptions): void {
  const place = { registry, log };
  lookedUpGauge(
    place,
    {
      name: 'backendai_manager_sessions',
      help: 'Sessions that are not over.',
      labelNames: ['scaling_group', 'status'],
    },
    async () =>
      (await countSessions(sql)).map(({ scaling_group, status, count }) => ({
        labels: { scaling_group, status },
        value: count,
      })),
  );
  lookedUpGauge(
    place,
    {
      name: 'backendai_manager_oldest_session_seconds',
      help: 'Age of the oldest session that is in a status.',
      labelNames: ['scaling_group', 'status'],
    },
    async () =>
      (await countSessions(sql)).map(({ scaling_group, status, oldest_sec }) => ({
        labels: { scaling_group, status },
        value: oldest_sec,
      })),
  );
  lookedUpGauge(
    place,
    {
      name: 'backendai_manager_agents',
      help: 'Agents, by their status.',
      labelNames: ['scaling_group', 'status'],
    },
    async () =>
      (await countAgents(sql)).map(({ scaling_group, status, count }) => ({
        labels: { scaling_group, status },
        value: count,
      })),
  );
  lookedUpGauge(
    place,
    {
      name: 'backendai_manager_slots',
      help: 'Slots of agents that are alive: capacity, and what of it is reserved and used.',
      labelNames: ['scaling_group', 'slot_name', 'kind'],
    },
    async () =>
      (await sumSlots(sql)).flatMap(({ scaling_group, slot_name, ...sums }) =>
        (['capacity', 'reserved', 'used'] as const).map((kind) => ({
          labels: { scaling_group, slot_name, kind },
          value: sums[kind],
        })),
      ),
  );
  lookedUpGauge(
    place,
    {
      name: 'backendai_manager_leader',
      help: '1 while this manager runs the loops of the cluster.',
      labelNames: [],
    },
    async () => [{ labels: {}, value: isLeader() ? 1 : 0 }],
  );
}
