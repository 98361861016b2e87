/** What the coordinator does by itself from time to time; harmless when several do it. */
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import { listCircuits } from './circuit-store.ts';
import { type CoordinatorService, TOKEN_LIFETIME_MS } from './service.ts';
import { deleteTokens, loseSilentWorkers } from './store.ts';

const INTERVAL_MS = 10_000;

/** Removes HTTP circuits of sessions that nobody has used for long. @returns their ids. */
async function collectUnused(
  service: CoordinatorService,
  startedMs: number,
): Promise<readonly string[]> {
  const { sql, live, clock, settings } = service.ctx;
  const circuits = (await listCircuits(sql)).filter(
    ({ app_mode, protocol }) => app_mode === 'interactive' && protocol !== 'tcp',
  );
  if (circuits.length === 0) return [];
  const accesses = await live.getMany(circuits.map(({ id }) => `circuit.${id}.last_access`));
  const unusedSinceMs = clock.now().getTime() - settings.unusedCircuitMs;
  const unused = circuits.filter((circuit, index) => {
    const seconds = accesses[index];
    // What was noted may have been lost with the live store: then the time since the start counts.
    const lastMs =
      seconds == null
        ? Math.max(startedMs, Date.parse(circuit.updated_at))
        : Math.max(Number(seconds) * 1000, Date.parse(circuit.created_at));
    return lastMs < unusedSinceMs;
  });
  return await service.close({ ids: unused.map(({ id }) => id) });
}

export async function upkeepOnce(service: CoordinatorService, startedMs: number): Promise<void> {
  const { sql, clock, settings, log } = service.ctx;
  const now = clock.now();
  const silentSince = new Date(now.getTime() - settings.workerTimeoutMs);
  for (const authority of await loseSilentWorkers(sql, silentSince, now)) {
    log.warn('a worker is lost', { authority });
  }
  for (const circuit of await collectUnused(service, startedMs)) {
    log.info('an unused circuit was removed', { circuit });
  }
  await deleteTokens(sql, { before: new Date(now.getTime() - TOKEN_LIFETIME_MS) });
}

/** @returns what ends it. */
export function startUpkeep(service: CoordinatorService, clock: Clock): () => Promise<void> {
  const stopping = new AbortController();
  const startedMs = clock.now().getTime();
  const loop = async () => {
    while (!stopping.signal.aborted) {
      try {
        await upkeepOnce(service, startedMs);
      } catch (error) {
        service.ctx.log.warn('upkeep has to wait', { error: errorMessage(error) });
      }
      await clock.sleep(INTERVAL_MS, stopping.signal).catch(() => {});
    }
  };
  const running = loop();
  return async () => {
    stopping.abort();
    await running;
  };
}
