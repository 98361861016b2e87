/**
 * The smallest change to a request with which the session would start now. Every suggestion has been
 * judged by the planner itself, in the session's own turn, before it is made. Pure.
 */
import type { Slots } from '../../common/slots.ts';
import type { Planning } from './plan.ts';
import type { PendingSession } from './snapshot.ts';

export interface Suggestion {
  /** Most of each slot that a kernel may ask for; slots left out stay as they are. null: no change. */
  readonly resources: Slots | null;
  /** Kernels, the first ones of the session; null: no change. */
  readonly clusterSize: number | null;
  /** null: no change. */
  readonly clusterMode: 'multi-node' | null;
  /** Without the choice of agents. */
  readonly anyAgent: boolean;
  /** Without a time before which it must not start. */
  readonly startNow: boolean;
  readonly withoutDependencies: boolean;
}

const NO_CHANGE: Suggestion = {
  ...{ resources: null, clusterSize: null, clusterMode: null },
  ...{ anyAgent: false, startNow: false, withoutDependencies: false },
};

/** Halvings when looking for the largest amount that still fits. */
const MAX_HALVINGS = 60;
/** Steps between nothing and everything when all slots shrink together. */
const SCALE_STEPS = 256n;
const WHOLE = 1_000_000n;
const MEBI = 1_048_576n * WHOLE;
const HUNDREDTH = 10_000n;

function capped(requested: Slots, caps: Slots): Slots {
  const out = new Map(requested);
  for (const [slot, cap] of caps) {
    const amount = out.get(slot);
    if (amount !== undefined && amount > cap) out.set(slot, cap);
  }
  return out;
}

/** The session as it would be after the change. */
export function applySuggestion(session: PendingSession, change: Suggestion): PendingSession {
  const { resources, clusterSize } = change;
  const kernels = clusterSize === null ? session.kernels : session.kernels.slice(0, clusterSize);
  return {
    ...session,
    kernels: resources
      ? kernels.map((kernel) => ({ ...kernel, requested: capped(kernel.requested, resources) }))
      : kernels,
    clusterMode: change.clusterMode ?? session.clusterMode,
    designatedAgents: change.anyAgent ? [] : session.designatedAgents,
    startsAt: change.startNow ? null : session.startsAt,
    dependencies: change.withoutDependencies ? [] : session.dependencies,
  };
}

/** What a slot is asked for in: whole devices and cores, mebibytes, hundredths of shares. */
function stepOf(amount: bigint): bigint {
  if (amount % WHOLE !== 0n) return HUNDREDTH;
  return amount >= MEBI ? MEBI : WHOLE;
}

interface Range {
  readonly least: bigint;
  readonly most: bigint;
}

/** A cap is a multiple of the step, unless it is an end of the range. */
function rounded(amount: bigint, { least, most }: Range): bigint {
  const down = amount - (amount % stepOf(most));
  return down < least ? least : down > most ? most : down;
}

/** How far each slot may shrink. */
function rangesOf(session: PendingSession, minimum: Slots): Map<string, Range> {
  const out = new Map<string, Range>();
  for (const { requested } of session.kernels) {
    for (const [slot, amount] of requested) {
      if (amount > (out.get(slot)?.most ?? 0n)) {
        const least = minimum.get(slot) ?? 0n;
        out.set(slot, { least: least < amount ? least : amount, most: amount });
      }
    }
  }
  return out;
}

/** Parts of the request that are given up, added up over the slots. */
function lossOf(caps: Slots, ranges: ReadonlyMap<string, Range>): number {
  let loss = 0;
  for (const [slot, cap] of caps) {
    const most = ranges.get(slot)?.most ?? 0n;
    if (most > 0n) loss += 1 - Number((cap * 1_000_000n) / most) / 1_000_000;
  }
  return loss;
}

type Test = (caps: Slots) => boolean;

/** The most of one slot that passes beside `caps`, where the least of it does. */
function raise(slot: string, range: Range, caps: Slots, test: Test): Slots {
  let best = caps;
  let [low, high] = [best.get(slot) ?? range.least, range.most];
  for (let turn = 0; turn < MAX_HALVINGS && low < high; turn += 1) {
    const middle = rounded((low + high + 1n) / 2n, range);
    if (middle <= low) break;
    const tried = new Map(caps).set(slot, middle);
    if (test(tried)) {
      best = tried;
      low = middle;
    } else {
      high = middle - 1n;
    }
  }
  return best;
}

/** Less of one slot alone, or of all, whichever gives up less. Null when even the least is too much. */
function lessResources(ranges: ReadonlyMap<string, Range>, test: Test): Slots | null {
  const options: Slots[] = [];
  for (const [slot, range] of ranges) {
    const least = new Map([[slot, range.least]]);
    if (range.least < range.most && test(least)) options.push(raise(slot, range, least, test));
  }
  const scaled = (step: bigint): Slots =>
    new Map(
      [...ranges].map(([slot, range]) => {
        const span = range.most - range.least;
        return [slot, rounded(range.least + (span * step) / SCALE_STEPS, range)];
      }),
    );
  if (options.length === 0 && test(scaled(0n))) {
    let [low, high] = [0n, SCALE_STEPS];
    for (let turn = 0; turn < MAX_HALVINGS && high - low > 1n; turn += 1) {
      const middle = (low + high) / 2n;
      if (test(scaled(middle))) low = middle;
      else high = middle;
    }
    let caps = scaled(low);
    for (const [slot, range] of ranges) caps = raise(slot, range, caps, test);
    options.push(caps);
  }
  const [best] = options.sort((a, b) => lossOf(a, ranges) - lossOf(b, ranges));
  if (!best) return null;
  return new Map([...best].filter(([slot, cap]) => cap < (ranges.get(slot)?.most ?? 0n)));
}

/** What must go whatever else is changed, by the rules that the session fails. */
function unblocked(failed: readonly string[]): Suggestion {
  return {
    ...NO_CHANGE,
    startNow: failed.includes('ReservedBatchSessionValidator'),
    withoutDependencies: failed.includes('SessionDependenciesValidator'),
  };
}

/**
 * Called in the session's turn.
 * @param minimum what a kernel's image needs; nothing smaller is suggested.
 * @returns null when no change to the request alone would help, such as with too many sessions.
 */
export function suggest(
  planning: Planning,
  session: PendingSession,
  failed: readonly string[],
  minimum: Slots,
): Suggestion | null {
  const starts = (change: Suggestion) =>
    planning.planner.wouldStart(planning.candidate(applySuggestion(session, change)));
  const base = unblocked(failed);
  const bases: Suggestion[] = [base];
  const isCluster = session.kernels.length > 1 && session.clusterMode === 'single-node';
  if (session.designatedAgents.length > 0) bases.push({ ...base, anyAgent: true });
  if (isCluster) bases.push({ ...base, clusterMode: 'multi-node' });
  if (session.designatedAgents.length > 0 && isCluster) {
    bases.push({ ...base, anyAgent: true, clusterMode: 'multi-node' });
  }
  const free = bases.find(starts);
  if (free) return free;
  const ranges = rangesOf(session, minimum);
  const size = session.kernels.length;
  let best: { change: Suggestion; loss: number } | null = null;
  for (const change of bases) {
    const resources = lessResources(ranges, (caps) => starts({ ...change, resources: caps }));
    if (resources) {
      const loss = lossOf(resources, ranges);
      if (!best || loss < best.loss) best = { change: { ...change, resources }, loss };
    }
    for (let fewer = size - 1; fewer > 0; fewer -= 1) {
      const loss = (size - fewer) / size;
      if (best && loss >= best.loss) break;
      const smaller = { ...change, clusterSize: fewer };
      if (starts(smaller)) best = { change: smaller, loss };
    }
  }
  return best?.change ?? null;
}
