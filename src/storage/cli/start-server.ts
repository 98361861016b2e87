/** `storage start-server`: runs a storage proxy until it is told to stop. */
import { resolve } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { UserError } from '../../common/errors.ts';
import { systemRandom } from '../../common/random.ts';
import { serverCommand } from '../../logging/server-command.ts';
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

export default serverCommand({
  component: 'storage',
  title: 'the storage proxy',
  configFile: 'storage-proxy.toml',
  section: '[storage-proxy]',
  load: loadStorageConfig,
  async start(config, { io, log, opened }) {
    const tracer = openTracer('backend.ai-storage-proxy', config.otel, { log });
    opened.defer(() => tracer.close());
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
  },
});
