/**
 * What agents measured, kept in the live store: of a node until a few reports are missed, of a kernel
 * for a day. What a kernel used at last stays in its row when it ends.
 */
import * as v from 'valibot';
import {
  type Metrics,
  metrics,
  type NodeStatistics,
  nodeStatistics,
  type StatisticsReport,
} from '../../common/protocol/statistics.ts';
import type { LiveStore } from '../../stores/live/port.ts';
import type { Db } from '../db/connect.ts';
import { saveLastStatistics, selectOwnKernels } from './statistics-store.ts';

const KERNEL_TTL_MS = 86_400_000;
/** A node's figures are forgotten when this many reports did not come. */
const MISSED_REPORTS = 4;

const agentKey = (agentId: string): string => `stat.agent.${agentId}`;
const kernelKey = (kernelId: string): string => `stat.kernel.${kernelId}`;

const storedNode = v.pipe(v.string(), v.parseJson(), nodeStatistics);
const storedKernel = v.pipe(v.string(), v.parseJson(), metrics);

/** Keeps a report. Kernels of other agents in it are ignored. */
export async function noteStatistics(
  { sql, live }: { sql: Db; live: LiveStore },
  report: StatisticsReport,
): Promise<void> {
  const { agentId, node, intervalMs } = report;
  const own = await selectOwnKernels(sql, agentId, Object.keys(report.kernels));
  const writes = Object.entries(report.kernels)
    .filter(([kernelId]) => own.has(kernelId))
    .map(([id, found]) => live.set(kernelKey(id), JSON.stringify(found), { ttlMs: KERNEL_TTL_MS }));
  if (node) {
    const ttlMs = intervalMs * MISSED_REPORTS;
    writes.push(live.set(agentKey(agentId), JSON.stringify(node), { ttlMs }));
  }
  await Promise.all(writes);
}

/** What nodes use now, in the order of `agentIds`; null for those that do not report. */
export async function loadNodeStatistics(
  live: LiveStore,
  agentIds: readonly string[],
): Promise<(NodeStatistics | null)[]> {
  const texts = await live.getMany(agentIds.map(agentKey));
  return texts.map((text) => (text === null ? null : v.parse(storedNode, text)));
}

/** What kernels used at last, in the order of `kernelIds`; null for those never measured. */
export async function loadKernelStatistics(
  live: LiveStore,
  kernelIds: readonly string[],
): Promise<(Metrics | null)[]> {
  const texts = await live.getMany(kernelIds.map(kernelKey));
  return texts.map((text) => (text === null ? null : v.parse(storedKernel, text)));
}

/** Copies what kernels that ended used at last into their rows, where it stays. */
export async function keepLastStatistics(
  { sql, live }: { sql: Db; live: LiveStore },
  agentId: string,
  kernelIds: readonly string[],
): Promise<void> {
  if (kernelIds.length === 0) return;
  const found = await loadKernelStatistics(live, kernelIds);
  const known = kernelIds.flatMap((id, index) => {
    const last = found[index];
    return last ? [[id, last] as const] : [];
  });
  if (known.length > 0) await saveLastStatistics(sql, agentId, new Map(known));
}
