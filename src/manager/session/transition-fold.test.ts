/** Folding any reports in any order keeps the books exact and loses no slot. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import type { KernelCreationInfo } from '../../common/protocol/kernel.ts';
import { RESCHEDULED, RESCHEDULING } from './lifecycle.ts';
import type { Report, SessionState } from './reports.ts';
import { isTerminal, placedKernelStatuses } from './status.ts';
import { foldReports } from './transition-fold.ts';

const NOW = new Date('2026-01-01T00:00:00Z');
const KERNELS = ['k1', 'k2'];
const REQUESTED = 3_000_000n;

function waiting(): SessionState {
  return {
    ...{ id: 's', status: 'PENDING', statusInfo: '', statusData: {}, result: 'UNDEFINED' },
    callbackUrl: null,
    trace: null,
    maxRetries: 5,
    kernels: KERNELS.map((id, index) => ({
      ...{ id, sessionId: 's', status: 'PENDING', statusInfo: '', isMain: index === 0 },
      mustJoin: true,
      ...{ agentId: null, agentAddr: null },
      allocations: [{ slot: 'cpu', requested: REQUESTED, used: null }],
    })),
  };
}

const info = {
  ...{ containerId: 'c', kernelHost: 'h', servicePorts: [], attachedDevices: {} },
  isolationGaps: [],
};

const kernelId = fc.constantFrom(...KERNELS);
const agentId = fc.constantFrom('a1', 'a2');
const anyReport: fc.Arbitrary<Report> = fc.oneof(
  fc.record({
    ...{ kind: fc.constant('scheduled' as const), kernelId, agentId },
    ...{ agentAddr: fc.constant('local:'), scheduler: fc.constant({}) },
  }),
  fc.record({
    ...{ kind: fc.constant('unscheduled' as const), kernelId },
    ...{ reason: fc.constant('agent-lost'), message: fc.constant('gone') },
  }),
  fc.record({
    kind: fc.constantFrom('preparing' as const, 'pulling', 'pulled', 'creating'),
    ...{ kernelId, reporter: agentId },
  }),
  fc.record({
    ...{ kind: fc.constant('started' as const), kernelId, reporter: agentId },
    info: fc.constantFrom<KernelCreationInfo>(
      { ...info, occupiedSlots: { cpu: '2' } },
      { ...info, occupiedSlots: {} },
    ),
  }),
  fc.record({ kind: fc.constant('joined' as const), kernelId, reporter: agentId }),
  fc.record({
    kind: fc.constantFrom('terminate' as const, 'force-terminate'),
    ...{ kernelId, reason: fc.constant('user-requested'), message: fc.constant(null) },
  }),
  fc.record({
    ...{ kind: fc.constant('reschedule' as const), kernelId },
    ...{ reason: fc.constant(RESCHEDULING), message: fc.constant('its room is needed') },
  }),
  fc.record({
    ...{ kind: fc.constant('terminated' as const), kernelId, reporter: agentId },
    ...{ reason: fc.constantFrom('unknown', 'already-terminated'), exitCode: fc.constant(1) },
    ...{ message: fc.constantFrom(null, 'oops'), logs: fc.constant(null) },
  }),
);

/** The state after the changes, as the database would have it. */
function next(before: SessionState, reports: readonly Report[]) {
  const changes = foldReports([before], reports, NOW);
  const freed = new Set(changes.freedKernels);
  const requeued = new Set(changes.requeuedKernels);
  const [session] = changes.sessions;
  const after: SessionState = {
    ...before,
    status: session?.status ?? before.status,
    statusInfo: session ? session.statusInfo : before.statusInfo,
    statusData: session?.statusData ?? before.statusData,
    kernels: before.kernels.map((kernel) => {
      const change = changes.kernels.find((item) => item.id === kernel.id);
      const used = changes.usedAllocations.find((item) => item.kernelId === kernel.id);
      return {
        ...kernel,
        status: change?.status ?? kernel.status,
        statusInfo: change ? change.statusInfo : kernel.statusInfo,
        agentId: change ? change.agentId : kernel.agentId,
        mustJoin: change?.mustJoin ?? kernel.mustJoin,
        allocations: freed.has(kernel.id)
          ? []
          : kernel.allocations.map((item) => ({
              ...item,
              used: used?.used ?? (requeued.has(kernel.id) ? null : item.used),
            })),
      };
    }),
  };
  return { after, changes };
}

/** Per agent: reserved and used, from what kernels hold. */
function held(session: SessionState): Record<string, { reserved: bigint; used: bigint }> {
  const out: Record<string, { reserved: bigint; used: bigint }> = {};
  for (const kernel of session.kernels) {
    if (kernel.agentId === null) continue;
    for (const { requested, used } of kernel.allocations) {
      const sum = out[kernel.agentId] ?? { reserved: 0n, used: 0n };
      if (used === null) sum.reserved += requested;
      else sum.used += used;
      out[kernel.agentId] = sum;
    }
  }
  return out;
}

describe('folding', () => {
  test('in one batch or one by one gives the same, and the books stay exact', () => {
    fc.assert(
      fc.property(fc.array(anyReport, { maxLength: 30 }), fc.nat(30), (reports, cut) => {
        const books: Record<string, { reserved: bigint; used: bigint }> = {};
        let state = waiting();
        for (const part of [reports.slice(0, cut), reports.slice(cut)]) {
          const { after, changes } = next(state, part);
          for (const delta of changes.resources) {
            const sum = books[delta.agentId] ?? { reserved: 0n, used: 0n };
            sum.reserved += delta.reserved;
            sum.used += delta.used;
            books[delta.agentId] = sum;
          }
          state = after;
          const expected = held(state);
          for (const agent of ['a1', 'a2']) {
            const none = { reserved: 0n, used: 0n };
            expect(books[agent] ?? none).toEqual(expected[agent] ?? none);
          }
        }
        const whole = next(waiting(), reports).after;
        expect(state.status).toBe(whole.status);
        expect(state.kernels.map((item) => item.status)).toEqual(
          whole.kernels.map((item) => item.status),
        );
      }),
      { numRuns: 500 },
    );
  });

  test('keeps kernels placed exactly while they have an agent and are not over', () => {
    fc.assert(
      fc.property(fc.array(anyReport, { maxLength: 30 }), (reports) => {
        const { after } = next(waiting(), reports);
        for (const kernel of after.kernels) {
          const placed = placedKernelStatuses.some((status) => status === kernel.status);
          if (placed) expect(kernel.agentId).not.toBeNull();
          if (kernel.status === 'PENDING') expect(kernel.agentId).toBeNull();
          expect(kernel.allocations.length === 0).toBe(isTerminal(kernel.status));
        }
      }),
    );
  });

  test('a session runs only when all of its kernels run and know each other', () => {
    let wasRunning = 0;
    const begun = KERNELS.flatMap((id): Report[] => [
      { kind: 'scheduled', kernelId: id, agentId: 'a1', agentAddr: '', scheduler: {} },
      { kind: 'creating', kernelId: id },
    ]);
    const lively = fc.oneof(
      { weight: 6, arbitrary: anyReport.filter(({ kind }) => /^(started|joined)$/.test(kind)) },
      { weight: 1, arbitrary: anyReport },
    );
    fc.assert(
      fc.property(fc.array(lively, { maxLength: 20 }), (reports) => {
        const { after } = next(waiting(), [...begun, ...reports]);
        if (after.status !== 'RUNNING') return;
        wasRunning += 1;
        expect(after.kernels.map(({ status }) => status)).toEqual(['RUNNING', 'RUNNING']);
        expect(after.kernels.some(({ mustJoin }) => mustJoin)).toBe(false);
      }),
      { numRuns: 1000, seed: 7 },
    );
    expect(wasRunning).toBeGreaterThan(0);
  });

  test('ends a session whose kernels cannot be started, after a bounded number of attempts', () => {
    let state = waiting();
    for (let attempt = 0; attempt < 20 && !isTerminal(state.status); attempt += 1) {
      state = next(state, [
        ...KERNELS.map(
          (id): Report => ({
            ...{ kind: 'scheduled', kernelId: id, agentId: 'a1', agentAddr: '', scheduler: {} },
          }),
        ),
        { kind: 'unscheduled', kernelId: 'k1', reason: 'agent-lost', message: 'gone' },
      ]).after;
    }
    expect(state.status).toBe('TERMINATED');
    expect(JSON.stringify(state.statusData)).toContain('Gave up after 6 attempts');
  });

  describe('a session that is to run again', () => {
    const up = KERNELS.flatMap((id): Report[] => [
      { kind: 'scheduled', kernelId: id, agentId: 'a1', agentAddr: '', scheduler: {} },
      { kind: 'started', kernelId: id, info: { ...info, occupiedSlots: {} } },
      { kind: 'joined', kernelId: id },
    ]);
    const leave: Report = {
      ...{ kind: 'reschedule', kernelId: 'k1', reason: RESCHEDULING, message: 'needed' },
    };
    const gone = (id: string, reason = 'user-requested'): Report => ({
      ...{ kind: 'terminated', kernelId: id, reporter: 'a1', reason },
      ...{ exitCode: 0, message: null, logs: null },
    });
    const end: Report = {
      ...{ kind: 'terminate', kernelId: 'k2', reason: 'user-requested', message: null },
    };

    test('waits again when all of its kernels are gone, and takes as much as before', () => {
      const running = next(waiting(), up).after;
      const leaving = next(running, [leave]).after;
      expect(leaving).toMatchObject({ status: 'TERMINATING', statusInfo: RESCHEDULING });
      const half = next(leaving, [gone('k2')]).after;
      expect(half.status).toBe('TERMINATING');
      expect(half.kernels.map(({ status }) => status)).toEqual(['TERMINATING', 'PENDING']);
      const back = next(half, [gone('k1')]).after;
      expect(back).toMatchObject({ status: 'PENDING', statusInfo: RESCHEDULED });
      expect(back.kernels).toMatchObject([
        { agentId: null, mustJoin: true, allocations: [{ requested: REQUESTED, used: null }] },
        { agentId: null, mustJoin: true, allocations: [{ requested: REQUESTED, used: null }] },
      ]);
      expect(next(back, up).after.status).toBe('RUNNING');
    });

    test('ends for good when somebody wants that meanwhile', () => {
      const leaving = next(waiting(), [...up, leave]).after;
      for (const reports of [[end], [gone('k1'), end], [gone('k2'), { ...end, kernelId: 'k1' }]]) {
        const ended = next(leaving, [...reports, gone('k1'), gone('k2')]).after;
        expect(ended).toMatchObject({ status: 'TERMINATED', statusInfo: 'user-requested' });
      }
    });

    test('is not ended by an answer to an earlier wish', () => {
      const leaving = next(waiting(), [...up, leave]).after;
      const placed = next(leaving, [gone('k1'), gone('k2'), ...up.slice(0, 1)]).after;
      const late = gone('k1', 'already-terminated');
      expect(next(placed, [late]).after.kernels[0]?.status).toBe('SCHEDULED');
    });
  });
});
