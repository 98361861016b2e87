/** Writes the files a kernel needs and describes its container. */
import { chown, readFile, writeFile } from 'node:fs/promises';
import type { ContainerCreateOptions } from 'dockerode';
import type { DockerEngine } from '../../../common/docker/engine.ts';
import { errorCode } from '../../../common/errors.ts';
import { tagOfCanonical } from '../../../common/images/docker.ts';
import type { KernelSpec, ServicePort } from '../../../common/protocol/kernel.ts';
import { shieldVariables } from '../../../common/protocol/runner.ts';
import type { Grant } from '../../resources/grant.ts';
import type { Peer } from '../backend.ts';
import {
  hostAddresses,
  hostLines,
  includeSshConfig,
  isClustered,
  LOOPBACK_HOSTS,
  ownAddress,
  sharedAddresses,
  sharedTargets,
  writeClusterKey,
  writeJoin,
} from '../cluster-files.ts';
import { writeDotfiles } from '../dotfiles.ts';
import { type FolderBind, folderBinds, makeMountPoints } from '../folder-mounts.ts';
import { accountFiles } from './accounts.ts';
import { hasClusterNetwork, networkName } from './cluster-networks.ts';
import { containerSpec } from './container-spec.ts';
import type { DaemonTraits } from './daemon.ts';
import {
  CONFIG_MOUNT,
  kernelEnvironment,
  runnerVariables,
  writeKernelFiles,
} from './kernel-files.ts';
import { isSelf, type KernelLayout, type Owner, writeRecord } from './layout.ts';
import type { Prepared } from './preparation.ts';

export interface KernelParts {
  readonly spec: KernelSpec;
  readonly grant: Grant;
  readonly layout: KernelLayout;
  readonly owner: Owner;
  readonly imageId: string;
  readonly servicePorts: ServicePort[];
  readonly isolationGaps: string[];
  readonly agentId: string;
  readonly instance: string;
  readonly stateDir: string;
  readonly kernelHost: string;
  readonly bindHost: string;
  readonly daemon: DaemonTraits;
  readonly prepared: Prepared;
}

/**
 * What a kernel in its host's network reads of the host's names: all of them, after its own.
 * @param addresses of the kernels of its session.
 */
async function sharedHosts(addresses: readonly (readonly [string, string])[]): Promise<string> {
  const host = await readFile('/etc/hosts', 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return '';
    throw error;
  });
  return LOOPBACK_HOSTS + hostLines(addresses) + host;
}

/** Where the daemon's own hosts file would not do. */
async function writeHosts(layout: KernelLayout, spec: KernelSpec): Promise<void> {
  const { hostname } = spec.cluster;
  if (spec.useHostNetwork) {
    const text = await sharedHosts([[ownAddress(spec), hostname]]);
    await writeFile(layout.hosts, text, { mode: 0o644 });
  } else if (isClustered(spec)) {
    await writeFile(layout.hosts, LOOPBACK_HOSTS, { mode: 0o644 });
  }
}

/** The places for folders in the container's /home/work, which else the daemon would make as root. */
async function ownMountPoints(layout: KernelLayout, owner: Owner, binds: readonly FolderBind[]) {
  const made = await makeMountPoints(layout.work, binds);
  const isOther = process.getuid?.() !== owner.uid || process.getgid?.() !== owner.gid;
  for (const path of isOther ? made : []) await chown(path, owner.uid, owner.gid);
}

/**
 * @returns the request that creates the container.
 * @throws Error naming a folder that cannot be mounted.
 */
export async function prepareKernel(
  engine: DockerEngine,
  parts: KernelParts,
): Promise<ContainerCreateOptions> {
  const { spec, grant, layout, owner, instance, stateDir, imageId, kernelHost } = parts;
  const { servicePorts, isolationGaps, prepared } = parts;
  const environment = kernelEnvironment(spec, owner, grant);
  const folders = await folderBinds(spec);
  await ownMountPoints(layout, owner, folders);
  const given = isSelf(owner) ? null : owner;
  const [accounts] = await Promise.all([
    accountFiles(engine, { instance, stateDir, imageId, owner }),
    writeKernelFiles(layout, spec, grant, environment),
    writeDotfiles(layout.work, spec.dotfiles, given),
    writeClusterKey(layout.config, spec, given),
    writeHosts(layout, spec),
    writeRecord(layout, {
      version: 1,
      spec,
      allocations: grant.allocations,
      kernelHost,
      bindHost: parts.bindHost,
      servicePorts,
      isolationGaps,
    }),
  ]);
  await includeSshConfig(layout.work, spec, { owner: given, seen: CONFIG_MOUNT, binds: folders });
  return containerSpec({
    ...parts,
    ...prepared,
    network: hasClusterNetwork(spec) ? networkName(spec, instance) : null,
    image: tagOfCanonical(spec.image.canonical),
    environment: {
      ...shieldVariables(environment),
      ...runnerVariables(spec, servicePorts, parts.bindHost),
    },
    accounts,
    folders,
  });
}

/**
 * Tells a kernel where the others are. In the host's network that is their hosts. Else those on this agent are in its network, where the daemon resolves
 * their names; the SSH servers of the rest are reached at the ports that their hosts publish.
 */
export async function joinKernel(
  layout: KernelLayout,
  spec: KernelSpec,
  peers: readonly Peer[],
): Promise<void> {
  if (spec.useHostNetwork) {
    await writeFile(layout.hosts, await sharedHosts(await sharedAddresses(spec, peers)));
    await writeJoin(layout.config, spec, sharedTargets(peers), CONFIG_MOUNT);
    return;
  }
  const distant = await hostAddresses(peers.filter(({ isNeighbour }) => !isNeighbour));
  // Written in place: the container holds this very file.
  await writeFile(layout.hosts, LOOPBACK_HOSTS + hostLines(distant));
  const targets = peers.map(({ hostname, host, sshPort, isNeighbour }) => ({
    hostname,
    ...(isNeighbour ? { host: null, port: null } : { host, port: sshPort }),
  }));
  await writeJoin(layout.config, spec, targets, CONFIG_MOUNT);
}
