/** What can be reported about a kernel, and the states that reports are applied to. */
import type { KernelCreationInfo } from '../../common/protocol/kernel.ts';
import type { SessionTrace } from './life-trace.ts';
import type { KernelStatus, SessionResult, SessionStatus } from './status.ts';

type ReportBody =
  | {
      readonly kind: 'scheduled';
      readonly agentId: string;
      readonly agentAddr: string;
      /** What the scheduler has to say; kept in `status_data.scheduler`. */
      readonly scheduler: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'unscheduled'; readonly reason: string; readonly message: string }
  | { readonly kind: 'preparing' | 'pulling' | 'pulled' | 'creating' }
  | { readonly kind: 'started'; readonly info: KernelCreationInfo }
  /** It knows where the other kernels of its session are. */
  | { readonly kind: 'joined' }
  | {
      readonly kind: 'batch-finished';
      readonly result: Exclude<SessionResult, 'UNDEFINED'>;
      readonly reason: string;
      readonly exitCode: number;
    }
  | {
      readonly kind: 'terminate' | 'force-terminate' | 'reschedule';
      readonly reason: string;
      /** What went wrong, for people; null when the end is wanted. */
      readonly message: string | null;
    }
  | { readonly kind: 'requeued'; readonly reason: string }
  | {
      readonly kind: 'terminated';
      readonly reason: string;
      readonly exitCode: number | null;
      /** What went wrong, for people. */
      readonly message: string | null;
      /** Tail of the kernel's log. */
      readonly logs: string | null;
    };

/** Something that happened to, or is wanted of, one kernel. */
export type Report = ReportBody & {
  readonly kernelId: string;
  /** The agent that says so. A report of an agent that does not hold the kernel is ignored. */
  readonly reporter?: string;
  /** Applies only while the kernel has one of these statuses; a sweep's proof against races. */
  readonly onlyIn?: readonly KernelStatus[];
};

/** What a kernel holds of one slot. Amounts are millionths, as in common/slots. */
export interface Allocation {
  readonly slot: string;
  readonly requested: bigint;
  /** null until the kernel runs. */
  readonly used: bigint | null;
}

export interface KernelState {
  readonly id: string;
  readonly sessionId: string;
  readonly status: KernelStatus;
  readonly statusInfo: string | null;
  readonly isMain: boolean;
  /** Has still to be told where the other kernels of its session are. */
  readonly mustJoin: boolean;
  readonly agentId: string | null;
  readonly agentAddr: string | null;
  /** Those not freed yet. */
  readonly allocations: readonly Allocation[];
}

export interface SessionState {
  readonly id: string;
  readonly status: SessionStatus;
  readonly statusInfo: string | null;
  readonly statusData: Readonly<Record<string, unknown>>;
  readonly result: SessionResult;
  /** How often it may go back to the queue before it is given up; null: as often as it takes. */
  readonly maxRetries: number | null;
  /** Called at each change of status. */
  readonly callbackUrl: string | null;
  /** null: nobody traces it. */
  readonly trace: SessionTrace | null;
  readonly kernels: readonly KernelState[];
}
