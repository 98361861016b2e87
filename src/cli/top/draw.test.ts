import { expect, test } from 'bun:test';
import { elapsed } from './amounts.ts';
import {
  type Arrangement,
  AS_IT_COMES,
  arrange,
  nextOrder,
  orderTitle,
  reversed,
} from './arrange.ts';
import { detailsOf } from './details.ts';
import { drawTop, shareRows, type View } from './draw.ts';
import type { TopSnapshot } from './snapshot.ts';

const GIB = 1024 ** 3;
const NOW_MS = Date.parse('2026-01-02T03:04:05Z');

const session = (at: number) => ({
  id: `00000000-0000-0000-0000-${String(at).padStart(12, '0')}`,
  name: `train-${at}`,
  owner: 'user@example.com',
  status: at === 1 ? 'PREPARING' : 'RUNNING',
  group: 'default',
  agents: ['i-one'],
  slots: { cpu: 2, mem: 4 * GIB, 'cuda.device': 1 },
  cpuPercent: at === 1 ? null : 150.4,
  memoryBytes: at === 1 ? null : 300 * 1024 ** 2,
  devicePercent: at === 1 ? null : 44,
  createdAt: '2026-01-02T01:00:00Z',
});

const snapshot = (sessions: number): TopSnapshot => ({
  nodes: [
    {
      ...{ id: 'i-one', status: 'ALIVE', group: 'default', isSchedulable: true },
      total: { cpu: 8, mem: 64 * GIB, 'cuda.device': 2 },
      used: { cpu: 4, mem: 16 * GIB, 'cuda.device': 2 },
      cpuPercent: 42.4,
      devices: [{ name: 'cuda', busyPercent: 44.4, memoryPercent: 35 }],
    },
    {
      ...{ id: 'i-two', status: 'LOST', group: 'default', isSchedulable: true },
      ...{ total: { cpu: 8 }, used: {}, cpuPercent: null, devices: [] },
    },
  ],
  sessions: Array.from({ length: sessions }, (_, at) => session(at)),
  sessionCount: sessions,
  waiting: [
    {
      ...{ id: 'w', name: 'big', owner: 'b@example.com', group: 'default' },
      ...{ slots: { cpu: 16 }, position: 1, length: 1, why: 'lacks 8 of cpu' },
      reasons: ['No agent has enough free: 16 of cpu are wanted.'],
      estimatedStart: '2026-01-02T03:14:05Z',
    },
  ],
  waitingCount: 1,
});

const view = (more: Partial<View> = {}): View => ({
  ...{ columns: 120, rows: null, focus: null, nowMs: NOW_MS },
  chosen: { nodes: 0, sessions: 0, queue: 0 },
  arrangement: AS_IT_COMES,
  ...more,
});
const textOf = (found: TopSnapshot, more?: Partial<View>) =>
  drawTop(found, view(more)).map(({ text }) => text);

test('what is used, by whom, and why others wait', () => {
  expect(textOf(snapshot(2))).toEqual([
    '2 nodes · 2 sessions · 1 waiting · cpu 4/8 · mem 16/64 GiB · cuda.device 2/2',
    '',
    'NODES (2)',
    'ID     GROUP    STATE  CPU         BUSY  MEMORY (GiB)  ACCELERATORS     DEVICES BUSY',
    'i-one  default  ALIVE  ███░░░ 4/8  42%   ██░░░░ 16/64  cuda.device 2/2  cuda 44% mem 35%',
    'i-two  default  LOST   ░░░░░░ 0/8        ░░░░░░ 0/0',
    '',
    'SESSIONS (2)',
    'NAME     OWNER             STATE      HOLDS                       CPU   MEM   DEVICES  AGE    NODES',
    'train-0  user@example.com  RUNNING    cpu 2 mem 4G cuda.device 1  150%  300M  44%      2h 4m  i-one',
    'train-1  user@example.com  PREPARING  cpu 2 mem 4G cuda.device 1                       2h 4m  i-one',
    '',
    'QUEUE (1)',
    'PLACE  NAME  OWNER          WANTS   START      WHY IT WAITS',
    '1/1    big   b@example.com  cpu 16  in 10m 0s  lacks 8 of cpu',
  ]);
});

test('nothing is wider or higher than the terminal, and the rest is scrolled to', () => {
  const lines = drawTop(snapshot(50), view({ columns: 60, rows: 22 }));
  expect(lines.length).toBeLessThanOrEqual(22);
  expect(Math.max(...lines.map(({ text }) => Bun.stringWidth(text)))).toBeLessThanOrEqual(60);
  expect(lines.map(({ text }) => text)).toContain('SESSIONS (50)  1-8 of 50');

  const chosen = { nodes: 0, sessions: 49, queue: 0 };
  const scrolled = drawTop(snapshot(50), view({ columns: 60, rows: 22, chosen }));
  expect(scrolled.map(({ text }) => text)).toContain('SESSIONS (50)  43-50 of 50');
  expect(scrolled.some(({ text }) => text.startsWith('train-49'))).toBe(true);
});

test('where there is little room the more important columns stay', () => {
  const drawn = textOf(snapshot(1), { columns: 60 });
  expect(drawn.slice(0, 2)).toEqual([
    '2 nodes · 1 session · 1 waiting · cpu 4/8 · mem 16/64 GiB',
    'cuda.device 2/2',
  ]);
  expect(drawn).toContain('ID     STATE  CPU  BUSY  MEMORY (GiB)  ACCELERATORS');
  expect(drawn).toContain('train-0  RUNNING  cpu 2 mem 4G cuda.device 1  150%  44%');
  expect(drawn).toContain('1/1    big   b@example.com  cpu 16  lacks 8 of cpu');
  const narrow = textOf(snapshot(1), { columns: 40 });
  expect(narrow).toContain('PLACE  NAME  WANTS   WHY IT WAITS');
});

test('rows are put in another order, and those without a text left out', () => {
  const three = snapshot(3);
  const busiest = {
    ...three,
    sessions: three.sessions.map((one, at) => ({ ...one, cpuPercent: at === 1 ? null : at * 10 })),
  };
  const namesOf = (arrangement: Arrangement) =>
    arrange(busiest, arrangement).sessions.map(({ name }) => name);
  const byCpu = nextOrder(AS_IT_COMES, 'sessions');
  // What is not known comes last.
  expect(namesOf(byCpu)).toEqual(['train-2', 'train-0', 'train-1']);
  expect(namesOf(reversed(AS_IT_COMES, 'sessions'))).toEqual(['train-2', 'train-1', 'train-0']);
  expect(orderTitle(reversed(byCpu, 'sessions'), 'sessions')).toBe('by cpu, reversed');
  expect(namesOf({ ...AS_IT_COMES, filter: 'TRAIN-1' })).toEqual(['train-1']);
  const drawn = textOf(busiest, { arrangement: { ...byCpu, filter: 'i-two' } });
  expect(drawn).toContain('NODES (1)');
  expect(drawn).toContain('SESSIONS (0 of 3)  by cpu');
  expect(drawn.filter((line) => line === 'Nothing of it matches.')).toHaveLength(2);
  let arrangement = AS_IT_COMES;
  const orders = new Set<string>();
  for (let turn = 0; turn < 6; turn += 1) {
    orders.add(orderTitle(arrangement, 'sessions'));
    arrangement = nextOrder(arrangement, 'sessions');
  }
  expect(arrangement).toEqual(AS_IT_COMES);
  expect(orders.size).toBe(6);
});

test('the chosen row stands out in the part that keys are for', () => {
  const chosen = { nodes: 0, sessions: 1, queue: 0 };
  const drawn = drawTop(snapshot(2), view({ chosen, focus: 'sessions' }));
  const found = drawn.filter(({ style }) => style === 'chosen');
  // By a sign, too: there may be no colours.
  expect(found.map(({ text }) => text.slice(0, 9))).toEqual(['❯ train-1']);
  expect(drawTop(snapshot(2), view()).map(({ style }) => style)).not.toContain('chosen');
});

test('of one row everything is told', () => {
  const found = snapshot(1);
  expect(detailsOf(found, 'nodes', 'i-one', NOW_MS)?.join('\n')).toContain(
    'cuda devices  44% busy, 35% of their memory\n\nIts sessions:\n  train-0  user@example.com',
  );
  const [{ id = '' } = {}] = found.sessions;
  expect(detailsOf(found, 'sessions', id, NOW_MS)).toContain(
    'Made          2026-01-02T01:00:00Z, 2h 4m ago',
  );
  expect(detailsOf(found, 'queue', 'w', NOW_MS)).toContain(
    '  No agent has enough free: 16 of cpu are wanted.',
  );
  expect(detailsOf(found, 'queue', 'gone', NOW_MS)).toBeNull();
});

test('lost nodes and sessions that are no longer or not yet running stand out', () => {
  const warned = drawTop(snapshot(2), view()).filter(({ style }) => style === 'warning');
  expect(warned.map(({ text }) => text.split(' ')[0])).toEqual(['i-two', 'train-1']);
});

test('hidden nodes and empty parts are told', () => {
  const empty = { nodes: null, sessions: [], sessionCount: 0, waiting: [], waitingCount: 0 };
  expect(textOf(empty)).toEqual([
    '0 sessions · 0 waiting',
    ...['', 'NODES', 'Nodes are not shown to this account.'],
    ...['', 'SESSIONS (0)', 'Nothing runs.'],
    ...['', 'QUEUE (0)', 'Nobody waits.'],
  ]);
});

test('a name cannot move the cursor', () => {
  const evil = { ...snapshot(1), sessions: [{ ...session(0), name: 'a\u001b[2Jb' }] };
  expect(textOf(evil).join('')).not.toContain('\u001b');
});

test('modest tables get what they need, the others share the rest', () => {
  expect(shareRows([2, 50, 1], 20)).toEqual([2, 17, 1]);
  expect(shareRows([50, 50, 50], 30)).toEqual([10, 10, 10]);
  expect(shareRows([50, 50, 50], 1)).toEqual([1, 1, 1]);
});

test.each([
  [0, '0s'],
  [41_000, '41s'],
  [723_000, '12m 3s'],
  [18_720_000, '5h 12m'],
  [86_400_000 * 3, '3d 0h'],
  [-5, '0s'],
])('%d ms have passed: %s', (passed, words) => {
  expect(elapsed(passed)).toBe(words);
});
