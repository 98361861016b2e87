/**
 * Which server a command talks to: the configured endpoint, else the cluster of this machine. Only
 * commands that create sessions start that cluster when it is not running.
 */

import {
  Client,
  type ClientConfig,
  ConfigError,
  effectiveEnvironment,
  isConfigured,
  readClientConfig,
  SignIns,
} from '../client/index.ts';
import type { CommandContext } from '../common/command.ts';
import { UserError } from '../common/errors.ts';
import { printStatus } from '../common/glyphs.ts';
import { clusterFolder, findLocalCluster, type LocalCluster } from '../common/local-cluster.ts';
import { showAnnouncement } from './announcement.ts';
import { signInsPath } from './state.ts';

interface ConnectOptions {
  /** Start this machine's cluster when nothing else is configured and it is not running. */
  readonly launch?: boolean;
  /** As whom on this machine's cluster, whose accounts are all its user's. */
  readonly localAccount?: 'user' | 'admin';
}

function localConfig(base: ClientConfig, cluster: LocalCluster, name: string): ClientConfig {
  if (base.endpointType === 'session') return { ...base, endpoints: [cluster.webUrl] };
  const account = cluster.accounts.find((candidate) => candidate.name === name);
  if (account === undefined) {
    throw new UserError(`The local cluster has no account named '${name}'.`, {
      hint: 'Set BACKEND_ENDPOINT, BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY yourself.',
    });
  }
  return {
    ...base,
    endpoints: [cluster.endpoint],
    accessKey: account.accessKey,
    secretKey: account.secretKey,
  };
}

type Where = Pick<CommandContext, 'io' | 'globals'>;

function localFolder(env: Where['io']['env']): string {
  try {
    return clusterFolder(env);
  } catch (error) {
    if (error instanceof RangeError) throw new UserError(error.message, { cause: error });
    throw error;
  }
}

async function localCluster({ io }: Where, launch: boolean): Promise<LocalCluster> {
  const folder = localFolder(io.env);
  const running = findLocalCluster(folder);
  if (running !== null) return running;
  if (!launch) {
    throw new UserError('No endpoint is configured and no cluster is running on this machine.', {
      hint:
        'Start one with `backend.ai up`, or set BACKEND_ENDPOINT, BACKEND_ACCESS_KEY and ' +
        'BACKEND_SECRET_KEY.',
    });
  }
  printStatus(io.stderr, 'info', 'No endpoint is configured: starting a local cluster.');
  const { launchLocalCluster } = await import('../common/launch.ts');
  const started = await launchLocalCluster(folder, io.env);
  printStatus(
    io.stderr,
    'done',
    `A local cluster is running at ${started.endpoint}; stop it with \`backend.ai down\`.`,
  );
  return started;
}

/**
 * The client's settings for this command.
 * @throws UserError when a setting is wrong or there is nothing to connect to.
 */
export async function resolveConfig(
  where: Where,
  options: ConnectOptions = {},
): Promise<ClientConfig> {
  const env = effectiveEnvironment(where.io.env, where.io.cwd);
  let config: ClientConfig;
  try {
    config = readClientConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) throw new UserError(error.message, { cause: error });
    throw error;
  }
  if (where.globals.skipSslCertValidation) config = { ...config, skipSslCertValidation: true };
  if (isConfigured(env)) return config;
  const cluster = await localCluster(where, options.launch ?? false);
  return localConfig(config, cluster, options.localAccount ?? 'user');
}

export interface Connection {
  readonly client: Client;
  /** Writes the sign-ins as they are now, for the commands that follow. */
  saveSignIns(): void;
}

/** A client for this command and what it keeps; nothing has been sent yet. */
export async function openConnection(
  where: Where,
  options: ConnectOptions = {},
): Promise<Connection> {
  const config = await resolveConfig(where, options);
  const path = signInsPath(where.io.env);
  const signIns = config.endpointType === 'session' ? SignIns.load(path) : new SignIns();
  return { client: new Client(config, { signIns }), saveSignIns: () => signIns.save(path) };
}

/** A client for this command; nothing has been sent yet. */
export async function connect(where: Where, options: ConnectOptions = {}): Promise<Client> {
  return (await openConnection(where, options)).client;
}

/** As `connect`, for commands that list and change things: shows the server's announcement first. */
export async function connectAnnounced(where: Where): Promise<Client> {
  const client = await connect(where);
  await showAnnouncement(where.io, client);
  return client;
}

/** A client for a command of administrators; shows the announcement first, unless told otherwise. */
export async function connectAdmin(
  where: Where,
  options: { announces?: boolean } = {},
): Promise<Client> {
  const client = await connect(where, { localAccount: 'admin' });
  if (options.announces ?? true) await showAnnouncement(where.io, client);
  return client;
}
