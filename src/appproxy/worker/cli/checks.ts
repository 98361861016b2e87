/** `app-proxy-worker health check`, `dependencies verify`: its coordinator. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import {
  type CheckedComponent,
  dependenciesCommand,
  expectHealthy,
  healthCommand,
} from '../../../common/component-checks.ts';
import { loadWorkerConfig } from '../config-file.ts';

const worker: CheckedComponent = {
  title: 'App Proxy Worker',
  async prepare({ io }, { configPath }) {
    const { path, settings } = loadWorkerConfig({
      explicitPath: configPath === undefined ? undefined : resolve(io.cwd, configPath),
      places: { cwd: io.cwd, home: io.env.HOME || homedir() },
      env: io.env,
    });
    const { origin } = new URL(settings.coordinator);
    return {
      configPath: path,
      checks: [{ group: 'coordinator', name: origin, run: () => expectHealthy(origin) }],
    };
  },
};

export const healthCheck = healthCommand(worker);
export const verifyDependencies = dependenciesCommand(worker);
