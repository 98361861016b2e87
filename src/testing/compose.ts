/** Docker Compose v2 for tests: the one that `docker compose` finds, or that of scripts/fetch-compose.sh. */
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const fetched = (): string => {
  const cache = process.env.XDG_CACHE_HOME || join(process.env.HOME || homedir(), '.cache');
  return join(cache, 'backend.ai/test-tools/docker-compose');
};

const isInstalled = (): boolean =>
  Bun.which('docker') !== null && Bun.spawnSync(['docker', 'compose', 'version']).success;

/** Why there is no compose here; null when there is. */
export const missingForCompose = (): string | null =>
  existsSync(fetched()) || isInstalled()
    ? null
    : 'Docker Compose v2 is missing: run scripts/fetch-compose.sh';

/**
 * What a program's environment needs so that it finds compose and the daemon.
 * @param folder empty; gets Docker's settings.
 */
export function composeEnvironment(folder: string, socketPath: string): Record<string, string> {
  const plugins = join(folder, 'cli-plugins');
  mkdirSync(plugins, { recursive: true });
  if (existsSync(fetched())) symlinkSync(fetched(), join(plugins, 'docker-compose'));
  return {
    DOCKER_HOST: `unix://${socketPath}`,
    DOCKER_CONFIG: folder,
    // Where Docker's own command is not installed, compose is called by its name.
    PATH: `${process.env.PATH ?? ''}:${plugins}`,
  };
}

/** How compose is called where `environment` is set: a program and its first arguments. */
export function composeCommand({ PATH = '' }: Readonly<Record<string, string>>): string[] {
  const [program = '', ...first] =
    Bun.which('docker', { PATH }) === null ? ['docker-compose'] : ['docker', 'compose'];
  return [Bun.which(program, { PATH }) ?? program, ...first];
}
