/** The three tables of `top`: their columns, and what of a row each of them says. */
import { acceleratorUse, bar, elapsed, gib, inWords, memory, percent, short } from './amounts.ts';
import type { TopNode, TopSession, TopSnapshot, TopWaiting } from './snapshot.ts';

export const PARTS = ['nodes', 'sessions', 'queue'] as const;
export type Part = (typeof PARTS)[number];

export interface Row {
  readonly id: string;
  readonly cells: readonly string[];
  /** It wants to be looked at. */
  readonly isWarning: boolean;
}

export interface Column {
  readonly title: string;
  /** Where there is no room for all columns, those of higher rank are shown. */
  readonly rank: number;
}

export interface Table {
  readonly part: Part;
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
  /** Said where there are no rows. */
  readonly empty: string;
}

export interface Surroundings {
  readonly nowMs: number;
  /** Cells of a bar; none where there is little room. */
  readonly barCells: number;
}

const NODE_COLUMNS: readonly Column[] = [
  { title: 'ID', rank: 9 },
  { title: 'GROUP', rank: 2 },
  { title: 'STATE', rank: 6 },
  { title: 'CPU', rank: 8 },
  { title: 'BUSY', rank: 4 },
  { title: 'MEMORY (GiB)', rank: 7 },
  { title: 'ACCELERATORS', rank: 5 },
  { title: 'DEVICES BUSY', rank: 3 },
];

function nodeRow(node: TopNode, { barCells }: Surroundings): Row {
  const { id, status, group, isSchedulable, total, used, cpuPercent, devices } = node;
  const use = (slot: string, write: (value: number) => string): string => {
    const [some, all] = [used[slot] ?? 0, total[slot] ?? 0];
    return `${bar(some, all, barCells)} ${write(some)}/${write(all)}`.trimStart();
  };
  return {
    id,
    isWarning: status !== 'ALIVE' || !isSchedulable,
    cells: [
      id,
      group,
      isSchedulable ? status : `${status}, closed`,
      use('cpu', short),
      percent(cpuPercent),
      use('mem', gib),
      acceleratorUse(used, total),
      devices.map(deviceInWords).join(' '),
    ],
  };
}

/** `cuda 44% mem 35%` */
const deviceInWords = ({ name, busyPercent, memoryPercent }: TopNode['devices'][number]): string =>
  `${name} ${percent(busyPercent)}${memoryPercent === null ? '' : ` mem ${percent(memoryPercent)}`}`;

const SESSION_COLUMNS: readonly Column[] = [
  { title: 'NAME', rank: 9 },
  { title: 'OWNER', rank: 6 },
  { title: 'STATE', rank: 7 },
  { title: 'HOLDS', rank: 8 },
  { title: 'CPU', rank: 5 },
  { title: 'MEM', rank: 4 },
  { title: 'DEVICES', rank: 5 },
  { title: 'AGE', rank: 3 },
  { title: 'NODES', rank: 2 },
];

function sessionRow(session: TopSession, { nowMs }: Surroundings): Row {
  const { id, name, owner, status, slots, cpuPercent, memoryBytes, agents, createdAt } = session;
  return {
    id,
    isWarning: status !== 'RUNNING',
    cells: [
      name,
      owner,
      status,
      inWords(slots),
      percent(cpuPercent),
      memoryBytes === null ? '' : memory(memoryBytes),
      percent(session.devicePercent),
      createdAt === null ? '' : elapsed(nowMs - Date.parse(createdAt)),
      agents.join(' '),
    ],
  };
}

const QUEUE_COLUMNS: readonly Column[] = [
  { title: 'PLACE', rank: 7 },
  { title: 'NAME', rank: 9 },
  { title: 'OWNER', rank: 5 },
  { title: 'GROUP', rank: 2 },
  { title: 'WANTS', rank: 6 },
  { title: 'START', rank: 4 },
  { title: 'WHY IT WAITS', rank: 10 },
];

/** When it is expected to start, as `in 10m 0s`; empty when nobody can say. */
export const startInWords = ({ estimatedStart }: TopWaiting, nowMs: number): string =>
  estimatedStart === null ? '' : `in ${elapsed(Date.parse(estimatedStart) - nowMs)}`;

function waitingRow(found: TopWaiting, nowMs: number, showsGroup: boolean): Row {
  const { id, position, length, name, owner, group, slots, why } = found;
  return {
    id,
    isWarning: false,
    cells: [
      position === null ? '' : `${position}/${length}`,
      name,
      owner,
      showsGroup ? group : '',
      inWords(slots),
      startInWords(found, nowMs),
      why,
    ],
  };
}

/** Groups tell rows apart only where there are several. */
const groupsIn = (rows: readonly { readonly group: string }[]): number =>
  new Set(rows.map(({ group }) => group)).size;

/** How many there are, and how many of them the server was asked for. */
const countOf = (shown: number, all: number): string =>
  shown < all ? `${shown} of ${all}` : `${all}`;

export function tablesOf(snapshot: TopSnapshot, around: Surroundings): readonly Table[] {
  const { nodes, sessions, sessionCount, waiting, waitingCount } = snapshot;
  return [
    {
      part: 'nodes',
      title: nodes === null ? 'NODES' : `NODES (${nodes.length})`,
      columns: NODE_COLUMNS,
      rows: (nodes ?? []).map((node) => nodeRow(node, around)),
      empty: nodes === null ? 'Nodes are not shown to this account.' : 'No agent has joined yet.',
    },
    {
      part: 'sessions',
      title: `SESSIONS (${countOf(sessions.length, sessionCount)})`,
      columns: SESSION_COLUMNS,
      rows: sessions.map((session) => sessionRow(session, around)),
      empty: 'Nothing runs.',
    },
    {
      part: 'queue',
      title: `QUEUE (${countOf(waiting.length, waitingCount)})`,
      columns: QUEUE_COLUMNS,
      rows: waiting.map((one) => waitingRow(one, around.nowMs, groupsIn(waiting) > 1)),
      empty: 'Nobody waits.',
    },
  ];
}
