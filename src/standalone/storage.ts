/** The cluster's storage proxy: one volume below the cluster's folder, and the manager told of it. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../common/clock.ts';
import type { Logger } from '../common/logger.ts';
import type { Random } from '../common/random.ts';
import { type StorageProxy, startStorageProxy } from '../storage/main.ts';
import { localStorageSettings, type OwnerSettings } from '../storage/settings.ts';
import type { ConfigStore } from '../stores/config/port.ts';
import { loadOrCreateSecrets } from './secrets.ts';

/** What managers call the proxy: the first half of a folder's host. */
const PROXY = 'local';
const VOLUME = 'volume1';
/** Where the proxy is; and, unless somebody set them otherwise, that its volume is used for folders. */
async function tellManager(config: ConfigStore, proxy: StorageProxy, secret: string) {
  const place = `volumes/proxies/${PROXY}`;
  await config.putMany(
    new Map([
      [`${place}/client_api`, proxy.clientUrl],
      [`${place}/manager_api`, proxy.managerUrl],
      [`${place}/secret`, secret],
      [`${place}/ssl_verify`, 'false'],
    ]),
  );
  const defaults = {
    'volumes/default_host': `${PROXY}:${VOLUME}`,
    'volumes/_types/user': '',
    'volumes/_types/group': '',
  };
  for (const [key, value] of Object.entries(defaults)) await config.compareAndPut(key, null, value);
}

export interface LocalStorageOptions {
  /** The cluster's folder. */
  readonly folder: string;
  readonly hostname: string;
  readonly managerPort: number;
  readonly clientPort: number;
  /** Who owns new folders; null: this process. */
  readonly owner: OwnerSettings | null;
  readonly config: ConfigStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export async function startLocalStorage(options: LocalStorageOptions): Promise<StorageProxy> {
  const { folder, hostname, owner, config, clock, random, log } = options;
  const path = join(folder, 'storage', VOLUME);
  await mkdir(path, { recursive: true, mode: 0o755 });
  const { token, manager } = await loadOrCreateSecrets(
    folder,
    'storage-secrets.json',
    // The first is kept so that an upload goes on after a restart.
    ['token', 'manager'],
    { random, loss: 'uploads that are going on have to begin again' },
  );
  const proxy = await startStorageProxy({
    settings: localStorageSettings({
      nodeId: PROXY,
      tokenSecret: token,
      managerSecret: manager,
      owner,
      volumes: [{ name: VOLUME, backend: 'vfs', path, fsprefix: '.' }],
    }),
    managerListen: { hostname, port: options.managerPort, tls: null },
    clientListen: { hostname, port: options.clientPort, tls: null },
    clock,
    random,
    log,
  });
  try {
    await tellManager(config, proxy, manager);
    return proxy;
  } catch (error) {
    await proxy.stop();
    throw error;
  }
}
