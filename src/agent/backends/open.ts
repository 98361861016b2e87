/** Opens the backend that the settings name. Each is imported only when it is used. */
import type { Clock } from '../../common/clock.ts';
import type { Logger } from '../../common/logger.ts';
import type { Random } from '../../common/random.ts';
import type { AgentSettings } from '../settings.ts';
import type { Backend } from './backend.ts';

export interface BackendOptions {
  settings: AgentSettings;
  /** Folder for what outlives the agent. */
  stateDir: string;
  /** Folders that kernels must never see, such as the cluster's data. */
  hiddenPaths?: readonly string[];
  clock: Clock;
  random: Random;
  log: Logger;
}

/** @throws UserError when the backend is not available, or its configuration is wrong. */
export async function openBackend(options: BackendOptions): Promise<Backend> {
  const { settings, stateDir, hiddenPaths, clock, random, log } = options;
  const { bindHost, advertisedHost } = settings.container;
  const isAnyHost = bindHost === '' || bindHost === '0.0.0.0';
  const kernelHost = advertisedHost ?? (isAnyHost ? '127.0.0.1' : bindHost);
  switch (settings.backend) {
    case 'process': {
      const { ProcessBackend } = await import('./process/process-backend.ts');
      return new ProcessBackend({
        ...{ stateDir, clock, random, log, kernelHost, hiddenPaths },
        bindHost: bindHost || '127.0.0.1',
        portRange: settings.container.portRange,
        portReuseCooldownMs: settings.container.portReuseCooldownMs,
      });
    }
    case 'dummy': {
      const [{ DummyBackend }, { loadDummyConfig }] = await Promise.all([
        import('./dummy/dummy-backend.ts'),
        import('./dummy/config.ts'),
      ]);
      return new DummyBackend({ config: await loadDummyConfig(), clock, random, kernelHost });
    }
    case 'docker': {
      const { openDockerBackend } = await import('./docker/open.ts');
      return await openDockerBackend({ settings, stateDir, clock, log, kernelHost });
    }
    default:
      return settings.backend satisfies never;
  }
}
