/**
 * How long sessions may hang in a status, as the cluster's configuration says below
 * `config/session/hang-tolerance/threshold/`: a duration such as `10m`, or seconds, for each status.
 */
import { errorMessage } from '../../common/errors.ts';
import { parseDurationMs } from '../../common/sizes.ts';
import type { ManagerContext } from '../context.ts';

const PREFIX = 'config/session/hang-tolerance/threshold';
/** Upstream knows these; what it calls PREPARING is everything from there until the kernel runs. */
const FOLLOWED = {
  PREPARING: ['PREPARING', 'PULLING', 'PREPARED', 'CREATING'],
  TERMINATING: ['TERMINATING'],
} as const;

/** Longest time in a status, where one is configured. Seconds. */
export type HangTolerance = Readonly<
  Partial<Record<(typeof FOLLOWED)[keyof typeof FOLLOWED][number], number>>
>;

/** Reads the entries; values that are no durations are left out. */
function parseTolerance(entries: ReadonlyMap<string, string>): HangTolerance {
  const found = Object.entries(FOLLOWED).flatMap(([name, statuses]) => {
    const ms = parseDurationMs(entries.get(`${PREFIX}/${name}`) ?? '');
    return ms !== null && ms > 0 ? statuses.map((status) => [status, ms / 1000] as const) : [];
  });
  return Object.fromEntries(found);
}

/** Follows the configuration. @throws what the configuration store throws when it cannot be read. */
export async function watchHangTolerance({
  config,
  log,
}: Pick<ManagerContext, 'config' | 'log'>): Promise<{
  readonly current: () => HangTolerance;
  close(): Promise<void>;
}> {
  let value: HangTolerance = {};
  const read = async () => {
    value = parseTolerance(await config.list(PREFIX));
  };
  const subscription = await config.watch(PREFIX, () => {
    read().catch((error) =>
      log.warn('the hang tolerance is not read, what was read last stays', {
        error: errorMessage(error),
      }),
    );
  });
  await read();
  return { current: () => value, close: () => subscription.close() };
}
