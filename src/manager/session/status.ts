/** Every status of sessions and kernels, and the sets people ask about, in one place. */
import * as v from 'valibot';
import { sessionTypes } from '../../common/protocol/kernel.ts';
import { sessionStatuses } from '../../common/session-status.ts';

export { sessionStatuses };

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

/** A column that holds a session type by name, such as BATCH, as the API writes it: `batch`. */
export const sessionTypeColumn = v.pipe(
  v.picklist(['INTERACTIVE', 'BATCH', 'INFERENCE', 'SYSTEM']),
  v.transform((name) => name.toLowerCase()),
  v.picklist(sessionTypes),
);

/** A column that holds a cluster mode in either of the spellings found in databases. */
export const clusterModeColumn = v.pipe(
  v.string(),
  v.transform((mode) => mode.toLowerCase().replace('_', '-')),
  v.picklist(['single-node', 'multi-node']),
);

const sessionResults = ['UNDEFINED', 'SUCCESS', 'FAILURE'] as const;
export const sessionResult = v.picklist(sessionResults);
export type SessionResult = v.InferOutput<typeof sessionResult>;

/** Final for sessions and kernels alike; nothing leaves them. */
export const terminalStatuses = ['ERROR', 'TERMINATED', 'CANCELLED'] as const;

/** Sessions that are not final yet: they own their name and may hold resources. */
export const liveSessionStatuses: readonly SessionStatus[] = sessionStatuses.filter(
  (status) => !isTerminal(status),
);

/** Kernels whose slots count as reserved: placed on an agent, not yet running. */
const requestedKernelStatuses = [
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

/** Whether any of the statuses, which may be no statuses at all, is a final one. */
export function mayBeOver(statuses: readonly string[]): boolean {
  const final: readonly string[] = terminalStatuses;
  return statuses.some((status) => final.includes(status));
}

/** Whether an agent is still bringing the kernel up. */
export function isStarting(status: KernelStatus): boolean {
  return requestedKernelStatuses.some((item) => item === status);
}
