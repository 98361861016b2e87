import { expect, test } from 'bun:test';
import { elapsed } from './amounts.ts';
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
  createdAt: '2026-01-02T01:00:00Z',
});

const snapshot = (sessions: number): TopSnapshot => ({
  nodes: [
    {
      ...{ id: 'i-one', status: 'ALIVE', group: 'default', isSchedulable: true },
      total: { cpu: 8, mem: 64 * GIB, 'cuda.device': 2 },
      used: { cpu: 4, mem: 16 * GIB, 'cuda.device': 2 },
      cpuPercent: 42.4,
    },
    {
      ...{ id: 'i-two', status: 'LOST', group: 'default', isSchedulable: true },
      ...{ total: { cpu: 8 }, used: {}, cpuPercent: null },
    },
  ],
  sessions: Array.from({ length: sessions }, (_, at) => session(at)),
  sessionCount: sessions,
  waiting: [
    {
      ...{ id: 'w', name: 'big', owner: 'b@example.com', group: 'default' },
      ...{ slots: { cpu: 16 }, position: 1, length: 1, why: 'lacks 8 of cpu' },
      estimatedStart: '2026-01-02T03:14:05Z',
    },
  ],
  waitingCount: 1,
});

const view = (more: Partial<View> = {}): View => ({
  ...{ columns: 120, rows: null, focus: 'sessions', nowMs: NOW_MS },
  offsets: { nodes: 0, sessions: 0, queue: 0 },
  ...more,
});
const textOf = (found: TopSnapshot, more?: Partial<View>) =>
  drawTop(found, view(more)).map(({ text }) => text);

test('what is used, by whom, and why others wait', () => {
  expect(textOf(snapshot(2))).toEqual([
    '2 nodes · 2 sessions · 1 waiting · cpu 4/8 · mem 16/64 GiB · cuda.device 2/2',
    '',
    'NODES (2)',
    'ID     GROUP    STATE  CPU         BUSY  MEMORY (GiB)  ACCELERATORS',
    'i-one  default  ALIVE  ███░░░ 4/8  42%   ██░░░░ 16/64  cuda.device 2/2',
    'i-two  default  LOST   ░░░░░░ 0/8        ░░░░░░ 0/0',
    '',
    'SESSIONS (2)',
    'NAME     OWNER             STATE      HOLDS                       CPU   MEM   AGE    NODES',
    'train-0  user@example.com  RUNNING    cpu 2 mem 4G cuda.device 1  150%  300M  2h 4m  i-one',
    'train-1  user@example.com  PREPARING  cpu 2 mem 4G cuda.device 1              2h 4m  i-one',
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
  expect(lines.map(({ text }) => text)).toContain('SESSIONS (50)  1-9 of 50');

  const offsets = { nodes: 0, sessions: 45, queue: 0 };
  const scrolled = drawTop(snapshot(50), view({ columns: 60, rows: 22, offsets }));
  expect(scrolled.map(({ text }) => text)).toContain('SESSIONS (50)  42-50 of 50');
  expect(scrolled.some(({ text }) => text.startsWith('train-49'))).toBe(true);
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
