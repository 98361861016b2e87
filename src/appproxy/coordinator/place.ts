/** Which worker serves a new circuit, and at which address: decisions without I/O. */
import { type AppMode, isHttp2, type Protocol } from '../shared/protocol.ts';
import type { WorkerRow } from './store.ts';

export interface Placement {
  readonly protocol: Protocol;
  readonly mode: AppMode;
  /** What filters of workers compare, such as `session.user_uuid`. */
  readonly tags: Readonly<Record<string, string>>;
  /** The port that was asked for. */
  readonly port: number | null;
  /** The name that was asked for. */
  readonly subdomain: string | null;
}

const matches = ({ filters }: WorkerRow, tags: Placement['tags']): boolean =>
  filters.some(({ key, value }) => tags[key] === value);

/** Workers for gRPC and for HTTP/2 do the same. */
const speaks = (spoken: Protocol, wanted: Protocol): boolean =>
  spoken === wanted || (isHttp2(spoken) && isHttp2(wanted));

const hasRoom = (worker: WorkerRow): boolean =>
  worker.available_slots < 0 || worker.occupied_slots < worker.available_slots;

const suits = (worker: WorkerRow, { port, subdomain }: Placement): boolean => {
  if (port !== null) {
    const range = worker.port_range;
    return range !== null && port >= range[0] && port <= range[1];
  }
  return subdomain === null || worker.frontend_mode === 'wildcard';
};

/** How full a worker is, for comparing. */
const load = ({ available_slots, occupied_slots }: WorkerRow): number =>
  available_slots < 0 ? occupied_slots / 1e9 : occupied_slots / available_slots;

/**
 * The workers that can serve it, the best first. Workers that are set aside for what matches their
 * filters take all of that and nothing else. A wish for a port or a name decides where there is a
 * choice; names need no slots, so they are preferred.
 */
export function candidatesFor(workers: readonly WorkerRow[], wanted: Placement): WorkerRow[] {
  const able = workers.filter(
    (worker) =>
      worker.status === 'ALIVE' &&
      speaks(worker.protocol, wanted.protocol) &&
      worker.accepted_traffics.includes(wanted.mode),
  );
  const reserved = able.filter(
    (worker) => worker.filtered_apps_only && matches(worker, wanted.tags),
  );
  const open = reserved.length > 0 ? reserved : able.filter((worker) => !worker.filtered_apps_only);
  const suitable = open.filter((worker) => suits(worker, wanted));
  return (suitable.length > 0 ? suitable : open)
    .filter(hasRoom)
    .sort(
      (a, b) =>
        Number(a.frontend_mode === 'port') - Number(b.frontend_mode === 'port') ||
        load(a) - load(b) ||
        a.authority.localeCompare(b.authority),
    );
}

/**
 * A free port of a worker.
 * @param point where to begin to look, between 0 and 1: spreads circuits that come at the same time.
 * @param avoided ports that turned out to be unusable.
 * @returns null when there is none, or the wanted one is taken.
 */
export function choosePort(
  [first, last]: readonly [number, number],
  taken: ReadonlySet<number>,
  wanted: number | null,
  point: number,
  avoided: ReadonlySet<number> = new Set(),
): number | null {
  if (wanted !== null) {
    return wanted >= first && wanted <= last && !taken.has(wanted) ? wanted : null;
  }
  const count = last - first + 1;
  const start = Math.floor(point * count);
  for (let step = 0; step < count; step += 1) {
    const port = first + ((start + step) % count);
    if (!taken.has(port) && !avoided.has(port)) return port;
  }
  return null;
}
