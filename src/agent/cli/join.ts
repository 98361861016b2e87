/** `ag join`: makes this machine a node of a cluster, with a token of one of its managers. */
import { existsSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { homedir, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { stringify } from 'smol-toml';
import {
  argument,
  choice,
  defineCommand,
  flag,
  integer,
  option,
  optionWithDefault,
  UsageError,
} from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import {
  type ManagerAddress,
  parseManagerAddress,
  parseToken,
} from '../../common/protocol/join.ts';
import { systemRandom } from '../../common/random.ts';
import { loadOrCreateKeys } from '../../common/rpc/keys.ts';
import { joinCluster, localAddressTowards } from '../join.ts';

const port = integer({ min: 1, max: 65_535 });

function managerAddress(text: string): ManagerAddress {
  const address = parseManagerAddress(text);
  if (address === null) throw new UsageError(`'${text}' is not of the form HOST:PORT.`);
  return address;
}

const isRoot = (): boolean => process.getuid?.() === 0;
const defaultConfigFolder = (home: string): string =>
  isRoot() ? '/etc/backend.ai' : join(home, '.config/backend.ai');
const defaultStateFolder = (home: string): string =>
  isRoot() ? '/var/lib/backend.ai' : join(home, '.local/share/backend.ai/agent');

export default defineCommand({
  help: "Make this machine a node of a cluster: exchanges keys with the manager and writes agent.toml. Make the token at the manager: backend.ai mgr token create. The token may also be given in BACKEND_JOIN_TOKEN, where other users of this machine don't see it.",
  options: {
    token: option(['--token'], 'TOKEN', 'What `mgr token create` printed.'),
    id: optionWithDefault(['--id'], 'ID', 'Name of this agent.', `i-${hostname()}`, String),
    backend: optionWithDefault(
      ['--backend'],
      '[docker|process|dummy]',
      'How sessions run.',
      'docker',
      choice(['docker', 'process', 'dummy']),
    ),
    rpcPort: optionWithDefault(['--rpc-port'], 'PORT', 'Where managers call it.', 6001, port),
    servicePort: optionWithDefault(['--service-port'], 'PORT', 'Health, metrics.', 6003, port),
    advertise: option(
      ['--advertise'],
      'HOST',
      'Address by which managers and users reach this machine. [default: found at every start: that of the connection to the manager]',
    ),
    configDir: option(['--config-dir'], 'DIR', 'Where agent.toml goes.'),
    stateDir: option(['--state-dir'], 'DIR', 'Where the agent keeps its state.'),
    overwrite: flag(['--overwrite'], 'Replace an agent.toml that is there.'),
  },
  positionals: {
    manager: argument(
      'MANAGER',
      "Host, or HOST:PORT, of the manager's internal API.",
      managerAddress,
    ),
  },
  async run({ options, args: { manager }, io, globals }) {
    const token = parseToken(options.token ?? io.env.BACKEND_JOIN_TOKEN ?? '');
    if (token === null) {
      throw new UsageError('A whole token is needed: --token, as `mgr token create` printed it.');
    }
    const home = io.env.HOME || homedir();
    const configPath = join(
      resolve(io.cwd, options.configDir ?? defaultConfigFolder(home)),
      'agent.toml',
    );
    if (existsSync(configPath) && !options.overwrite) {
      throw new UserError(`${configPath} is there already.`, {
        hint: 'Replace it with --overwrite, or name another folder with --config-dir.',
      });
    }
    const stateDir = resolve(io.cwd, options.stateDir ?? defaultStateFolder(home));
    const keys = await loadOrCreateKeys(join(stateDir, options.id, 'agent.key'));
    const fixed = options.advertise;
    const address = fixed ?? (await localAddressTowards(manager));
    const { managerId, scalingGroup } = await joinCluster(
      manager,
      token,
      { id: options.id, keys },
      systemRandom,
    );
    const settings = {
      agent: {
        backend: options.backend,
        id: options.id,
        'scaling-group': scalingGroup,
        'manager-addr': { host: manager.host, port: manager.port },
        'manager-public-key': token.managerPublicKey,
        'rpc-listen-addr': { host: '0.0.0.0', port: options.rpcPort },
        ...(fixed && { 'advertised-rpc-addr': { host: fixed, port: options.rpcPort } }),
        'service-addr': { host: '0.0.0.0', port: options.servicePort },
        'var-base-path': stateDir,
      },
      container: {
        ...(fixed && { 'bind-host': fixed, 'advertised-host': fixed }),
        'scratch-root': join(stateDir, 'scratches'),
      },
    };
    await mkdir(resolve(configPath, '..'), { recursive: true });
    await writeFile(`${configPath}.new`, stringify(settings), { mode: 0o600 });
    await rename(`${configPath}.new`, configPath);
    if (globals.output === 'json') {
      const done = { agentId: options.id, managerId, scalingGroup, address, config: configPath };
      io.stdout.write(`${JSON.stringify(done, null, 2)}\n`);
    } else {
      io.stdout.write(
        `${options.id} has joined ${managerId}; it serves the resource group ${scalingGroup}.\n` +
          `wrote ${configPath}\nStart it: backend.ai ag start-server -f ${configPath}\n`,
      );
    }
    return 0;
  },
});
