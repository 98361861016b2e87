/**
 * The screen of `top` as lines of text: nodes, sessions and the queue share its height. Pure, so that what a
 * terminal of any size shows can be tested without one.
 */
import { counted, gib, short } from './amounts.ts';
import { type Arrangement, arrange, orderTitle } from './arrange.ts';
import type { TopSnapshot } from './snapshot.ts';
import { type Part, type Table, tablesOf } from './tables.ts';

export interface View {
  readonly columns: number;
  /** Lines to fill; everything is shown when it is null. */
  readonly rows: number | null;
  /** The part that keys are for; null: there are none. */
  readonly focus: Part | null;
  /** The number of the row that is chosen in each part. */
  readonly chosen: Readonly<Record<Part, number>>;
  readonly arrangement: Arrangement;
  readonly nowMs: number;
}

export interface Line {
  readonly text: string;
  readonly style: 'plain' | 'title' | 'focused' | 'header' | 'dim' | 'warning' | 'chosen';
}

const BAR_CELLS = 6;
/** Below it numbers have to do. Columns. */
const ROOM_FOR_BARS = 80;
/** Between and above the rows: for each part a blank line, its title and its columns. */
const LINES_OF_PARTS = 3 * 3;
const FEWEST_ROWS = 1;

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
const GAP = '  ';
/** Control characters in a name must not reach the terminal. */
const printable = (text: string): string => text.replaceAll(/\p{Cc}/gu, '�');
const cut = (text: string, width: number): string =>
  Bun.stringWidth(text) <= width ? text : `${Bun.sliceAnsi(text, 0, Math.max(0, width - 1))}…`;

/** Which columns are shown: those with something to say, the more important ones first, as far as there is room. */
function shownColumns({ columns, rows }: Table, widths: readonly number[], room: number): number[] {
  // What no row has anything to say of only takes room.
  const used = columns.flatMap((_, at) =>
    rows.some(({ cells }) => (cells[at] ?? '') !== '') ? [at] : [],
  );
  const shown: number[] = [];
  let left = room + GAP.length;
  for (const at of used.toSorted((a, b) => (columns[b]?.rank ?? 0) - (columns[a]?.rank ?? 0))) {
    const width = (widths[at] ?? 0) + GAP.length;
    if (width > left && shown.length > 0) continue;
    shown.push(at);
    left -= width;
  }
  return shown.toSorted((a, b) => a - b);
}

function alignedLines(table: Table, room: number): string[] {
  const lines = [table.columns.map(({ title }) => title), ...table.rows.map(({ cells }) => cells)];
  const widths = table.columns.map((_, at) =>
    Math.max(
      ...lines.map((cells) => Math.min(Bun.stringWidth(printable(cells[at] ?? '')), MAX_CELL)),
    ),
  );
  const shown = shownColumns(table, widths, room);
  return lines.map((cells) => {
    const texts = shown.map((at, place) => {
      const cell = printable(cells[at] ?? '');
      // The last one may take what is left.
      if (place === shown.length - 1) return cell;
      const text = cut(cell, widths[at] ?? 0);
      return text + ' '.repeat((widths[at] ?? 0) - Bun.stringWidth(text));
    });
    return cut(texts.join(GAP).trimEnd(), room);
  });
}

/** Before rows: which one is chosen is told without colour, too. */
const MARKS = { chosen: '❯ ', other: '  ' };

function tableLines(table: Table, share: number, view: View): Line[] {
  const indent = view.focus === null ? '' : MARKS.other;
  const [header = '', ...texts] = alignedLines(table, view.columns - indent.length);
  const isFocused = table.part === view.focus;
  const chosen = Math.min(view.chosen[table.part], texts.length - 1);
  // The chosen row stays in sight.
  const first = Math.max(0, Math.min(chosen - Math.floor(share / 2), texts.length - share));
  const shown = texts.slice(first, first + share);
  const range =
    shown.length < texts.length ? `${first + 1}-${first + shown.length} of ${texts.length}` : '';
  const title: Line = {
    text: cut(
      [table.title, orderTitle(view.arrangement, table.part), range]
        .filter((part) => part !== '')
        .join(GAP),
      view.columns,
    ),
    style: isFocused ? 'focused' : 'title',
  };
  if (texts.length === 0) {
    const none = view.arrangement.filter === '' ? table.empty : 'Nothing of it matches.';
    return [title, { text: none, style: 'dim' }];
  }
  const styleOf = (at: number): Line['style'] => {
    if (isFocused && at === chosen) return 'chosen';
    return table.rows[at]?.isWarning === true ? 'warning' : 'plain';
  };
  return [
    title,
    { text: indent + header, style: 'header' },
    ...shown.map((text, at): Line => {
      const style = styleOf(first + at);
      return { text: (style === 'chosen' ? MARKS.chosen : indent) + text, style };
    }),
  ];
}

/** Parts with ` · ` between them, in as many lines as they need. */
function joined(parts: readonly string[], room: number): string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const last = lines.at(-1);
    const longer = last === undefined ? part : `${last} · ${part}`;
    if (last !== undefined && Bun.stringWidth(longer) <= room) lines[lines.length - 1] = longer;
    else lines.push(part);
  }
  return lines.map((line) => cut(line, room));
}

function summary({ nodes, sessionCount, waitingCount }: TopSnapshot, room: number): string[] {
  const counts = [counted(sessionCount, 'session'), `${waitingCount} waiting`];
  if (nodes === null) return joined(counts, room);
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
  return joined([counted(nodes.length, 'node'), ...counts, ...parts], room);
}

/** The screen without its first and last line, which tell of the program rather than of the cluster. */
export function drawTop(snapshot: TopSnapshot, view: View): Line[] {
  const barCells = view.columns < ROOM_FOR_BARS ? 0 : BAR_CELLS;
  const tables = tablesOf(arrange(snapshot, view.arrangement), { nowMs: view.nowMs, barCells });
  const needs = tables.map(({ rows }) => Math.max(rows.length, FEWEST_ROWS));
  const above = summary(snapshot, view.columns);
  const shares =
    view.rows === null ? needs : shareRows(needs, view.rows - LINES_OF_PARTS - above.length);
  const blank: Line = { text: '', style: 'plain' };
  return [
    ...above.map((text): Line => ({ text, style: 'plain' })),
    ...tables.flatMap((table, at) => [blank, ...tableLines(table, shares[at] ?? 1, view)]),
  ];
}
