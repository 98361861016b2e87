/** `ag health check`, `ag dependencies verify`: the manager, and what runs the sessions. */
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import {
  type CheckedComponent,
  type ComponentCheck,
  dependenciesCommand,
  expectHealthy,
  healthCommand,
} from '../../common/component-checks.ts';
import { UserError } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { systemRandom } from '../../common/random.ts';
import { commandLogger } from '../../logging/options.ts';
import { openEtcdConfigStore } from '../../stores/config/etcd.ts';
import { openBackend } from '../backends/open.ts';
import { loadAgentConfig } from '../config-file.ts';
import { listedManagers } from '../manager-link.ts';
import type { AgentSettings } from '../settings.ts';

async function managerUrls({ managerAddr, etcd }: AgentSettings, log: Logger): Promise<string[]> {
  if (managerAddr) return [`http://${managerAddr.host}:${managerAddr.port}`];
  if (!etcd) {
    throw new UserError('agent.toml does not say where the manager is.', {
      hint: 'Add an [etcd] section, or manager-addr in the [agent] section.',
    });
  }
  const store = await openEtcdConfigStore({ ...etcd, log });
  try {
    return (await listedManagers(store)).map(({ addr }) => addr);
  } finally {
    await store.close();
  }
}

async function checkManager(settings: AgentSettings, log: Logger): Promise<void> {
  const urls = await managerUrls(settings, log);
  if (urls.length === 0) {
    throw new UserError('No manager is listed in etcd.', { hint: 'Is one running?' });
  }
  // One that answers is enough: the agent finds it.
  await Promise.any(urls.map(expectHealthy)).catch((error: AggregateError) => {
    throw error.errors[0];
  });
}

async function checkBackend(settings: AgentSettings, log: Logger): Promise<void> {
  const stateDir = await mkdtemp(join(tmpdir(), 'backend.ai-check-'));
  try {
    const parts = { clock: systemClock, random: systemRandom, log };
    const backend = await openBackend({ settings, stateDir, ...parts });
    try {
      await backend.capacity();
    } finally {
      await backend.close();
    }
  } finally {
    await rm(stateDir, { recursive: true, force: true });
  }
}

const agent: CheckedComponent = {
  title: 'Agent',
  async prepare({ io }, { configPath, logLevel }) {
    const log = commandLogger('ag', io, logLevel);
    const { settings, path } = loadAgentConfig({
      explicitPath: configPath === undefined ? undefined : resolve(io.cwd, configPath),
      places: { cwd: io.cwd, home: io.env.HOME || homedir() },
      env: io.env,
    });
    const checks: ComponentCheck[] = [
      { group: 'manager', name: 'manager', run: () => checkManager(settings, log) },
      { group: 'backend', name: settings.backend, run: () => checkBackend(settings, log) },
    ];
    return { configPath: path, checks };
  },
};

export const healthCheck = healthCommand(agent);
export const verifyDependencies = dependenciesCommand(agent);
