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
} from '../client/index.ts';
import type { CommandContext } from '../common/command.ts';
import { UserError } from '../common/errors.ts';
import { clusterFolder, findLocalCluster, type LocalCluster } from '../common/local-cluster.ts';
import { printStatus } from './framework/glyphs.ts';

const LOCAL_ACCOUNT = 'user';

function localConfig(base: ClientConfig, cluster: LocalCluster): ClientConfig {
  const account = cluster.accounts.find((candidate) => candidate.name === LOCAL_ACCOUNT);
  if (account === undefined) {
    throw new UserError(`The local cluster has no account named '${LOCAL_ACCOUNT}'.`, {
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
  options: { launch?: boolean } = {},
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
  return localConfig(config, await localCluster(where, options.launch ?? false));
}

/** A client for this command; nothing has been sent yet. */
export async function connect(where: Where, options: { launch?: boolean } = {}): Promise<Client> {
  return new Client(await resolveConfig(where, options));
}
