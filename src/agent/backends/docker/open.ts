/** Opens the docker backend as the agent's settings ask for it. */
import { join, resolve } from 'node:path';
import type { Clock } from '../../../common/clock.ts';
import { dockerSocketPath } from '../../../common/docker/socket.ts';
import { BackendError, UserError } from '../../../common/errors.ts';
import type { Logger } from '../../../common/logger.ts';
import type { AgentSettings } from '../../settings.ts';
import { DockerBackend } from './docker-backend.ts';

export interface OpenDockerOptions {
  readonly settings: AgentSettings;
  readonly stateDir: string;
  readonly kernelHost: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** @throws UserError when the daemon can't be used. */
export async function openDockerBackend(options: OpenDockerOptions): Promise<DockerBackend> {
  const { settings, stateDir, kernelHost, clock, log } = options;
  const { container } = settings;
  const backend = new DockerBackend({
    agentId: settings.id,
    socketPath: dockerSocketPath(process.env),
    stateDir,
    scratchRoot: resolve(container.scratchRoot),
    clock,
    log,
    kernelHost,
    bindHost: container.bindHost || '127.0.0.1',
    portRange: container.portRange,
    portReuseCooldownMs: container.portReuseCooldownMs,
    kernelUid: container.kernelUid,
    kernelGid: container.kernelGid,
    logBytes: Number(settings.containerLogs.maxLengthBytes),
    commitFolder: resolve(settings.imageCommitPath ?? join(stateDir, 'commit')),
    keepEnded: settings.debug.skipContainerDeletion,
  });
  try {
    await backend.capacity();
    return backend;
  } catch (error) {
    await backend.close();
    if (!(error instanceof BackendError)) throw error;
    throw new UserError(error.message, {
      hint: 'Start Docker, or use the process backend. `backend.ai doctor` checks this machine.',
      cause: error,
    });
  }
}
