/**
 * The screen of `top` as lines of text: nodes, sessions and the queue share its height. Pure, so that what a
 * terminal of any size shows can be tested without one.
 */
import { acceleratorUse, bar, counted, elapsed, gib, inWords, memory, short } from './amounts.ts';
import type { TopNode, TopSession, TopSnapshot, TopWaiting } from './snapshot.ts';

export const PARTS = ['nodes', 'sessions', 'queue'] as const;
export type Part = (typeof PARTS)[number];

export interface View {
  readonly columns: number;
  /** Lines to fill; everything is shown when it is null. */
  readonly rows: number | null;
  /** The part that keys scroll. */
  readonly focus: Part;
  /** Rows of each part that are scrolled past. */
  readonly offsets: Readonly<Record<Part, number>>;
  readonly nowMs: number;
}

export interface Line {
  readonly text: string;
  readonly style: 'plain' | 'title' | 'focused' | 'header' | 'dim' | 'warning';
}

const BAR_CELLS = 6;
/** Lines between and above the rows: summary, and for each part a blank line, its title and its columns. */
const OTHER_LINES = 1 + 3 * 3;
const FEWEST_ROWS = 1;

interface Table {
  readonly part: Part;
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly warnings: ReadonlySet<number>;
  /** Said where there are no rows. */
  readonly empty: string;
}

const slotUse = (used: number, total: number, write: (value: number) => string): string =>
  `${bar(used, total, BAR_CELLS)} ${write(used)}/${write(total)}`;

function nodeRow({ id, status, group, isSchedulable, total, used, cpuPercent }: TopNode): string[] {
  return [
    id,
    group,
    isSchedulable ? status : `${status}, closed`,
    slotUse(used.cpu ?? 0, total.cpu ?? 0, short),
    cpuPercent === null ? '' : `${Math.round(cpuPercent)}%`,
    slotUse(used.mem ?? 0, total.mem ?? 0, gib),
    acceleratorUse(used, total),
  ];
}

function nodesTable({ nodes }: TopSnapshot): Table {
  const rows = nodes ?? [];
  return {
    part: 'nodes',
    title: nodes === null ? 'NODES' : `NODES (${rows.length})`,
    header: ['ID', 'GROUP', 'STATE', 'CPU', 'BUSY', 'MEMORY (GiB)', 'ACCELERATORS'],
    rows: rows.map(nodeRow),
    warnings: new Set(
      rows.flatMap(({ status, isSchedulable }, at) =>
        status === 'ALIVE' && isSchedulable ? [] : [at],
      ),
    ),
    empty: nodes === null ? 'Nodes are not shown to this account.' : 'No agent has joined yet.',
  };
}

function sessionRow(session: TopSession, nowMs: number): string[] {
  const { name, owner, status, slots, cpuPercent, memoryBytes, agents, createdAt } = session;
  return [
    name,
    owner,
    status,
    inWords(slots),
    cpuPercent === null ? '' : `${Math.round(cpuPercent)}%`,
    memoryBytes === null ? '' : memory(memoryBytes),
    createdAt === null ? '' : elapsed(nowMs - Date.parse(createdAt)),
    agents.join(' '),
  ];
}

function sessionsTable({ sessions, sessionCount }: TopSnapshot, nowMs: number): Table {
  return {
    part: 'sessions',
    title: `SESSIONS (${sessionCount})`,
    header: ['NAME', 'OWNER', 'STATE', 'HOLDS', 'CPU', 'MEM', 'AGE', 'NODES'],
    rows: sessions.map((session) => sessionRow(session, nowMs)),
    warnings: new Set(sessions.flatMap(({ status }, at) => (status === 'RUNNING' ? [] : [at]))),
    empty: 'Nothing runs.',
  };
}

function waitingRow(found: TopWaiting, nowMs: number, showsGroup: boolean): string[] {
  const { position, length, name, owner, group, slots, why, estimatedStart } = found;
  const start = estimatedStart === null ? '' : `in ${elapsed(Date.parse(estimatedStart) - nowMs)}`;
  return [
    position === null ? '' : `${position}/${length}`,
    name,
    owner,
    showsGroup ? group : '',
    inWords(slots),
    start,
    why,
  ];
}

function queueTable({ waiting, waitingCount }: TopSnapshot, nowMs: number): Table {
  return {
    part: 'queue',
    title: `QUEUE (${waitingCount})`,
    header: ['PLACE', 'NAME', 'OWNER', 'GROUP', 'WANTS', 'START', 'WHY IT WAITS'],
    rows: waiting.map((one) => waitingRow(one, nowMs, groupsIn(waiting) > 1)),
    warnings: new Set(),
    empty: 'Nobody waits.',
  };
}

/** Groups tell rows apart only where there are several. */
const groupsIn = (rows: readonly { readonly group: string }[]): number =>
  new Set(rows.map(({ group }) => group)).size;

/** How many rows each table gets: as it needs, and where that is too much, equal shares. */
export function shareRows(needs: readonly number[], room: number): number[] {
  const shares = needs.map(() => 0);
  let left = Math.max(room, needs.length * FEWEST_ROWS);
  // From the most modest on, each takes what it needs or an equal part of what is left.
  const order = needs.map((need, at) => ({ need, at })).toSorted((a, b) => a.need - b.need);
  order.forEach(({ need, at }, done) => {
    const share = Math.min(need, Math.floor(left / (needs.length - done)));
    shares[at] = Math.max(share, FEWEST_ROWS);
    left -= shares[at];
  });
  return shares;
}

const MAX_CELL = 28;
/** Control characters in a name must not reach the terminal. */
const printable = (text: string): string => text.replaceAll(/\p{Cc}/gu, '�');
const cut = (text: string, width: number): string =>
  Bun.stringWidth(text) <= width ? text : `${Bun.sliceAnsi(text, 0, Math.max(0, width - 1))}…`;

function columnsOf({ header, rows }: Table, columns: number): string[] {
  // What no row has anything to say of only takes room.
  const used = header.map((_, at) => rows.some((row) => (row[at] ?? '') !== ''));
  const lines = [header, ...rows].map((row) => row.filter((_, at) => used[at]).map(printable));
  const last = used.filter(Boolean).length - 1;
  const widths = Array.from({ length: last + 1 }, (_, at) =>
    Math.max(...lines.map((row) => Math.min(Bun.stringWidth(row[at] ?? ''), MAX_CELL))),
  );
  return lines.map((row) => {
    const cells = row.map((cell, at) => {
      if (at === last) return cell;
      const text = cut(cell, widths[at] ?? 0);
      return text + ' '.repeat((widths[at] ?? 0) - Bun.stringWidth(text));
    });
    return cut(cells.join('  ').trimEnd(), columns);
  });
}

function tableLines(table: Table, share: number, view: View): Line[] {
  const [header = '', ...rows] = columnsOf(table, view.columns);
  const offset = Math.min(view.offsets[table.part], Math.max(0, rows.length - share));
  const shown = rows.slice(offset, offset + share);
  const range =
    shown.length < rows.length ? `  ${offset + 1}-${offset + shown.length} of ${rows.length}` : '';
  const title: Line = {
    text: `${table.title}${range}`,
    style: table.part === view.focus ? 'focused' : 'title',
  };
  if (rows.length === 0) return [title, { text: table.empty, style: 'dim' }];
  return [
    title,
    { text: header, style: 'header' },
    ...shown.map(
      (text, at): Line => ({
        text,
        style: table.warnings.has(offset + at) ? 'warning' : 'plain',
      }),
    ),
  ];
}

function summary({ nodes, sessionCount, waitingCount }: TopSnapshot): string {
  const counts = `${counted(sessionCount, 'session')} · ${waitingCount} waiting`;
  if (nodes === null) return counts;
  const totals = new Map<string, { used: number; total: number }>();
  for (const { used, total, status } of nodes) {
    if (status !== 'ALIVE') continue;
    for (const [slot, amount] of Object.entries(total)) {
      const sum = totals.get(slot) ?? { used: 0, total: 0 };
      totals.set(slot, { used: sum.used + (used[slot] ?? 0), total: sum.total + amount });
    }
  }
  const slots = [...totals].filter(([, { total }]) => total > 0);
  const parts = slots.map(([slot, { used, total }]) =>
    slot === 'mem'
      ? `mem ${gib(used)}/${gib(total)} GiB`
      : `${slot} ${short(used)}/${short(total)}`,
  );
  return [counted(nodes.length, 'node'), counts, ...parts].join(' · ');
}

/** The most rows that a part can be scrolled past. */
export const rowsIn = ({ nodes, sessions, waiting }: TopSnapshot, part: Part): number =>
  ({ nodes: nodes?.length ?? 0, sessions: sessions.length, queue: waiting.length })[part];

/** The screen without its first and last line, which tell of the program rather than of the cluster. */
export function drawTop(snapshot: TopSnapshot, view: View): Line[] {
  const tables = [
    nodesTable(snapshot),
    sessionsTable(snapshot, view.nowMs),
    queueTable(snapshot, view.nowMs),
  ];
  const needs = tables.map(({ rows }) => Math.max(rows.length, FEWEST_ROWS));
  const shares = view.rows === null ? needs : shareRows(needs, view.rows - OTHER_LINES);
  const blank: Line = { text: '', style: 'plain' };
  return [
    { text: cut(summary(snapshot), view.columns), style: 'plain' },
    ...tables.flatMap((table, at) => [blank, ...tableLines(table, shares[at] ?? 1, view)]),
  ];
}
