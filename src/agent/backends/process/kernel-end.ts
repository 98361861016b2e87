/** Ends a kernel and removes every trace of it, however far it got. */
import { join } from 'node:path';
import type { Clock } from '../../../common/clock.ts';
import { connectRunnerSocket } from '../../runner-client.ts';
import { removeToTrash } from '../trash.ts';
import {
  isAlive,
  killByEnvironment,
  killGroup,
  type ProcessIdentity,
  readSupervisor,
  waitForEnd,
  waitUntil,
} from './host-processes.ts';
import { KERNEL_MARKER } from './kernel-start.ts';
import { type KernelLayout, readExitCode, readRecord, SOCKET_NAME } from './layout.ts';

/** How long a kernel that was asked to end is given at least to hear the question. */
const CONNECT_MS = 1000;

/** Asks the runner to end its programs and itself. @returns whether it did in time. */
async function endPolitely(
  layout: KernelLayout,
  supervisor: ProcessIdentity,
  clock: Clock,
  graceMs: number,
): Promise<boolean> {
  const deadline = clock.monotonicMs() + graceMs;
  try {
    const signal = AbortSignal.timeout(Math.min(CONNECT_MS, graceMs));
    const runner = await connectRunnerSocket(join(layout.socketFolder, SOCKET_NAME), clock, signal);
    try {
      await runner.call({ op: 'shutdown' }, { timeoutMs: graceMs });
    } finally {
      runner.close();
    }
  } catch {
    // It ended while answering, or does not answer: force follows either way.
  }
  const left = Math.max(0, deadline - clock.monotonicMs());
  return await waitUntil(clock, left, async () => !(await isAlive(supervisor)));
}

/**
 * Ends the kernel, then deletes its folder.
 * @param options.cleanUp releases what else the host holds for it, after its processes are gone.
 * @returns the exit code when the kernel left one.
 */
export async function endKernel(
  layout: KernelLayout,
  options: { graceMs: number; clock: Clock; trash: string; cleanUp: () => Promise<void> },
): Promise<number | null> {
  const { clock, graceMs } = options;
  const supervisor = await readSupervisor(layout);
  if (supervisor && (await isAlive(supervisor))) {
    const ended = graceMs > 0 && (await endPolitely(layout, supervisor, clock, graceMs));
    if (!ended) {
      await killGroup(supervisor);
      await waitForEnd(clock, supervisor);
    }
  }
  const record = await readRecord(layout);
  if (record === null || record.sandbox === 'none') {
    await killByEnvironment(clock, `${KERNEL_MARKER}=${layout.kernelId}`);
  }
  await options.cleanUp();
  const exitCode = await readExitCode(layout);
  await removeToTrash(layout.folder, layout.kernelId, options.trash);
  return exitCode;
}
