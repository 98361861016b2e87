/** What the devices of a node and its kernels use, as last measured. */
import { Counter, Gauge } from 'prom-client';
import type { Metrics, MetricValue, NodeStatistics } from '../common/protocol/statistics.ts';
import { UNBOUNDED } from '../common/protocol/statistics.ts';
import type { MetricsRegistry } from './registry.ts';

export interface KernelLabels {
  readonly kernel_id: string;
  readonly session_id: string;
  readonly user_id: string;
  readonly project_id: string;
}

export interface Measured {
  readonly node: NodeStatistics;
  readonly kernels: readonly { readonly labels: KernelLabels; readonly metrics: Metrics }[];
}

export interface UtilizationMetrics {
  /** Replaces what was measured before, so that ended kernels are no longer told of. */
  note(measured: Measured): void;
  /** A round of measuring began, and how it ended. */
  count(outcome: 'trigger' | 'success' | 'failure'): void;
}

/** Values by `value_type`; a capacity without bound is left out. */
const valuesOf = ({ current, capacity, pct }: MetricValue): [string, number][] => [
  ['current', Number(current)],
  ...(capacity === UNBOUNDED ? [] : [['capacity', Number(capacity)] satisfies [string, number]]),
  ['pct', Number(pct)],
];

export function utilizationMetrics(registry: MetricsRegistry, agentId: string): UtilizationMetrics {
  const registers = [registry];
  const devices = new Gauge({
    name: 'backendai_device_utilization',
    help: 'What devices of the node do.',
    labelNames: ['device_metric_name', 'agent_id', 'device_id', 'value_type'],
    registers,
  });
  const containers = new Gauge({
    name: 'backendai_container_utilization',
    help: 'What kernels use.',
    labelNames: [
      ...['container_metric_name', 'agent_id', 'kernel_id', 'session_id', 'user_id'],
      ...['project_id', 'value_type'],
    ],
    registers,
  });
  const counter = (outcome: string) =>
    new Counter({
      name: `backendai_stat_task_${outcome}_count`,
      help: `Rounds of measuring: ${outcome}.`,
      labelNames: ['agent_id', 'stat_scope'],
      registers,
    });
  const rounds = {
    trigger: counter('trigger'),
    success: counter('success'),
    failure: counter('failure'),
  };
  for (const counted of Object.values(rounds)) {
    // Without a first 0 Prometheus takes the first failure for where counting began.
    counted.inc({ agent_id: agentId, stat_scope: 'all' }, 0);
  }
  return {
    note({ node, kernels }) {
      devices.reset();
      containers.reset();
      for (const [metric, byDevice] of Object.entries(node.devices)) {
        for (const [id, value] of Object.entries(byDevice)) {
          const labels = { device_metric_name: metric, agent_id: agentId, device_id: id };
          for (const [type, one] of valuesOf(value))
            devices.set({ ...labels, value_type: type }, one);
        }
      }
      for (const { labels, metrics } of kernels) {
        for (const [metric, value] of Object.entries(metrics)) {
          const all = { ...labels, container_metric_name: metric, agent_id: agentId };
          for (const [type, one] of valuesOf(value))
            containers.set({ ...all, value_type: type }, one);
        }
      }
    },
    count: (outcome) => rounds[outcome].inc({ agent_id: agentId, stat_scope: 'all' }),
  };
}
