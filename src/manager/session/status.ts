/** Every status of sessions and kernels, and the sets people ask about, in one place. */
import * as v from 'valibot';

export const sessionStatuses = [
  'PENDING',
  'DEPRIORITIZING',
  'SCHEDULED',
  'PREPARING',
  'PULLING',
  'PREPARED',
  'CREATING',
  'RUNNING',
  'RESTARTING',
  'RUNNING_DEGRADED',
  'TERMINATING',
  'TERMINATED',
  'ERROR',
  'CANCELLED',
] as const;
export const sessionStatus = v.picklist(sessionStatuses);
export type SessionStatus = v.InferOutput<typeof sessionStatus>;

export const kernelStatuses = [
  'PENDING',
  'SCHEDULED',
  'PREPARING',
  'BUILDING',
  'PULLING',
  'PREPARED',
  'CREATING',
  'RUNNING',
  'RESTARTING',
  'RESIZING',
  'SUSPENDED',
  'TERMINATING',
  'TERMINATED',
  'ERROR',
  'CANCELLED',
] as const;
export const kernelStatus = v.picklist(kernelStatuses);
export type KernelStatus = v.InferOutput<typeof kernelStatus>;

export const sessionTypeNames = ['INTERACTIVE', 'BATCH', 'INFERENCE', 'SYSTEM'] as const;
export const sessionTypeName = v.picklist(sessionTypeNames);

export const sessionResults = ['UNDEFINED', 'SUCCESS', 'FAILURE'] as const;
export const sessionResult = v.picklist(sessionResults);
export type SessionResult = v.InferOutput<typeof sessionResult>;

/** Final for sessions and kernels alike; nothing leaves them. */
export const terminalStatuses = ['ERROR', 'TERMINATED', 'CANCELLED'] as const;

/** Sessions that are not final yet: they own their name and may hold resources. */
export const liveSessionStatuses: readonly SessionStatus[] = sessionStatuses.filter(
  (status) => !isTerminal(status),
);

/** Kernels whose slots count as reserved: placed on an agent, not yet running. */
export const requestedKernelStatuses = [
  'SCHEDULED',
  'PREPARING',
  'BUILDING',
  'PULLING',
  'PREPARED',
  'CREATING',
] as const satisfies readonly KernelStatus[];

/** Kernels that an agent holds or should hold, reserved or in use. */
export const placedKernelStatuses = [
  ...requestedKernelStatuses,
  'RUNNING',
  'RESTARTING',
  'RESIZING',
  'SUSPENDED',
  'TERMINATING',
] as const satisfies readonly KernelStatus[];

/** Sessions that count against the concurrency limit while scheduling. */
export const occupyingSessionStatuses = [
  'SCHEDULED',
  'PREPARING',
  'PULLING',
  'PREPARED',
  'CREATING',
  'RUNNING',
  'RESTARTING',
  'RUNNING_DEGRADED',
  'TERMINATING',
] as const satisfies readonly SessionStatus[];

export function isTerminal(status: SessionStatus | KernelStatus): boolean {
  return status === 'ERROR' || status === 'TERMINATED' || status === 'CANCELLED';
}

/** Whether an agent is still bringing the kernel up. */
export function isStarting(status: KernelStatus): boolean {
  return requestedKernelStatuses.some((item) => item === status);
}
