/** What containers use, as the daemon tells: one call per container, few at a time, each bounded. */
import * as v from 'valibot';
import { type DockerEngine, isMissing } from '../../../common/docker/engine.ts';
import { pooled } from '../../../common/pooled.ts';
import type { KernelUsage } from '../../stats/usage.ts';

const STATS_TIMEOUT_MS = 5_000;
const CALLS_AT_ONCE = 8;
/** A limit from here on means none. */
const NO_LIMIT_BYTES = 2 ** 60;

const amount = v.optional(v.number(), 0);
const statsAnswer = v.object({
  cpu_stats: v.object({ cpu_usage: v.object({ total_usage: amount }) }),
  memory_stats: v.optional(
    v.object({
      usage: v.optional(v.number()),
      limit: v.optional(v.number()),
      stats: v.nullish(v.record(v.string(), v.unknown()), {}),
    }),
    {},
  ),
  blkio_stats: v.optional(
    v.object({
      io_service_bytes_recursive: v.nullish(v.array(v.object({ op: v.string(), value: amount }))),
    }),
    {},
  ),
  networks: v.nullish(v.record(v.string(), v.object({ rx_bytes: amount, tx_bytes: amount }))),
});
type StatsAnswer = v.InferOutput<typeof statsAnswer>;

const sum = (values: readonly number[]): number => values.reduce((total, one) => total + one, 0);

/** Everything but the scratch folder. */
export type ContainerUsage = Omit<KernelUsage, 'scratchBytes'>;

/** The daemon's answer in our terms. null where it does not say, as for a container that ended. */
export function usageFrom(answer: unknown): ContainerUsage | null {
  const { cpu_stats, memory_stats, blkio_stats, networks }: StatsAnswer = v.parse(
    statsAnswer,
    answer,
  );
  const { usage, limit, stats } = memory_stats;
  if (usage === undefined) return null;
  // Pages of files that nobody uses are given up as soon as memory is short. Version 2 and 1.
  const cache = stats?.inactive_file ?? stats?.total_inactive_file;
  const blocks = blkio_stats.io_service_bytes_recursive ?? null;
  const moved = (op: string) =>
    blocks && sum(blocks.filter((one) => one.op.toLowerCase() === op).map(({ value }) => value));
  const interfaces = networks ? Object.values(networks) : null;
  return {
    cpuUsedMs: cpu_stats.cpu_usage.total_usage / 1e6,
    memoryBytes: Math.max(0, usage - (typeof cache === 'number' ? cache : 0)),
    memoryLimitBytes: limit === undefined || limit >= NO_LIMIT_BYTES ? null : limit,
    ioReadBytes: moved('read'),
    ioWriteBytes: moved('write'),
    netRxBytes: interfaces && sum(interfaces.map(({ rx_bytes }) => rx_bytes)),
    netTxBytes: interfaces && sum(interfaces.map(({ tx_bytes }) => tx_bytes)),
  };
}

/**
 * Looks at containers. Those that are gone or don't answer in time are left out.
 * @param containers kernel id → container id.
 * @throws BackendError ServiceUnavailable when no container could be looked at.
 */
export async function containerUsages(
  engine: DockerEngine,
  containers: ReadonlyMap<string, string>,
): Promise<Map<string, ContainerUsage>> {
  const usages = new Map<string, ContainerUsage>();
  const failures: unknown[] = [];
  await pooled([...containers], CALLS_AT_ONCE, async ([kernelId, containerId]) => {
    try {
      const answer = await engine.call(
        (docker, abortSignal) => {
          const once = { stream: false as const, 'one-shot': true, abortSignal };
          return docker.getContainer(containerId).stats(once);
        },
        { timeoutMs: STATS_TIMEOUT_MS },
      );
      const usage = usageFrom(answer);
      if (usage) usages.set(kernelId, usage);
    } catch (error) {
      if (!isMissing(error)) failures.push(error);
    }
  });
  if (failures.length > 0 && usages.size === 0) throw failures[0];
  return usages;
}
