/** `storage health check`, `storage dependencies verify`: the volumes. */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import {
  type CheckedComponent,
  dependenciesCommand,
  healthCommand,
} from '../../common/component-checks.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import { loadStorageConfig } from '../config-file.ts';

/** @throws UserError unless this user can keep folders there. */
async function expectUsable(path: string): Promise<void> {
  try {
    if (!(await stat(path)).isDirectory()) throw new UserError(`${path} is not a folder.`);
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`This user cannot use ${path}.`, {
      hint: errorMessage(error),
      cause: error,
    });
  }
}

const storage: CheckedComponent = {
  title: 'Storage Proxy',
  async prepare({ io }, { configPath }) {
    const { path, settings } = loadStorageConfig({
      explicitPath: configPath === undefined ? undefined : resolve(io.cwd, configPath),
      places: { cwd: io.cwd, home: io.env.HOME || homedir() },
      env: io.env,
    });
    return {
      configPath: path,
      checks: settings.volumes.map((volume) => ({
        group: 'volumes',
        name: volume.name,
        run: () => expectUsable(resolve(io.cwd, volume.path)),
      })),
    };
  },
};

export const healthCheck = healthCommand(storage);
export const verifyDependencies = dependenciesCommand(storage);
