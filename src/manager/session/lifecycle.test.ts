/** The state machine, by property: final is final, everything can end, nothing leaves the table. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { nextKernelStatus, nextSessionStatus, type ReportKind, reportKinds } from './lifecycle.ts';
import {
  isStarting,
  isTerminal,
  type KernelStatus,
  kernelStatuses,
  type SessionStatus,
  sessionStatuses,
} from './status.ts';

const anyReport = fc.constantFrom(...reportKinds);
const anyKernel = fc.constantFrom(...kernelStatuses);
const anySession = fc.constantFrom(...sessionStatuses);

/** Where each kernel status may lead, written down apart from the code. */
const kernelTable: Record<KernelStatus, readonly KernelStatus[]> = {
  PENDING: ['SCHEDULED', 'CANCELLED'],
  SCHEDULED: [
    'PENDING',
    'PREPARING',
    'PULLING',
    'PREPARED',
    'CREATING',
    'RUNNING',
    'TERMINATING',
    'TERMINATED',
  ],
  PREPARING: ['PENDING', 'PULLING', 'PREPARED', 'CREATING', 'RUNNING', 'TERMINATING', 'TERMINATED'],
  BUILDING: ['PENDING', 'PULLING', 'PREPARED', 'CREATING', 'RUNNING', 'TERMINATING', 'TERMINATED'],
  PULLING: ['PENDING', 'PREPARED', 'CREATING', 'RUNNING', 'TERMINATING', 'TERMINATED'],
  PREPARED: ['PENDING', 'CREATING', 'RUNNING', 'TERMINATING', 'TERMINATED'],
  CREATING: ['PENDING', 'RUNNING', 'TERMINATING', 'TERMINATED'],
  RUNNING: ['TERMINATING', 'TERMINATED'],
  RESTARTING: ['RUNNING', 'TERMINATING', 'TERMINATED'],
  RESIZING: ['TERMINATING', 'TERMINATED'],
  SUSPENDED: ['TERMINATING', 'TERMINATED'],
  TERMINATING: ['PENDING', 'TERMINATED'],
  TERMINATED: [],
  ERROR: [],
  CANCELLED: [],
};

const walk = (start: KernelStatus, reports: readonly ReportKind[]): KernelStatus =>
  reports.reduce((status, report) => nextKernelStatus(status, report) ?? status, start);

describe('a kernel', () => {
  test('goes exactly where the table says', () => {
    for (const status of kernelStatuses) {
      const reached = reportKinds.flatMap((report) => nextKernelStatus(status, report) ?? []);
      expect([...new Set(reached)].sort()).toEqual([...kernelTable[status]].sort());
    }
  });

  test('stays final once it is final, whatever is reported', () => {
    fc.assert(
      fc.property(anyKernel, fc.array(anyReport), fc.array(anyReport), (start, first, second) => {
        const middle = walk(start, first);
        if (isTerminal(middle)) expect(walk(middle, second)).toBe(middle);
      }),
    );
  });

  test('can always be ended', () => {
    for (const status of kernelStatuses) {
      expect(isTerminal(walk(status, ['terminate', 'terminated']))).toBe(true);
      expect(isTerminal(walk(status, ['force-terminate']))).toBe(true);
    }
  });

  test('ignores a repeated report', () => {
    fc.assert(
      fc.property(anyKernel, anyReport, (start, report) => {
        expect(walk(start, [report, report])).toBe(walk(start, [report]));
      }),
    );
  });

  test("only moves on by its agent's progress reports, in whatever order they come", () => {
    const progress = ['preparing', 'pulling', 'pulled', 'creating', 'started'] as const;
    fc.assert(
      fc.property(fc.shuffledSubarray([...progress], { minLength: 1 }), (reports) => {
        const end = walk('SCHEDULED', reports);
        expect(end === 'RUNNING').toBe(reports.includes('started'));
        expect(isStarting(end) || end === 'RUNNING').toBe(true);
        expect(walk('TERMINATING', reports)).toBe('TERMINATING');
        expect(walk('PENDING', reports)).toBe('PENDING');
      }),
    );
  });
});

describe('a session', () => {
  const derive = (current: SessionStatus, kernels: KernelStatus[]) =>
    nextSessionStatus(current, kernels) ?? current;
  const someKernels = fc.array(anyKernel, { minLength: 1, maxLength: 4 });

  test('is final exactly when all of its kernels are', () => {
    fc.assert(
      fc.property(anySession, someKernels, (current, kernels) => {
        fc.pre(!isTerminal(current));
        expect(isTerminal(derive(current, kernels))).toBe(kernels.every(isTerminal));
      }),
    );
  });

  test('stays final', () => {
    fc.assert(
      fc.property(anySession, someKernels, (current, kernels) => {
        fc.pre(isTerminal(current));
        expect(derive(current, kernels)).toBe(current);
      }),
    );
  });

  test('runs exactly when all of its kernels run', () => {
    fc.assert(
      fc.property(someKernels, (kernels) => {
        const up = kernels.every((kernel) => kernel === 'RUNNING' || kernel === 'RESIZING');
        expect(derive('CREATING', kernels) === 'RUNNING').toBe(up);
      }),
    );
  });

  test('settles: deriving again changes nothing', () => {
    fc.assert(
      fc.property(anySession, someKernels, (current, kernels) => {
        const once = derive(current, kernels);
        expect(derive(once, kernels)).toBe(once);
      }),
    );
  });

  test('that is ending does not come back before all of its kernels wait again', () => {
    fc.assert(
      fc.property(someKernels, (kernels) => {
        const next = derive('TERMINATING', kernels);
        if (kernels.every((kernel) => kernel === 'PENDING')) expect(next).toBe('PENDING');
        else expect(['TERMINATING', 'TERMINATED', 'CANCELLED']).toContain(next);
      }),
    );
  });
});
