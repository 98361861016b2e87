/** Tells the kernels of clusters on this agent where the other kernels of their sessions are. */
import { BackendError } from '../common/errors.ts';
import type { ClusterJoin } from '../common/protocol/kernel.ts';
import type { Backend } from './backends/backend.ts';
import type { Kernel, KernelRegistry } from './kernels.ts';
import { reportedState } from './reconcile.ts';

interface JoinContext {
  readonly agentId: string;
  readonly registry: KernelRegistry;
  readonly backend: Backend;
  /** Goes on with what waited for the others. */
  readonly wake: (kernel: Kernel) => void;
}

/**
 * @throws BackendError KernelNotReady for a kernel that is still being started; whatever the host
 *   throws when a kernel can't be told. The call may be repeated.
 */
export async function joinClusters(
  { agentId, registry, backend, wake }: JoinContext,
  joins: readonly ClusterJoin[],
): Promise<void> {
  for (const { kernelIds, peers } of joins) {
    const told = peers.map(({ agentId: holder, ...peer }) => ({
      ...peer,
      isNeighbour: holder === agentId,
    }));
    for (const kernelId of kernelIds) {
      const kernel = registry.get(kernelId);
      // One that is gone or going needs nobody any more.
      if (!kernel?.spec || kernel.wish.desired === 'terminated') continue;
      const { phase, spec } = kernel;
      if (phase.at === 'exited' || phase.at === 'failed' || phase.at === 'gone') continue;
      if (phase.at !== 'running' && phase.at !== 'detached') {
        const state = reportedState(phase, kernel.current?.step ?? null);
        throw new BackendError('KernelNotReady', `The kernel ${kernelId} is ${state}.`);
      }
      await backend.join(spec, told);
      kernel.joined = true;
      wake(kernel);
    }
  }
}
