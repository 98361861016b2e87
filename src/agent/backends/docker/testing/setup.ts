/** Opens the docker backend on a real daemon, for tests. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../../common/clock.ts';
import type { Logger } from '../../../../common/logger.ts';
import type { KernelSpec } from '../../../../common/protocol/kernel.ts';
import type { AgentImage } from '../../../../common/protocol/manager.ts';
import { missingForDocker } from '../../../../testing/docker.ts';
import { missingForImages } from '../../../../testing/images.ts';
import { requireOrSkip } from '../../../../testing/services.ts';
import { noGrant } from '../../../resources/grant.ts';
import type { RunnerClient } from '../../backend.ts';
import { testSpec } from '../../testing/kernels.ts';
import { DockerBackend } from '../docker-backend.ts';
import type { DockerBackendOptions } from '../options.ts';

export const DEADLINE_MS = 30_000;
export const deadline = (): AbortSignal => AbortSignal.timeout(DEADLINE_MS);

const silent: Logger = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silent,
};

/** Whether containers can be run here; CI machines must be able to. */
export const canRunDocker = (): boolean => requireOrSkip(missingForDocker() ?? missingForImages());

/**
 * Test files run beside each other, each in a process of its own, and must not meet; nor must they
 * take a port that `common/ports.ts` has just found free, which are higher.
 */
const PORTS = 100;
const FIRST_PORT = 10_000 + (process.pid % 50) * PORTS;

export async function makeDockerSetup(
  socketPath: string,
  options: Partial<DockerBackendOptions> = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'docker-backend-'));
  const cleanUp = () => rm(folder, { recursive: true, force: true });
  return {
    folder,
    open: () =>
      new DockerBackend({
        agentId: `i-${folder.slice(-6)}`,
        socketPath,
        stateDir: join(folder, 'state'),
        scratchRoot: join(folder, 'scratches'),
        clock: systemClock,
        log: silent,
        kernelHost: '127.0.0.1',
        bindHost: '127.0.0.1',
        portRange: [FIRST_PORT, FIRST_PORT + PORTS - 1],
        portReuseCooldownMs: 0,
        kernelUid: null,
        kernelGid: null,
        logBytes: 1024 * 1024,
        commitFolder: join(folder, 'commits'),
        ...options,
      }),
    cleanUp,
    /** Ends all kernels of a backend of this folder, and removes both. */
    takeAway: async (backend: DockerBackend) => {
      for (const { kernelId } of await backend.list()) await backend.destroy(kernelId, 0);
      await backend.close();
      await cleanUp();
    },
    shellImage: (images: readonly AgentImage[]) =>
      images.find((image) => image.aliases.includes('bare')),
  };
}

export interface StartedKernel {
  readonly spec: KernelSpec;
  readonly containerId: string;
  readonly runner: RunnerClient;
}

/** Starts a kernel of the image with the given short name and connects to its runner. */
export async function startKernel(
  backend: DockerBackend,
  alias: string,
  overrides: Partial<KernelSpec> = {},
): Promise<StartedKernel> {
  const image = (await backend.scanImages()).find(({ aliases }) => aliases.includes(alias));
  if (!image) throw new Error(`there is no image ${alias}`);
  const spec = testSpec(image, overrides);
  const { containerId } = await backend.create(spec, noGrant, deadline());
  return { spec, containerId, runner: await backend.connectRunner(spec.kernelId, deadline()) };
}
