/** `ag start-server`: runs an agent on this machine until it is told to stop. */
import { mkdir } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { homedir, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { openAccelerators } from '../../accelerator/open.ts';
import { systemClock } from '../../common/clock.ts';
import { type CommandIo, defineCommand, flag, option } from '../../common/command.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { systemRandom } from '../../common/random.ts';
import { loadOrCreateKeys, type NodeKeys } from '../../common/rpc/keys.ts';
import { aborted, endRequested, pidFile } from '../../common/server-process.ts';
import { serviceReady } from '../../common/service-manager.ts';
import { logLevelOption } from '../../logging/options.ts';
import { openServerLog } from '../../logging/server.ts';
import { openEtcdConfigStore } from '../../stores/config/etcd.ts';
import type { ConfigStore } from '../../stores/config/port.ts';
import { openTracer } from '../../tracing/open.ts';
import { openBackend } from '../backends/open.ts';
import { loadAgentConfig } from '../config-file.ts';
import { localAddressTowards } from '../join.ts';
import { startAgent } from '../main.ts';
import { ManagerLink, publishAgentKey } from '../manager-link.ts';
import type { AgentSettings } from '../settings.ts';

/** The folder of this agent's state; several agents may share a machine. */
async function stateFolder(settings: AgentSettings, io: CommandIo): Promise<string> {
  const folder = resolve(io.cwd, settings.varBasePath, settings.id);
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return folder;
  } catch (error) {
    throw new UserError(`The agent can't write its state to ${folder}: ${errorMessage(error)}`, {
      hint: 'Set another var-base-path in the [agent] section of agent.toml.',
      cause: error,
    });
  }
}

interface Cluster {
  readonly link: ManagerLink;
  /** null: the agent knows the manager's address only. */
  readonly store: ConfigStore | null;
}

/** Finds the manager: at the configured address, or in etcd. */
async function linkToManager(
  settings: AgentSettings,
  opened: AsyncDisposableStack,
  parts: { keys: NodeKeys; log: Logger },
): Promise<Cluster> {
  const options = { ...parts, clock: systemClock, random: systemRandom };
  const { managerAddr, managerPublicKey, etcd, id } = settings;
  const store = etcd && (await openEtcdConfigStore({ ...etcd, log: parts.log }));
  if (store) {
    opened.defer(() => store.close());
    await publishAgentKey(store, id, parts.keys.publicKey);
    if (!managerAddr) {
      const link = await ManagerLink.discover(store, options);
      opened.defer(() => link.close());
      return { link, store };
    }
  }
  if (!managerAddr || !managerPublicKey) {
    throw new UserError('agent.toml does not say which manager to trust.', {
      hint:
        'Set manager-public-key beside manager-addr in the [agent] section, or add an [etcd] ' +
        'section to have managers found there.',
    });
  }
  const addr = `http://${managerAddr.host}:${managerAddr.port}`;
  return { link: ManagerLink.toAddress({ addr, publicKey: managerPublicKey }, options), store };
}

/** An address that means "any" is of no use to others. */
const isAny = (host: string): boolean => host === '' || host === '0.0.0.0' || host === '::';

const inUrl = (host: string): string => (isIPv6(host) ? `[${host}]` : host);

/** What managers are told to call. */
function advertisedUrl({ advertisedRpcAddr, rpcListenAddr }: AgentSettings): string {
  const { host, port } = advertisedRpcAddr ?? rpcListenAddr;
  return `http://${isAny(host) ? hostname() : inUrl(host)}:${port}`;
}

/**
 * Fills in what only the network knows: an agent that was given its manager's address, and none of its
 * own, uses that of its connection to the manager, whatever it is today.
 */
async function withOwnAddress(settings: AgentSettings): Promise<AgentSettings> {
  const { managerAddr, advertisedRpcAddr, rpcListenAddr, container } = settings;
  const isReached = advertisedRpcAddr !== null || !isAny(rpcListenAddr.host);
  const isServing = !isAny(container.bindHost) || container.advertisedHost !== null;
  if (managerAddr === null || (isReached && isServing)) return settings;
  const host = await localAddressTowards(managerAddr);
  return {
    ...settings,
    advertisedRpcAddr: isReached ? advertisedRpcAddr : { host, port: rpcListenAddr.port },
    container: isServing
      ? container
      : { ...container, bindHost: container.bindHost || host, advertisedHost: host },
  };
}

export default defineCommand({
  options: {
    config: option(
      ['-f', '--config-path', '--config'],
      'FILE',
      'Configuration of the agent. [default: agent.toml, looked for in the usual places]',
    ),
    debug: flag(['--debug'], 'Log more.'),
    logLevel: logLevelOption,
  },
  async run({ options, io }) {
    const places = { cwd: io.cwd, home: io.env.HOME || homedir() };
    const load = () =>
      loadAgentConfig({
        explicitPath: options.config === undefined ? undefined : resolve(io.cwd, options.config),
        places,
        env: io.env,
      });
    const { settings: written, withoutEffect } = load();
    const { log, close } = openServerLog({
      component: 'agent',
      settings: written.logging,
      level: options.logLevel ?? (options.debug || written.debug.enabled ? 'debug' : null),
      cwd: io.cwd,
      reread: () => load().settings.logging,
    });
    await using opened = new AsyncDisposableStack();
    opened.defer(close);
    for (const key of withoutEffect) log.debug('a setting has no effect', { key });

    const tracer = openTracer('backend.ai-agent', written.otel, { log });
    opened.defer(() => tracer.close());
    const stop = endRequested();
    const stateDir = await stateFolder(written, io);
    const keys = await loadOrCreateKeys(join(stateDir, 'agent.key'));
    const { link, store } = await linkToManager(written, opened, { keys, log });
    // Waiting for a manager is what an agent may do for as long as it takes.
    opened.use(serviceReady(io.env, systemClock));
    await link.waitForManager(stop);
    const settings = await withOwnAddress(written);
    const parts = { clock: systemClock, random: systemRandom, log };
    const backend = await openBackend({ ...parts, settings, stateDir });
    const accelerators = await openAccelerators({
      ...parts,
      ...settings.accelerators,
      drivers: (await backend.capacity()).deviceDrivers,
      places,
      store,
    });
    const { host, port } = settings.rpcListenAddr;
    const agent = await startAgent({
      ...parts,
      settings,
      backend,
      accelerators,
      serviceListen: settings.serviceAddr,
      tracer,
      manager: link.calls,
      keys,
      stateDir,
      listen: {
        hostname: host,
        port,
        isTrusted: (publicKey) => link.isTrusted(publicKey),
        advertisedUrl: advertisedUrl(settings),
      },
    });
    opened.defer(() => agent.stop());
    if (settings.pidFile !== null) {
      opened.use(await pidFile(resolve(io.cwd, settings.pidFile), '[agent]'));
    }
    log.info('stopping', { because: errorMessage(await aborted(stop)) });
    return 0;
  },
});
