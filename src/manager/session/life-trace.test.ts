/** What a session's changes tell the trace of the request that made it. */
import { expect, test } from 'bun:test';
import { parseTraceparent } from '../../common/tracing.ts';
import { startTraceparent } from './life-trace.ts';
import type { Report, SessionState } from './reports.ts';
import { Fold } from './transition-fold.ts';

const PARENT = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
const AT = (second: number) => `2026-01-01T00:00:0${second}.000Z`;

const waiting = (traced = true): SessionState => ({
  ...{ id: 's', status: 'PENDING', statusInfo: '', statusData: {}, result: 'UNDEFINED' },
  ...{ callbackUrl: null, maxRetries: 5 },
  trace: traced
    ? { parent: PARENT, resourceGroup: 'default', pendingAt: AT(0), scheduledAt: null }
    : null,
  kernels: [
    {
      ...{ id: 'k', sessionId: 's', status: 'PENDING', statusInfo: '', isMain: true },
      ...{ mustJoin: false, agentId: null, agentAddr: null, allocations: [] },
    },
  ],
});

/** The state after `reports`, as it would be read again, and what was told. */
function next(before: SessionState, second: number, reports: readonly Report[]) {
  const fold = new Fold([before], new Date(AT(second)));
  fold.applyAll(reports);
  const { sessions, spans } = fold.changes();
  const [after] = fold.states();
  if (!after) throw new Error('the session is gone');
  const scheduledAt = sessions[0]?.historyPatch.SCHEDULED;
  const trace =
    after.trace && scheduledAt !== undefined ? { ...after.trace, scheduledAt } : after.trace;
  return { after: { ...after, trace }, spans };
}

const kernelId = 'k';
const scheduled: Report = {
  ...{ kind: 'scheduled', kernelId, agentId: 'a1', agentAddr: '', scheduler: {} },
};
const started: Report = {
  ...{ kind: 'started', kernelId },
  info: {
    ...{ containerId: 'c', kernelHost: 'h', servicePorts: [], occupiedSlots: {} },
    ...{ attachedDevices: {}, isolationGaps: [] },
  },
};
const unscheduled: Report = { kind: 'unscheduled', kernelId, reason: 'no-answer', message: 'gone' };

test('waiting and starting are told of when they are over', () => {
  const placed = next(waiting(), 2, [scheduled]);
  expect(placed.spans).toMatchObject([
    {
      ...{ name: 'session schedule', parent: parseTraceparent(PARENT), error: null },
      ...{ startUnixMs: Date.parse(AT(0)), endUnixMs: Date.parse(AT(2)) },
    },
  ]);
  const pulling = next(placed.after, 3, [{ kind: 'pulling', kernelId }]);
  expect(pulling.spans).toEqual([]);
  const running = next(pulling.after, 4, [started]);
  const told = startTraceparent('s', PARENT, AT(2));
  expect(running.spans).toMatchObject([
    {
      ...{ name: 'session start', error: null, spanId: parseTraceparent(told)?.spanId },
      ...{ startUnixMs: Date.parse(AT(2)), endUnixMs: Date.parse(AT(4)) },
      attributes: {
        'backendai.session_id': 's',
        'backendai.resource_group': 'default',
        'backendai.agents': 'a1',
      },
    },
  ]);
  const end: Report = { kind: 'terminate', kernelId, reason: 'user-requested', message: null };
  expect(next(running.after, 5, [end]).spans).toEqual([]);
});

test('a start that fails says why, and the next one is another span', () => {
  const placed = next(waiting(), 1, [scheduled]).after;
  const again = next(placed, 2, [unscheduled]);
  expect(again.spans).toMatchObject([
    {
      ...{ name: 'session start', error: 'no-answer' },
      attributes: { 'backendai.agents': 'a1' },
    },
  ]);
  const second = startTraceparent('s', PARENT, AT(3));
  expect(second).not.toBe(startTraceparent('s', PARENT, AT(1)));
  expect(parseTraceparent(second)?.traceId).toBe('a'.repeat(32));
});

test('one that is given up while it waits was never placed', () => {
  const end: Report = { kind: 'terminate', kernelId, reason: 'user-requested', message: null };
  const { spans } = next(waiting(), 3, [end]);
  expect(spans).toMatchObject([{ name: 'session schedule', error: 'user-requested' }]);
});

test('nothing is told of a session whose request nobody traced', () => {
  const placed = next(waiting(false), 1, [scheduled]);
  expect([...placed.spans, ...next(placed.after, 2, [started]).spans]).toEqual([]);
  expect(startTraceparent('s', null, AT(1))).toBeUndefined();
  expect(startTraceparent('s', 'not one', AT(1))).toBeUndefined();
});
