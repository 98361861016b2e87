/** Which rows of `top` are shown and in which order, as its keys ask for. Pure. */
import { acceleratorsOf, inWords } from './amounts.ts';
import type { TopNode, TopSession, TopSnapshot, TopWaiting } from './snapshot.ts';
import type { Part } from './tables.ts';

export interface Arrangement {
  /** Which order of its part. */
  readonly order: Readonly<Record<Part, number>>;
  readonly isReversed: Readonly<Record<Part, boolean>>;
  /** Rows without it are left out; the case does not matter. */
  readonly filter: string;
}

export const AS_IT_COMES: Arrangement = {
  order: { nodes: 0, sessions: 0, queue: 0 },
  isReversed: { nodes: false, sessions: false, queue: false },
  filter: '',
};

interface Order<T> {
  readonly name: string;
  readonly compare: (one: T, other: T) => number;
}

/** Largest first; what is not known comes last. */
const byNumber =
  <T>(read: (row: T) => number | null) =>
  (one: T, other: T): number =>
    (read(other) ?? Number.NEGATIVE_INFINITY) - (read(one) ?? Number.NEGATIVE_INFINITY) || 0;
const byText =
  <T>(read: (row: T) => string) =>
  (one: T, other: T): number =>
    read(one).localeCompare(read(other));

/** The first is how the server answers. */
const asItComes = { compare: () => 0 };
const share = ({ used, total }: TopNode, slot: string): number =>
  (total[slot] ?? 0) > 0 ? (used[slot] ?? 0) / (total[slot] ?? 0) : 0;
const sumOfAccelerators = (node: TopNode): number =>
  acceleratorsOf(node.total).reduce((sum, slot) => sum + share(node, slot), 0);
const wishes = ({ slots }: TopWaiting): number => slots.cpu ?? 0;

const ORDERS: {
  readonly nodes: readonly Order<TopNode>[];
  readonly sessions: readonly Order<TopSession>[];
  readonly queue: readonly Order<TopWaiting>[];
} = {
  nodes: [
    { name: 'name', ...asItComes },
    { name: 'processors held', compare: byNumber((node) => share(node, 'cpu')) },
    { name: 'memory held', compare: byNumber((node) => share(node, 'mem')) },
    { name: 'accelerators held', compare: byNumber(sumOfAccelerators) },
    { name: 'busy', compare: byNumber(({ cpuPercent }) => cpuPercent) },
  ],
  sessions: [
    { name: 'newest', ...asItComes },
    { name: 'cpu', compare: byNumber(({ cpuPercent }) => cpuPercent) },
    { name: 'memory', compare: byNumber(({ memoryBytes }) => memoryBytes) },
    { name: 'devices', compare: byNumber(({ devicePercent }) => devicePercent) },
    { name: 'owner', compare: byText(({ owner }) => owner) },
    { name: 'name', compare: byText(({ name }) => name) },
  ],
  queue: [
    { name: 'place', ...asItComes },
    { name: 'processors wanted', compare: byNumber(wishes) },
    { name: 'owner', compare: byText(({ owner }) => owner) },
    { name: 'name', compare: byText(({ name }) => name) },
  ],
};

/** `by cpu`, `by cpu, reversed`; empty for the order that nobody chose. */
export function orderTitle({ order, isReversed }: Arrangement, part: Part): string {
  const { name } = ORDERS[part][order[part]] ?? { name: '' };
  if (order[part] === 0 && !isReversed[part]) return '';
  return `by ${name}${isReversed[part] ? ', reversed' : ''}`;
}

/** The next order of a part; after the last comes the first. */
export const nextOrder = (arrangement: Arrangement, part: Part): Arrangement => ({
  ...arrangement,
  order: {
    ...arrangement.order,
    [part]: (arrangement.order[part] + 1) % ORDERS[part].length,
  },
});

export const reversed = (arrangement: Arrangement, part: Part): Arrangement => ({
  ...arrangement,
  isReversed: { ...arrangement.isReversed, [part]: !arrangement.isReversed[part] },
});

function arranged<T>(
  rows: readonly T[],
  {
    order,
    isReversed,
    matches,
  }: {
    readonly order: Order<T> | undefined;
    readonly isReversed: boolean;
    readonly matches: (row: T) => boolean;
  },
): T[] {
  const sorted = rows.filter(matches).toSorted(order?.compare ?? asItComes.compare);
  return isReversed ? sorted.toReversed() : sorted;
}

/** The same moment, with the rows that are asked for, in the order that is. */
export function arrange(snapshot: TopSnapshot, arrangement: Arrangement): TopSnapshot {
  const { order, isReversed } = arrangement;
  const wanted = arrangement.filter.toLowerCase();
  const contain = (...texts: readonly string[]): boolean =>
    wanted === '' || texts.some((text) => text.toLowerCase().includes(wanted));
  return {
    ...snapshot,
    nodes:
      snapshot.nodes &&
      arranged(snapshot.nodes, {
        order: ORDERS.nodes[order.nodes],
        isReversed: isReversed.nodes,
        matches: ({ id, status, group, total }) =>
          contain(id, status, group, acceleratorsOf(total).join(' ')),
      }),
    sessions: arranged(snapshot.sessions, {
      order: ORDERS.sessions[order.sessions],
      isReversed: isReversed.sessions,
      matches: ({ id, name, owner, status, group, agents, slots }) =>
        contain(id, name, owner, status, group, inWords(slots), ...agents),
    }),
    waiting: arranged(snapshot.waiting, {
      order: ORDERS.queue[order.queue],
      isReversed: isReversed.queue,
      matches: ({ id, name, owner, group, why, slots }) =>
        contain(id, name, owner, group, why, inWords(slots)),
    }),
  };
}
