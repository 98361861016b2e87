/** PostgreSQL, Redis and etcd: started with compose, or looked for where they already are. */
import { join } from 'node:path';
import composeFile from '../../../halfstack/compose.yaml' with { type: 'text' };
import { UserError } from '../../common/errors.ts';
import { type Layout, type Secrets, serverAddresses, writeOwnFile } from '../layout.ts';
import type { InstallRequest } from '../request.ts';
import { runCommand } from '../shell.ts';
import type { Check, Step, StepContext } from '../step.ts';
import { accepts } from './services.ts';

const VERSION_TIMEOUT_MS = 15_000;
/** Pulling the three images over a slow line. */
const PULL_TIMEOUT_MS = 30 * 60_000;
const UP_TIMEOUT_MS = 5 * 60_000;

/** The ways compose can be called, best first. */
const COMPOSE_COMMANDS: readonly (readonly string[])[] = [
  ['docker', 'compose'],
  ['podman', 'compose'],
  ['docker-compose'],
];

const mute = (signal: AbortSignal): StepContext => ({
  log: () => undefined,
  progress: () => undefined,
  signal,
});

/** The first compose that works here; null without one. */
export async function findCompose(signal: AbortSignal): Promise<readonly string[] | null> {
  for (const command of COMPOSE_COMMANDS) {
    const [program = ''] = command;
    if (Bun.which(program) === null) continue;
    try {
      const options = { timeoutMs: VERSION_TIMEOUT_MS };
      await runCommand([...command, 'version'], mute(signal), options);
      return command;
    } catch (error) {
      // The program is there, but without compose: the next one may have it.
      if (!(error instanceof UserError)) throw error;
    }
  }
  return null;
}

/** Compose's name of the installation's containers and volumes. */
export const projectName = (envId: string): string =>
  `backend-ai-${envId.toLowerCase().replace(/[^a-z0-9_-]/g, '-')}`;

const composeFilePath = (layout: Layout) => join(layout.halfstack, 'compose.yaml');

/** The command line of compose for this installation's file. */
export function composeArguments(compose: readonly string[], layout: Layout, envId: string) {
  return [
    ...compose,
    ...['--project-name', projectName(envId)],
    ...['--file', composeFilePath(layout)],
    ...['--env-file', join(layout.halfstack, '.env')],
  ];
}

export function writeHalfstackFiles(
  request: InstallRequest,
  layout: Layout,
  secrets: Secrets,
): void {
  const { ports } = request;
  writeOwnFile(composeFilePath(layout), composeFile, 0o644);
  const environment = {
    BACKEND_DB_PASSWORD: secrets.database,
    BACKEND_DB_PORT: ports.postgres,
    BACKEND_REDIS_PORT: ports.redis,
    BACKEND_ETCD_PORT: ports.etcd,
  };
  const lines = Object.entries(environment).map(([name, value]) => `${name}=${value}\n`);
  writeOwnFile(join(layout.halfstack, '.env'), lines.join(''));
}

export function composeStep(request: InstallRequest, layout: Layout, secrets: () => Secrets): Step {
  return {
    id: 'halfstack',
    title: 'Start PostgreSQL, Redis and etcd with compose',
    async run(context) {
      const compose = await findCompose(context.signal);
      if (compose === null) throw new UserError('compose is gone.', { hint: COMPOSE_REMEDY });
      writeHalfstackFiles(request, layout, secrets());
      const base = composeArguments(compose, layout, request.envId);
      context.progress('fetching images');
      await runCommand([...base, 'pull', '--policy', 'missing'], context, {
        timeoutMs: PULL_TIMEOUT_MS,
      });
      context.progress('waiting until all three are healthy');
      await runCommand([...base, 'up', '--detach', '--wait'], context, {
        timeoutMs: UP_TIMEOUT_MS,
      });
    },
  };
}

export const COMPOSE_REMEDY =
  'Install Docker Compose v2 (docker-compose-v2 or docker-compose-plugin) or Podman with compose; ' +
  'or use servers you have: --postgres-addr, --redis-addr and --etcd-addr.';

export function composeCheck(signal: AbortSignal): Check {
  return {
    title: 'Compose v2',
    async run() {
      const found = await findCompose(signal);
      if (found !== null) return null;
      return { problem: 'No working compose was found.', remedy: COMPOSE_REMEDY };
    },
  };
}

/** What answers at the address of Redis. */
export const redisTitle = ({ existing }: InstallRequest): string =>
  existing.redisService === undefined ? 'Redis' : `Sentinels of the Redis ${existing.redisService}`;

/** One check per kind of server that is said to exist. */
export function existingServerChecks(request: InstallRequest): Check[] {
  const addresses = serverAddresses(request);
  const redisFlag = request.existing.redisService === undefined ? 'addr' : 'sentinel';
  return [
    serverCheck('PostgreSQL', addresses.postgres, '--postgres-addr'),
    serverCheck(redisTitle(request), addresses.redis, `--redis-${redisFlag}`),
    serverCheck('etcd', addresses.etcd, '--etcd-addr'),
  ];
}

/** One of several servers may be away: that is what there are several for. */
function serverCheck(name: string, addresses: string, flag: string): Check {
  const all = addresses.split(',');
  return {
    title: `${name} at ${addresses}`,
    async run() {
      const answers = await Promise.all(
        all.map(async (address) => {
          const { host, port } = splitAddress(address);
          return await accepts(port, host);
        }),
      );
      const silent = all.filter((_, index) => !answers[index]);
      if (silent.length === 0) return null;
      const verb = name.startsWith('Sentinels') ? 'do' : 'does';
      return {
        problem: `${name} ${verb} not take connections at ${silent.join(' and ')}.`,
        remedy: `Start it, or give another address with ${flag} HOST:PORT.`,
        isWarning: silent.length < all.length,
      };
    },
  };
}

/** @param address `host:port`, or `[v6]:port`. */
function splitAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(':');
  return {
    host: address.slice(0, at).replace(/^\[|\]$/g, ''),
    port: Number(address.slice(at + 1)),
  };
}
