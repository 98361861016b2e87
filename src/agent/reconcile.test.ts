/** The decision about a kernel's next step, as properties over all states. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { testSpec } from './backends/testing/kernels.ts';
import {
  breaksOff,
  type KernelFacts,
  nextStep,
  type Phase,
  reportedState,
  type Step,
} from './reconcile.ts';

const image = {
  canonical: 'local/x:1',
  architecture: 'x86_64',
  digest: 'sha256:0',
  sizeBytes: 0,
  labels: {},
  aliases: [],
};
const spec = testSpec(image);
const batchSpec = testSpec(image, { sessionType: 'batch', startupCommand: 'true' });

const phases = fc.constantFrom<Phase>(
  { at: 'accepted' },
  { at: 'image-ready' },
  { at: 'allocated' },
  { at: 'created' },
  { at: 'detached' },
  { at: 'running' },
  { at: 'exited', exitCode: 3, wasStarted: true },
  { at: 'exited', exitCode: 3, wasStarted: false },
  { at: 'failed', reason: 'failed-to-create', message: 'no', exitCode: null },
  { at: 'gone' },
);
const facts = fc.record<KernelFacts>({
  wish: fc.constantFrom(
    { desired: 'running' },
    { desired: 'undecided' },
    { desired: 'terminated', reason: 'user-requested' },
  ),
  phase: phases,
  spec: fc.constantFrom(spec, batchSpec),
  batchDone: fc.boolean(),
  joined: fc.boolean(),
});

/** The phase after a step that succeeds. */
function succeed(step: Step): { phase: Phase; batchDone?: boolean } {
  switch (step.step) {
    case 'provide-image':
      return { phase: { at: 'image-ready' } };
    case 'allocate':
      return { phase: { at: 'allocated' } };
    case 'create':
      return { phase: { at: 'created' } };
    case 'connect':
    case 'reconnect':
      return { phase: { at: 'running' } };
    case 'run-batch':
      return { phase: { at: 'running' }, batchDone: true };
    case 'destroy':
      return { phase: { at: 'gone' } };
    default:
      return step satisfies never;
  }
}

test('from every state, successful steps lead to what is wanted in a few steps', () => {
  fc.assert(
    fc.property(facts, (start) => {
      let state = start;
      let steps = 0;
      for (let step = nextStep(state); step; step = nextStep(state)) {
        state = { ...state, ...succeed(step) };
        steps += 1;
        expect(steps).toBeLessThanOrEqual(6);
      }
      const mustEnd =
        start.wish.desired === 'terminated' ||
        ['exited', 'failed', 'gone'].includes(start.phase.at);
      expect(state.phase.at).toBe(mustEnd ? 'gone' : 'running');
    }),
  );
});

test('a kernel that is to end is never created, pulled for or connected to', () => {
  fc.assert(
    fc.property(facts, (state) => {
      const ending = {
        ...state,
        wish: { desired: 'terminated', reason: 'user-requested' },
      } as const;
      const step = nextStep(ending);
      expect(step?.step ?? 'destroy').toBe('destroy');
    }),
  );
});

test('what happened by itself is reported, not the wish that came later', () => {
  const wish = { desired: 'terminated', reason: 'user-requested' } as const;
  const state = { wish, spec, batchDone: false, joined: false };
  const exited = { at: 'exited', exitCode: 3, wasStarted: true } as const;
  expect(nextStep({ ...state, phase: exited })).toMatchObject({
    reason: 'self-terminated',
    exitCode: 3,
  });
  const early = { ...exited, wasStarted: false };
  expect(nextStep({ ...state, phase: early })).toMatchObject({ reason: 'failed-to-start' });
});

test('a batch command runs once', () => {
  const state = {
    wish: { desired: 'running' },
    phase: { at: 'running' },
    spec: batchSpec,
  } as const;
  expect(nextStep({ ...state, batchDone: false, joined: false })).toMatchObject({
    step: 'run-batch',
  });
  expect(nextStep({ ...state, batchDone: true, joined: false })).toBeNull();
});

test('the batch command of a cluster waits until its kernels know each other', () => {
  const spec = testSpec(image, {
    ...{ sessionType: 'batch', startupCommand: 'true' },
    cluster: { ...batchSpec.cluster, size: 2 },
  });
  const state = {
    wish: { desired: 'running' },
    phase: { at: 'running' },
    spec,
    batchDone: false,
  } as const;
  expect(nextStep({ ...state, joined: false })).toBeNull();
  expect(nextStep({ ...state, joined: true })).toMatchObject({ step: 'run-batch' });
});

test('only an end breaks off a step, and never another end', () => {
  const end = { desired: 'terminated', reason: 'user-requested' } as const;
  expect(breaksOff(end, 'create')).toBe(true);
  expect(breaksOff(end, 'run-batch')).toBe(true);
  expect(breaksOff(end, 'destroy')).toBe(false);
  expect(breaksOff({ desired: 'running' }, 'create')).toBe(false);
});

test('the reported state follows phase and step', () => {
  expect(reportedState({ at: 'accepted' }, null)).toBe('preparing');
  expect(reportedState({ at: 'accepted' }, 'provide-image')).toBe('pulling');
  expect(reportedState({ at: 'allocated' }, 'create')).toBe('creating');
  expect(reportedState({ at: 'detached' }, 'reconnect')).toBe('running');
  expect(reportedState({ at: 'running' }, 'destroy')).toBe('terminating');
});
