/**
 * What the kernel of a cluster finds about the others: their SSH key, where their SSH servers are, and
 * their addresses. The key is written before the kernel starts, the rest when it joins.
 */
import { createHash } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { chmod, chown, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { errorMessage } from '../../common/errors.ts';
import type { KernelSpec } from '../../common/protocol/kernel.ts';
import type { Peer } from './backend.ts';
import type { HomeOwner } from './dotfiles.ts';
import type { FolderBind } from './folder-mounts.ts';

/** Where the SSH server of a kernel listens inside it. */
const SSH_PORT = 2200;
const RESOLVE_TIMEOUT_MS = 5_000;
/** Written last: the kernel has joined. */
const JOINED_FILE = 'cluster.json';
const SSH_FOLDER = 'ssh';
/** Below the folder that a kernel sees as its configuration. */
export const CLUSTER_PUBLIC_KEY = 'ssh/id_cluster.pub';

/** Hosts files of kernels begin with this. */
export const LOOPBACK_HOSTS = '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n';

/** Whether a kernel is one of several of its session. */
export const isClustered = (spec: Pick<KernelSpec, 'cluster'>): boolean => spec.cluster.size > 1;

/**
 * The loopback address by which kernels on one host, whose network they share, reach each other:
 * the same wherever it is asked for, different for different kernels, and none that hosts use.
 */
export function loopbackOf(kernelId: string): string {
  const [a = 0, b = 0, c = 0] = createHash('sha256').update(kernelId).digest();
  return `127.${64 + (a % 128)}.${b}.${1 + (c % 254)}`;
}

/**
 * The address of a kernel whose network is the host's. Programs of one cluster's kernels tell each
 * other apart by it, though the network is one.
 */
export const ownAddress = (spec: KernelSpec): string =>
  isClustered(spec) ? loopbackOf(spec.kernelId) : '127.0.0.1';

/** How the SSH server of a kernel is reached; `host` null means by its name. */
export interface SshTarget {
  readonly hostname: string;
  readonly host: string | null;
  readonly port: number | null;
}

/** The client's settings for one file of ssh_config(5). @param identity path of the private key. */
export function sshConfig(targets: readonly SshTarget[], identity: string): string {
  return targets
    .map(({ hostname, host, port }) =>
      [
        `Host ${hostname}`,
        ...(host === null ? [] : [`  HostName ${host}`]),
        `  Port ${port ?? SSH_PORT}`,
        `  IdentityFile ${identity}`,
        // The other end has its key since a moment ago; who it is, its network and this key say.
        '  StrictHostKeyChecking no',
        '  UserKnownHostsFile /dev/null',
        '  LogLevel ERROR',
        '',
      ].join('\n'),
    )
    .join('\n');
}

/** Lines of a hosts file. */
export const hostLines = (addresses: readonly (readonly [string, string])[]): string =>
  addresses.map(([address, hostname]) => `${address} ${hostname}\n`).join('');

async function addressOf(host: string): Promise<string> {
  if (isIP(host) !== 0) return host;
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('it took too long')), RESOLVE_TIMEOUT_MS);
  try {
    return (await Promise.race([late, lookup(host)])).address;
  } catch (error) {
    throw new Error(
      `The host '${host}', on which a kernel of the session is, cannot be resolved here: ${errorMessage(error)}. Set advertised-host or bind-host of its agent to an address.`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The addresses of the given kernels' hosts, by kernel name.
 * @throws Error naming a host that cannot be resolved.
 */
export async function hostAddresses(peers: readonly Peer[]): Promise<[string, string][]> {
  const hosts = [...new Set(peers.map(({ host }) => host))];
  const known = new Map(
    await Promise.all(hosts.map(async (host) => [host, await addressOf(host)] as const)),
  );
  return peers.map(({ host, hostname }) => [known.get(host) ?? host, hostname]);
}

/**
 * The addresses of kernels whose network is their host's, by kernel name: loopback addresses while all
 * are on this host, else the addresses of their hosts.
 * @throws Error naming a host that cannot be resolved.
 */
export async function sharedAddresses(
  spec: KernelSpec,
  peers: readonly Peer[],
): Promise<(readonly [string, string])[]> {
  const own = peers.find(({ kernelId }) => kernelId === spec.kernelId)?.host;
  return peers.every(({ isNeighbour, host }) => isNeighbour || host === own)
    ? peers.map(({ kernelId, hostname }) => [loopbackOf(kernelId), hostname] as const)
    : await hostAddresses(peers);
}

/** How the SSH servers of kernels whose network is their host's are reached. */
export const sharedTargets = (peers: readonly Peer[]): SshTarget[] =>
  peers.map(({ hostname, host, sshPort }) => ({ hostname, host, port: sshPort }));

async function place(path: string, text: string, mode: number, owner: HomeOwner | null) {
  const draft = `${path}.new`;
  await writeFile(draft, text, { mode });
  // Not subject to the umask.
  await chmod(draft, mode);
  if (owner !== null) await chown(draft, owner.uid, owner.gid);
  await rename(draft, path);
}

/**
 * Writes the session's key pair. Nothing for a single kernel.
 * @param folder what the kernel sees as its configuration, on the host.
 * @param owner whose the private key is; null: the agent's own user.
 */
export async function writeClusterKey(
  folder: string,
  spec: KernelSpec,
  owner: HomeOwner | null,
): Promise<void> {
  const { sshKeypair } = spec.cluster;
  if (sshKeypair === null) return;
  const ssh = join(folder, SSH_FOLDER);
  await mkdir(ssh, { recursive: true });
  await chmod(ssh, 0o755);
  await place(join(ssh, 'id_cluster'), sshKeypair.privateKey, 0o600, owner);
  await place(join(ssh, 'id_cluster.pub'), sshKeypair.publicKey, 0o644, owner);
}

/**
 * Has the user's SSH client read what `writeJoin` writes, before the user's own settings. A folder
 * mounted at ~/.ssh is the user's and stays as it is.
 * @param home the kernel's home folder on the host; nobody else writes there yet.
 * @param seen where the kernel sees its configuration.
 */
export async function includeSshConfig(
  home: string,
  spec: KernelSpec,
  options: {
    readonly owner: HomeOwner | null;
    readonly seen: string;
    readonly binds: readonly Pick<FolderBind, 'target'>[];
  },
): Promise<void> {
  const { owner, seen, binds } = options;
  const isMounted = binds.some(({ target }) => target === '/home/work/.ssh');
  if (spec.cluster.sshKeypair === null || isMounted) return;
  const folder = join(home, '.ssh');
  const path = join(folder, 'config');
  await mkdir(folder, { recursive: true });
  await chmod(folder, 0o700);
  if (owner !== null) await chown(folder, owner.uid, owner.gid);
  const own = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  await place(path, `Include ${seen}/${SSH_FOLDER}/config\n${own}`, 0o600, owner);
}

/**
 * Writes where the kernels of the session are.
 * @param folder as in `writeClusterKey`. @param seen where the kernel sees it.
 */
export async function writeJoin(
  folder: string,
  spec: KernelSpec,
  targets: readonly SshTarget[],
  seen: string,
): Promise<void> {
  const ssh = join(folder, SSH_FOLDER);
  await mkdir(ssh, { recursive: true });
  const mapped = targets.flatMap(({ hostname, host, port }) =>
    host === null || port === null ? [] : [[hostname, [host, port]] as const],
  );
  const { mode, size } = spec.cluster;
  await place(
    join(ssh, 'config'),
    sshConfig(targets, `${seen}/${SSH_FOLDER}/id_cluster`),
    0o644,
    null,
  );
  await place(
    join(ssh, 'port-mapping.json'),
    JSON.stringify(Object.fromEntries(mapped)),
    0o644,
    null,
  );
  const summary = { mode, size, hosts: targets };
  await place(join(folder, JOINED_FILE), JSON.stringify(summary), 0o644, null);
}

export const hasJoined = async (folder: string): Promise<boolean> =>
  (await stat(join(folder, JOINED_FILE)).catch(() => null)) !== null;
