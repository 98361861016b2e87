/** The outbox: order, acknowledgement, bounds, and what a killed process leaves behind. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../common/clock.ts';
import type { AgentEvent } from '../common/protocol/manager.ts';
import { eventually } from './backends/testing/kernels.ts';
import { Outbox } from './outbox.ts';
import { OutboxStore } from './outbox-store.ts';
import { silentLog } from './testing/fakes.ts';

let stateDir = '';
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'outbox-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

const kernel = { kernelId: 'k1', sessionId: 's1' };
const ended = {
  kind: 'kernel-terminated',
  reason: 'user-requested',
  exitCode: 0,
  message: null,
  logs: null,
} as const;

const open = (
  deliver: (events: AgentEvent[]) => Promise<{ ackedSeq: number }>,
  maxEvents?: number,
) => new Outbox({ stateDir, deliver, clock: systemClock, log: silentLog, maxEvents });

test('events arrive in order, in batches, each once when acknowledged', async () => {
  const received: AgentEvent[] = [];
  const outbox = open(async (events) => {
    received.push(...events);
    return { ackedSeq: events.at(-1)?.seq ?? 0 };
  });
  for (let turn = 0; turn < 1200; turn += 1) outbox.add(kernel, { kind: 'kernel-preparing' });
  outbox.start();
  await eventually(() => outbox.size === 0);
  expect(received).toHaveLength(1200);
  const seqs = received.map(({ seq }) => seq);
  expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
  expect(new Set(seqs).size).toBe(1200);
  await outbox.stop();
});

test('what is not acknowledged is sent again, also after failures', async () => {
  const received: number[][] = [];
  const outbox = open(async (events) => {
    received.push(events.map(({ seq }) => seq));
    if (received.length === 1) throw new Error('away');
    return { ackedSeq: events[0]?.seq ?? 0 };
  });
  outbox.add(kernel, { kind: 'kernel-preparing' });
  outbox.add(kernel, { kind: 'kernel-creating' });
  outbox.start();
  await eventually(() => outbox.size === 0);
  expect(received).toHaveLength(3);
  expect(received[1]).toEqual(received[0] ?? []);
  expect(received[2]).toEqual([received[0]?.[1] ?? -1]);
  await outbox.stop();
});

test('events survive a killed process, and numbers go on growing', async () => {
  const script = `
    import { Outbox } from ${JSON.stringify(join(import.meta.dir, 'outbox.ts'))};
    import { systemClock } from ${JSON.stringify(join(import.meta.dir, '../common/clock.ts'))};
    const outbox = new Outbox({ stateDir: process.argv[1], clock: systemClock, log: console,
      deliver: async () => { throw new Error('away'); } });
    outbox.start();
    for (let i = 0; i < 20; i += 1) outbox.add({ kernelId: 'k' + i, sessionId: 's' }, { kind: 'kernel-creating' });
    outbox.beginEnd({ kernelId: 'k1', sessionId: 's', end: ${JSON.stringify(ended)} });
    process.kill(process.pid, 'SIGKILL');
  `;
  const child = Bun.spawn([process.execPath, '-e', script, stateDir], {
    stdout: 'inherit',
    stderr: 'inherit',
  });
  await child.exited;
  expect(child.signalCode).toBe('SIGKILL');
  const received: AgentEvent[] = [];
  const outbox = open(async (events) => {
    received.push(...events);
    return { ackedSeq: events.at(-1)?.seq ?? 0 };
  });
  expect(outbox.begunEnds()).toEqual([{ kernelId: 'k1', sessionId: 's', end: ended }]);
  outbox.finishEnd({ kernelId: 'k1', sessionId: 's' }, ended);
  expect(outbox.begunEnds()).toEqual([]);
  expect(outbox.unacknowledgedEnds()).toEqual([{ kernelId: 'k1', sessionId: 's' }]);
  outbox.start();
  await eventually(() => outbox.size === 0);
  expect(received.map(({ kernelId }) => kernelId)).toEqual([
    ...Array.from({ length: 20 }, (_, index) => `k${index}`),
    'k1',
  ]);
  const seqs = received.map(({ seq }) => seq);
  expect(seqs).toEqual(seqs.map((_, index) => (seqs[0] ?? 0) + index));
  await outbox.stop();
});

test('numbers are not reused after everything was acknowledged and the store reopened', () => {
  const openStore = () =>
    new OutboxStore(join(stateDir, 'outbox.sqlite'), { firstSeq: 5, maxEvents: 10 });
  const event = { at: new Date(0).toISOString(), ...kernel, body: ended };
  const store = openStore();
  store.append(event);
  expect(store.oldest(10, 1000).map(({ seq }) => seq)).toEqual([6]);
  store.acknowledge(6);
  store.close();
  const again = openStore();
  again.append(event);
  expect(again.oldest(10, 1000).map(({ seq }) => seq)).toEqual([7]);
  again.close();
});

test('a full outbox gives up progress first, then the oldest', async () => {
  const outbox = open(async () => {
    throw new Error('away');
  }, 3);
  outbox.add(kernel, { kind: 'kernel-preparing' });
  outbox.finishEnd({ kernelId: 'k2', sessionId: 's' }, ended);
  outbox.finishEnd({ kernelId: 'k3', sessionId: 's' }, ended);
  outbox.finishEnd({ kernelId: 'k4', sessionId: 's' }, ended);
  const ids = () => outbox.unacknowledgedEnds().map(({ kernelId }) => kernelId);
  expect(ids()).toEqual(['k2', 'k3', 'k4']);
  outbox.finishEnd({ kernelId: 'k5', sessionId: 's' }, ended);
  expect(ids()).toEqual(['k3', 'k4', 'k5']);
  expect(outbox.size).toBe(3);
  await outbox.stop();
});

test('a start is reported once per kernel', async () => {
  const outbox = open(async () => {
    throw new Error('away');
  });
  const info = {
    containerId: 'c',
    kernelHost: 'h',
    servicePorts: [],
    occupiedSlots: {},
    attachedDevices: {},
    isolationGaps: [],
  };
  outbox.addStarted(kernel, { kind: 'kernel-started', info });
  outbox.addStarted(kernel, { kind: 'kernel-started', info });
  expect(outbox.size).toBe(1);
  expect(outbox.wasStarted('k1')).toBe(true);
  outbox.finishEnd(kernel, ended);
  expect(outbox.wasStarted('k1')).toBe(false);
  outbox.addStarted(kernel, { kind: 'kernel-started', info });
  expect(outbox.size).toBe(3);
  await outbox.stop();
});
