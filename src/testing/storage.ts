/** A storage proxy for tests: on temporary volumes and free ports of the loopback address. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../common/clock.ts';
import type { Logger } from '../common/logger.ts';
import { systemRandom } from '../common/random.ts';
import { type StorageProxy, type StorageProxyOptions, startStorageProxy } from '../storage/main.ts';
import { localStorageSettings, type StorageSettings } from '../storage/settings.ts';

const silent: Logger = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silent,
};

/** As managers name it, and where it lies. */
export interface TestFolder {
  readonly volume: 'volume1';
  readonly vfid: string;
  readonly path: string;
}

export interface TestStorage extends StorageProxy {
  /** What managers prove themselves with. */
  readonly secret: string;
  /** Where the volume `volume1` lies. */
  readonly volumePath: string;
  /** Asks the manager API. GET parameters go into the query, others into a JSON body. */
  ask(
    method: string,
    path: string,
    params?: Record<string, unknown>,
  ): Promise<{ status: number; body: unknown }>;
  /**
   * Makes a folder of its own for a test.
   * @param owner whose it is; one of all tests by default.
   */
  newFolder(owner?: string): Promise<TestFolder>;
  /** A token for clients, from `/folder/file/<what>`, as an address of the client API. */
  clientAddress(
    what: 'upload' | 'download' | 'archive-download-token',
    params: Record<string, unknown>,
  ): Promise<URL>;
  /** Ends it and starts it again on the same volumes, on other ports. */
  restart(): Promise<void>;
  /** Ends it and deletes its volumes. */
  discard(): Promise<void>;
}

const OWNER = '11111111-2222-3333-4444-555555555555';
const CLIENT_PATHS = {
  upload: '/upload',
  download: '/download',
  'archive-download-token': '/download-archive',
} as const;

const anyPort = { hostname: '127.0.0.1', port: 0, tls: null };

/**
 * @param changes of the settings.
 * @param disk a mounted file system for `volume1`; else it is a temporary folder.
 * @param backends in place of those of the same name.
 */
export async function startTestStorage(
  changes: Partial<StorageSettings> = {},
  disk: string | null = null,
  backends: StorageProxyOptions['backends'] = {},
): Promise<TestStorage> {
  const folder = mkdtempSync(join(tmpdir(), 'bai-storage-'));
  const volumePath = disk ?? join(folder, 'volume1');
  mkdirSync(volumePath, { recursive: true });
  const secret = 'managers and this proxy know it';
  const settings: StorageSettings = {
    ...localStorageSettings({
      nodeId: 'test',
      tokenSecret: 'clients never see it',
      managerSecret: secret,
      volumes: [{ name: 'volume1', backend: 'vfs', path: volumePath, fsprefix: '.' }],
    }),
    ...changes,
  };
  const start = () =>
    startStorageProxy({
      settings,
      managerListen: anyPort,
      clientListen: anyPort,
      backends,
      clock: systemClock,
      random: systemRandom,
      log: silent,
    });
  let proxy = await start();
  let folders = 0;
  const ask: TestStorage['ask'] = async (method, path, params = {}) => {
    const url = new URL(`${proxy.managerUrl}${path}`);
    const inQuery = method === 'GET';
    if (inQuery) {
      for (const [key, value] of Object.entries(params)) url.searchParams.set(key, String(value));
    }
    const response = await fetch(url, {
      method,
      headers: { 'X-BackendAI-Storage-Auth-Token': secret },
      body: inQuery ? undefined : JSON.stringify(params),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json');
    return { status: response.status, body: isJson ? JSON.parse(text) : text };
  };
  return {
    get managerUrl() {
      return proxy.managerUrl;
    },
    get clientUrl() {
      return proxy.clientUrl;
    },
    get metrics() {
      return proxy.metrics;
    },
    secret,
    volumePath,
    ask,
    async newFolder(owner = OWNER) {
      folders += 1;
      const hex = folders.toString(16).padStart(4, '0').padEnd(32, '0');
      const vfid = `user:${owner}/${hex}`;
      const { status, body } = await ask('POST', '/folder/create', { volume: 'volume1', vfid });
      if (status !== 204) throw new Error(`no new folder: ${status} ${JSON.stringify(body)}`);
      const scope = owner.replaceAll('-', '');
      const path = join(volumePath, scope, hex.slice(0, 2), hex.slice(2, 4), hex.slice(4));
      return { volume: 'volume1', vfid, path };
    },
    async clientAddress(what, params) {
      const { status, body } = await ask('POST', `/folder/file/${what}`, params);
      const token = Object(body).token;
      if (status !== 200) throw new Error(`no token: ${status} ${JSON.stringify(body)}`);
      return new URL(`${proxy.clientUrl}${CLIENT_PATHS[what]}?token=${token}`);
    },
    stop: () => proxy.stop(),
    async restart() {
      await proxy.stop();
      proxy = await start();
    },
    async discard() {
      await proxy.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
