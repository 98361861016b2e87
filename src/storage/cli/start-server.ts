/** `storage start-server`: runs a storage proxy until it is told to stop. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { defineCommand, flag, option } from '../../common/command.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import { systemRandom } from '../../common/random.ts';
import { aborted, endRequested, pidFile } from '../../common/server-process.ts';
import { serviceReady } from '../../common/service-manager.ts';
import { logLevelOption } from '../../logging/options.ts';
import { openServerLog } from '../../logging/server.ts';
import { openTracer } from '../../tracing/open.ts';
import { loadStorageConfig, type StorageConfig } from '../config-file.ts';
import { startStorageProxy } from '../main.ts';
import type { OwnerSettings } from '../settings.ts';

const LOOKUP_TIMEOUT_MS = 10_000;

/** The number of an account, from wherever this system keeps its accounts. */
function accountId(database: 'passwd' | 'group', name: string): number {
  if (/^\d+$/.test(name)) return Number(name);
  const found = Bun.spawnSync(['getent', database, name], { timeout: LOOKUP_TIMEOUT_MS });
  const id = found.stdout.toString().split(':')[2];
  if (found.exitCode === 0 && id !== undefined) return Number(id);
  const key = database === 'passwd' ? 'user' : 'group';
  throw new UserError(`There is no ${key} ${JSON.stringify(name)} on this machine.`, {
    hint: `Set another ${key} in the [storage-proxy] section of storage-proxy.toml.`,
  });
}

function ownerOf({ user, group }: StorageConfig): OwnerSettings | null {
  if (user === null && group === null) return null;
  const [ownUid, ownGid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const owner = {
    uid: user === null ? ownUid : accountId('passwd', user),
    gid: group === null ? ownGid : accountId('group', group),
  };
  if (ownUid === 0 || (owner.uid === ownUid && owner.gid === ownGid)) return owner;
  throw new UserError('Only root can give folders to another user.', {
    hint: 'Run the proxy as that user, or leave user and group out of [storage-proxy].',
  });
}

export default defineCommand({
  options: {
    config: option(
      ['-f', '--config-path', '--config'],
      'FILE',
      'Configuration of the storage proxy. [default: storage-proxy.toml, looked for in the usual places]',
    ),
    debug: flag(['--debug'], 'Log more.'),
    logLevel: logLevelOption,
  },
  async run({ options, io }) {
    const load = () =>
      loadStorageConfig({
        explicitPath: options.config === undefined ? undefined : resolve(io.cwd, options.config),
        places: { cwd: io.cwd, home: io.env.HOME || homedir() },
        env: io.env,
      });
    const config = load();
    const { log, close } = openServerLog({
      component: 'storage',
      settings: config.logging,
      level: options.logLevel ?? (options.debug ? 'debug' : null),
      cwd: io.cwd,
      reread: () => load().logging,
    });
    await using opened = new AsyncDisposableStack();
    opened.defer(close);
    for (const key of config.withoutEffect) log.debug('a setting has no effect', { key });
    const tracer = openTracer('backend.ai-storage-proxy', config.otel, { log });
    opened.defer(() => tracer.close());
    const stop = endRequested();
    const { settings } = config;
    const volumes = settings.volumes.map((volume) => ({
      ...volume,
      path: resolve(io.cwd, volume.path),
    }));
    const proxy = await startStorageProxy({
      settings: { ...settings, volumes, owner: ownerOf(config) },
      managerListen: config.managerListen,
      clientListen: config.clientListen,
      serviceListen: config.serviceAddr,
      tracer,
      clock: systemClock,
      random: systemRandom,
      log,
    });
    opened.defer(() => proxy.stop());
    if (config.pidFile !== null) {
      opened.use(await pidFile(resolve(io.cwd, config.pidFile), '[storage-proxy]'));
    }
    opened.use(serviceReady(io.env, systemClock));
    log.info('stopping', { because: errorMessage(await aborted(stop)) });
    return 0;
  },
});
