/** The product's own decisions that a simulation runs on; tests put faulty ones in their place. */

import type { KernelRegistry } from '../../agent/kernels.ts';
import { nextStep } from '../../agent/reconcile.ts';
import type { Wishes } from '../../agent/wishes.ts';
import {
  limitsSec,
  orphanReport,
  overdueReport,
  undeliveredReports,
} from '../../manager/agent/deadlines.ts';
import { reconcile } from '../../manager/agent/reconcile.ts';
import { plan } from '../../manager/scheduler/plan.ts';
import {
  grantPlacements,
  grantPreemptions,
  preemptionReports,
} from '../../manager/session/placement.ts';
import type { Report } from '../../manager/session/reports.ts';
import type { KernelStatus } from '../../manager/session/status.ts';
import { foldReports } from '../../manager/session/transition-fold.ts';

export const productParts = {
  plan,
  grantPlacements,
  grantPreemptions,
  preemptionReports,
  foldReports,
  reconcile,
  orphanReport,
  /** What becomes of a kernel that has been in `status` for `ageMs`. */
  overdueReport: (kernelId: string, status: KernelStatus, ageMs: number): Report[] => {
    const limitSec = limitsSec[status];
    return limitSec !== null && ageMs > limitSec * 1000
      ? [overdueReport(kernelId, status, limitSec)]
      : [];
  },
  undeliveredReports,
  nextStep,
  accept: (wishes: Wishes, _registry: KernelRegistry, ...args: Parameters<Wishes['accept']>) =>
    wishes.accept(...args),
};
export type Parts = typeof productParts;
