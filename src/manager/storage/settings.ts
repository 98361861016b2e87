/**
 * Which storage proxies there are, which volumes are the default, and what of them is shown:
 * everything below `volumes/` in the configuration store.
 */
import { BackendError } from '../../common/errors.ts';
import type { ConfigStore } from '../../stores/config/port.ts';
import { type ConfigTree, toTree } from '../../stores/config/scopes.ts';

/** How one storage proxy is reached. */
export interface StorageProxy {
  readonly name: string;
  /** Where clients reach it, without a trailing slash. */
  readonly clientApi: string;
  /** Where managers reach it, without a trailing slash. */
  readonly managerApi: string;
  readonly secret: string;
  /** Whether its certificate must be valid. */
  readonly sslVerify: boolean;
  /** Resource groups whose sessions serve files of its volumes over SFTP. */
  readonly sftpScalingGroups: readonly string[];
  /** How long an answer may take, and a connection. Milliseconds. */
  readonly totalTimeoutMs: number;
  readonly connectTimeoutMs: number;
}

export type OwnershipType = 'user' | 'group';

export interface VolumeSettings {
  /** `proxy:volume` of folders that name none; null when none is configured. */
  readonly defaultHost: string | null;
  /** Whose folders may be made. */
  readonly types: readonly OwnershipType[];
  /** What of a volume's usage is shown. */
  readonly exposed: ReadonlySet<string>;
  readonly proxies: ReadonlyMap<string, StorageProxy>;
}

const TOTAL_TIMEOUT_SEC = 300;
const CONNECT_TIMEOUT_SEC = 30;
const FALSE_WORDS = new Set(['false', '0', 'no', 'off', 'f', 'n']);

const words = (text: string | undefined): string[] =>
  (text ?? '')
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');

/** A value that may carry others below it. */
function textOf(tree: ConfigTree | string | undefined): string | undefined {
  if (typeof tree === 'string') return tree;
  const own = tree?.[''];
  return typeof own === 'string' ? own : undefined;
}

const subtree = (tree: ConfigTree, name: string): ConfigTree => {
  const found = tree[name];
  return typeof found === 'object' ? found : {};
};

function toMilliseconds(text: string | undefined, fallbackSec: number): number {
  const seconds = Number(text);
  return (Number.isFinite(seconds) && seconds > 0 ? seconds : fallbackSec) * 1000;
}

function toProxy(name: string, tree: ConfigTree): StorageProxy | null {
  const clientApi = textOf(tree.client_api);
  const managerApi = textOf(tree.manager_api);
  if (clientApi === undefined || managerApi === undefined) return null;
  const timeouts = subtree(tree, 'timeouts');
  return {
    name,
    clientApi: clientApi.replace(/\/+$/, ''),
    managerApi: managerApi.replace(/\/+$/, ''),
    secret: textOf(tree.secret) ?? '',
    sslVerify: !FALSE_WORDS.has((textOf(tree.ssl_verify) ?? 'true').toLowerCase()),
    sftpScalingGroups: words(textOf(tree.sftp_scaling_groups)),
    totalTimeoutMs: toMilliseconds(textOf(timeouts.total), TOTAL_TIMEOUT_SEC),
    connectTimeoutMs: toMilliseconds(textOf(timeouts.sock_connect), CONNECT_TIMEOUT_SEC),
  };
}

/** Reads the present settings; a proxy that lacks an address is left out. */
export async function readVolumeSettings(
  config: Pick<ConfigStore, 'list'>,
): Promise<VolumeSettings> {
  const tree = toTree(await config.list('volumes'), 'volumes');
  const proxies = new Map<string, StorageProxy>();
  for (const [name, branch] of Object.entries(subtree(tree, 'proxies'))) {
    const proxy = typeof branch === 'object' ? toProxy(name, branch) : null;
    if (proxy !== null) proxies.set(name, proxy);
  }
  const declared = Object.keys(subtree(tree, '_types'));
  const types = (['user', 'group'] as const).filter((type) => declared.includes(type));
  return {
    defaultHost: textOf(tree.default_host) || null,
    types: types.length === 0 ? ['user'] : types,
    exposed: new Set(words(textOf(tree.exposed_volume_info) ?? 'percentage')),
    proxies,
  };
}

/** A folder host: a volume of a storage proxy. */
export interface FolderHost {
  readonly proxy: string;
  readonly volume: string;
}

/** @throws BackendError InvalidAPIParameters unless the text has the form `proxy:volume`. */
export function parseHost(host: string): FolderHost {
  const at = host.indexOf(':');
  if (at <= 0 || at === host.length - 1 || /[\p{Cc}]/u.test(host)) {
    throw new BackendError(
      'InvalidAPIParameters',
      `'${host}' names no storage host. Write it as proxy:volume.`,
    );
  }
  return { proxy: host.slice(0, at), volume: host.slice(at + 1) };
}

/** @throws BackendError StorageProxyNotFound naming the proxies there are. */
export function proxyOf(settings: VolumeSettings, name: string): StorageProxy {
  const proxy = settings.proxies.get(name);
  if (proxy !== undefined) return proxy;
  const known = [...settings.proxies.keys()];
  throw new BackendError(
    'StorageProxyNotFound',
    `There is no storage proxy '${name}'. ${known.length > 0 ? `Known: ${known.join(', ')}.` : 'None is configured.'}`,
  );
}
