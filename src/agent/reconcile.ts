/**
 * Decides, for one kernel, the next step from what is to what should be. Pure: no clock, no I/O. The
 * executor performs the step, notes the new phase and asks again until there is nothing to do.
 */
import type { ActualKernel, KernelSpec, TerminationReason } from '../common/protocol/kernel.ts';

/** What should become of a kernel. `undecided`: found on the host, and the manager has not said. */
export type Wish =
  | { readonly desired: 'running' }
  | { readonly desired: 'terminated'; readonly reason: TerminationReason }
  | { readonly desired: 'undecided' };

/** How far a kernel got. */
export type Phase =
  /** Wanted; nothing was done yet. */
  | { readonly at: 'accepted' }
  | { readonly at: 'image-ready' }
  | { readonly at: 'allocated' }
  /** On the host, its runner not yet answering, its start not reported. */
  | { readonly at: 'created' }
  /** On the host and running, but not connected: left by an earlier agent, or the connection broke. */
  | { readonly at: 'detached' }
  | { readonly at: 'running' }
  /** Its main process ended by itself; `wasStarted` tells whether it had got as far as running. */
  | { readonly at: 'exited'; readonly exitCode: number | null; readonly wasStarted: boolean }
  /** A step failed for good. */
  | {
      readonly at: 'failed';
      readonly reason: TerminationReason;
      readonly message: string;
      readonly exitCode: number | null;
    }
  /** Removed from the host and reported. */
  | { readonly at: 'gone' };

export type Step =
  | { readonly step: 'provide-image'; readonly spec: KernelSpec }
  | { readonly step: 'allocate'; readonly spec: KernelSpec }
  | { readonly step: 'create'; readonly spec: KernelSpec }
  | { readonly step: 'connect'; readonly spec: KernelSpec }
  | { readonly step: 'reconnect' }
  | { readonly step: 'run-batch'; readonly spec: KernelSpec; readonly command: string }
  | {
      readonly step: 'destroy';
      readonly reason: TerminationReason;
      readonly message: string | null;
      readonly exitCode: number | null;
      /** false: there is no point in asking politely. */
      readonly isAlive: boolean;
    };
export type StepName = Step['step'];

export interface KernelFacts {
  readonly wish: Wish;
  readonly phase: Phase;
  /** null when the record of an adopted kernel is lost. */
  readonly spec: KernelSpec | null;
  /** The startup command of a batch session was seen to its end. */
  readonly batchDone: boolean;
  /** Of a cluster: it knows where the others are. */
  readonly joined: boolean;
}

/** Whether the kernel of a cluster still waits to be told of the others. */
const isAlone = ({ spec, joined }: KernelFacts): boolean =>
  (spec?.cluster.size ?? 1) > 1 && !joined;

function forward(facts: KernelFacts): Step | null {
  const { phase, spec, batchDone } = facts;
  switch (phase.at) {
    case 'accepted':
      return spec && { step: 'provide-image', spec };
    case 'image-ready':
      return spec && { step: 'allocate', spec };
    case 'allocated':
      return spec && { step: 'create', spec };
    case 'created':
      return spec && { step: 'connect', spec };
    case 'detached':
      return { step: 'reconnect' };
    case 'running':
      return spec?.sessionType === 'batch' &&
        spec.startupCommand !== null &&
        !batchDone &&
        !isAlone(facts)
        ? { step: 'run-batch', spec, command: spec.startupCommand }
        : null;
    case 'exited':
      return {
        step: 'destroy',
        reason: phase.wasStarted ? 'self-terminated' : 'failed-to-start',
        message: phase.wasStarted ? null : 'The kernel ended before it could be connected to.',
        exitCode: phase.exitCode,
        isAlive: false,
      };
    case 'failed': {
      const { reason, message, exitCode } = phase;
      return { step: 'destroy', reason, message, exitCode, isAlive: true };
    }
    case 'gone':
      return null;
    default:
      return phase satisfies never;
  }
}

/** The next step for a kernel; null when it is as it should be. */
export function nextStep(facts: KernelFacts): Step | null {
  const { wish, phase } = facts;
  switch (wish.desired) {
    case 'running':
    case 'undecided':
      return forward(facts);
    case 'terminated': {
      // What happened by itself before the wish came is the truer reason.
      if (phase.at === 'exited' || phase.at === 'failed' || phase.at === 'gone') {
        return forward(facts);
      }
      const isAlive = phase.at === 'running' || phase.at === 'detached';
      return { step: 'destroy', reason: wish.reason, message: null, exitCode: null, isAlive };
    }
    default:
      return wish satisfies never;
  }
}

/** Whether a step under way must be broken off when this wish arrives. */
export const breaksOff = (wish: Wish, step: StepName): boolean =>
  wish.desired === 'terminated' && step !== 'destroy';

/** How the manager is told where a kernel stands. */
export function reportedState(phase: Phase, step: StepName | null): ActualKernel['state'] {
  if (step === 'destroy') return 'terminating';
  switch (phase.at) {
    case 'accepted':
      return step === 'provide-image' ? 'pulling' : 'preparing';
    case 'image-ready':
    case 'allocated':
    case 'created':
      return 'creating';
    case 'detached':
    case 'running':
      return 'running';
    case 'exited':
    case 'failed':
    case 'gone':
      return 'terminating';
    default:
      return phase satisfies never;
  }
}
