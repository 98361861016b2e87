/** PostgreSQL, Redis and etcd: started with compose, or looked for where they already are. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import composeFile from '../../../halfstack/compose.yaml' with { type: 'text' };
import type { Clock } from '../../common/clock.ts';
import { UserError } from '../../common/errors.ts';
import { type Layout, type Secrets, serverAddresses, writeOwnFile } from '../layout.ts';
import type { InstallRequest } from '../request.ts';
import { runCommand } from '../shell.ts';
import type { Check, Step, StepContext } from '../step.ts';
import { COMPOSE_REMEDY, type Compose, findCompose, searchCompose } from './compose.ts';
import { answersAs, type ServerKind } from './probes.ts';
import { watchEnvironment, watchFilePath, writeTargets, writeWatchFiles } from './watching.ts';

/** Pulling the three images over a slow line. */
export const PULL_TIMEOUT_MS = 30 * 60_000;
export const UP_TIMEOUT_MS = 5 * 60_000;
/** From the containers' start until all three take requests: PostgreSQL makes its database first. */
const READY_TIMEOUT_MS = 3 * 60_000;
const POLL_MS = 200;

/** Of what sees into the cluster. */
export const ALL_PROFILES = ['telemetry', 'observability'] as const;

/** Compose's name of the installation's containers and volumes. */
export const projectName = (envId: string): string =>
  `backend-ai-${envId.toLowerCase().replace(/[^a-z0-9_-]/g, '-')}`;

const composeFilePath = (layout: Layout) => join(layout.halfstack, 'compose.yaml');

/** Calls compose with this installation's files, and all that they hold. */
export async function runCompose(
  { command, env }: Compose,
  place: { readonly layout: Layout; readonly envId: string },
  args: readonly string[],
  context: StepContext,
  timeoutMs: number,
  profiles: readonly string[] = [],
): Promise<void> {
  const { layout, envId } = place;
  const options = [
    ...['--project-name', projectName(envId), '--file', composeFilePath(layout)],
    ...(existsSync(watchFilePath(layout)) ? ['--file', watchFilePath(layout)] : []),
    ...['--env-file', join(layout.halfstack, '.env')],
    ...profiles.flatMap((profile) => ['--profile', profile]),
  ];
  await runCommand([...command, ...options, ...args], context, { env, timeoutMs });
}

/** Compose looks for variables and remarks in what has no quotes: a path may hold their signs. */
const inEnvironmentFile = (value: string | number): string =>
  /^[\w./:,+-]*$/.test(String(value)) ? String(value) : `'${String(value).replaceAll("'", "\\'")}'`;

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
    ...watchEnvironment(request, layout, secrets),
  };
  const lines = Object.entries(environment).map(
    ([name, value]) => `${name}=${inEnvironmentFile(value)}\n`,
  );
  writeOwnFile(join(layout.halfstack, '.env'), lines.join(''));
  writeWatchFiles(request, layout);
  writeTargets(request, layout);
}

/**
 * Not with compose's own `--wait`: Podman asks containers for their health only where systemd runs.
 * @throws UserError when one of the three does not answer in time.
 */
async function waitForServers(request: InstallRequest, clock: Clock, context: StepContext) {
  const { ports } = request;
  const deadlineMs = clock.monotonicMs() + READY_TIMEOUT_MS;
  for (const kind of ['postgres', 'redis', 'etcd'] as const) {
    while (!(await answersAs(kind, '127.0.0.1', ports[kind]))) {
      context.signal.throwIfAborted();
      if (clock.monotonicMs() > deadlineMs) {
        throw new UserError(`${NAMES[kind]} does not answer on port ${ports[kind]}.`, {
          hint: `Why is in the log of its container: docker (or podman) logs ${projectName(request.envId)}-${kind}-1`,
        });
      }
      await clock.sleep(POLL_MS);
    }
  }
}

export function composeStep(
  request: InstallRequest,
  layout: Layout,
  secrets: () => Secrets,
  clock: Clock,
): Step {
  const place = { layout, envId: request.envId };
  return {
    id: 'halfstack',
    title: 'Start PostgreSQL, Redis and etcd with compose',
    async run(context) {
      const compose = await findCompose(context.signal);
      writeHalfstackFiles(request, layout, secrets());
      context.progress('fetching images, which may take minutes');
      await runCompose(compose, place, ['create'], context, PULL_TIMEOUT_MS);
      context.progress('starting the containers');
      await runCompose(compose, place, ['up', '--detach'], context, UP_TIMEOUT_MS);
      context.progress('waiting until all three answer');
      await waitForServers(request, clock, context);
    },
  };
}

export function composeCheck(signal: AbortSignal): Check {
  return {
    title: 'Docker Compose v2, or Podman with it',
    async run() {
      const found = await searchCompose(signal);
      if ('command' in found) return null;
      return {
        problem: ['No working compose was found.', ...found.reasons].join(' '),
        remedy: COMPOSE_REMEDY,
      };
    },
  };
}

const NAMES = { postgres: 'PostgreSQL', redis: 'Redis', etcd: 'etcd' } as const;

/** What answers at the address of Redis. */
export const redisTitle = ({ existing }: InstallRequest): string =>
  existing.redisService === undefined ? 'Redis' : `Sentinels of the Redis ${existing.redisService}`;

/** One check per kind of server that is said to exist. */
export function existingServerChecks(request: InstallRequest): Check[] {
  const addresses = serverAddresses(request);
  const redisFlag = request.existing.redisService === undefined ? 'addr' : 'sentinel';
  return [
    serverCheck('postgres', NAMES.postgres, addresses.postgres, '--postgres-addr'),
    serverCheck('redis', redisTitle(request), addresses.redis, `--redis-${redisFlag}`),
    serverCheck('etcd', NAMES.etcd, addresses.etcd, '--etcd-addr'),
  ];
}

/** At which of several addresses, separated by commas, no such server answers. */
export async function silentServers(kind: ServerKind, addresses: string): Promise<string[]> {
  const all = addresses.split(',');
  const answers = await Promise.all(
    all.map(async (address) => {
      const { host, port } = splitAddress(address);
      return await answersAs(kind, host, port);
    }),
  );
  return all.filter((_, index) => !answers[index]);
}

/** One of several servers may be away: that is what there are several for. */
function serverCheck(kind: ServerKind, name: string, addresses: string, flag: string): Check {
  return {
    title: `${name} at ${addresses}`,
    async run() {
      const silent = await silentServers(kind, addresses);
      if (silent.length === 0) return null;
      return {
        problem: `No answer from ${name} at ${silent.join(' and ')}.`,
        remedy: `Start it, or give another address with ${flag} HOST:PORT.`,
        isWarning: silent.length < addresses.split(',').length,
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
