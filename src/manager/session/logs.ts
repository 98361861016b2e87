/** The log of a session's container: the agent's while it runs, afterwards what was kept of it. */
import type { ManagerContext } from '../context.ts';
import { callKernel } from './kernel-call.ts';
import { getKernel, type SessionRecord } from './service.ts';

/** The most that is read of a log. */
const MAX_LOG_BYTES = 8 * 1024 * 1024;

/**
 * @param kernelId whose log; null: the main kernel's.
 * @throws BackendError for a kernel that is none of the session, and when its agent cannot be asked.
 */
export async function sessionLogs(
  ctx: ManagerContext,
  session: SessionRecord,
  kernelId: string | null,
): Promise<string> {
  const kernel = kernelId ? await getKernel(ctx, session.id, kernelId) : session.mainKernel;
  // Nothing has run yet, or nothing runs any more, where there is no container.
  if (kernel.status !== 'RUNNING') return kernel.containerLog ?? '';
  const { logs } = await callKernel(ctx, session, kernel, ({ agent, kernelId: id }) =>
    agent.logs({ kernelId: id, maxBytes: MAX_LOG_BYTES }),
  );
  return logs;
}
