/** Calls the agent that holds a session's kernel, and says in plain words why it could not. */
import { BackendError } from '../../common/errors.ts';
import type { AgentClient, ManagerContext } from '../context.ts';
import type { KernelRecord, SessionRecord } from './service.ts';

interface KernelTarget {
  readonly kernelId: string;
  readonly agent: AgentClient;
}

/**
 * The agent of a running kernel.
 * @throws BackendError KernelNotReady when the kernel is not running on any agent.
 */
function kernelTarget(
  ctx: ManagerContext,
  session: Pick<SessionRecord, 'name' | 'status'>,
  kernel: KernelRecord,
): KernelTarget {
  const { agentId, agentAddr, agentPublicKey } = kernel;
  if (kernel.status !== 'RUNNING' || !agentId || !agentAddr || agentPublicKey === null) {
    throw new BackendError(
      'KernelNotReady',
      `Session '${session.name}' is ${session.status}; this needs it to be RUNNING.`,
    );
  }
  return { kernelId: kernel.id, agent: ctx.agents.client(agentId, agentAddr, agentPublicKey) };
}

/**
 * Runs one agent call for a session.
 * @throws BackendError the agent's own; AgentConnectionUnavailable, which tells that the session is
 *   kept, when the agent cannot be reached.
 */
export async function callKernel<T>(
  ctx: ManagerContext,
  session: Pick<SessionRecord, 'name' | 'status'>,
  kernel: KernelRecord,
  call: (target: KernelTarget) => Promise<T>,
): Promise<T> {
  try {
    return await call(kernelTarget(ctx, session, kernel));
  } catch (error) {
    if (error instanceof BackendError && error.problem === 'AgentConnectionUnavailable') {
      ctx.log.warn('agent call failed', { agent: kernel.agentId, error: error.message });
      throw new BackendError(
        'AgentConnectionUnavailable',
        `The agent '${kernel.agentId}' that holds session '${session.name}' does not answer. ` +
          'The session is kept; try again in a while.',
        { cause: error },
      );
    }
    throw error;
  }
}
