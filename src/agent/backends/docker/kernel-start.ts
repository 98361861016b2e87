/** Writes the files a kernel needs and describes its container. */
import { chown } from 'node:fs/promises';
import type { ContainerCreateOptions } from 'dockerode';
import type { DockerEngine } from '../../../common/docker/engine.ts';
import { tagOfCanonical } from '../../../common/images/docker.ts';
import type { KernelSpec, ServicePort } from '../../../common/protocol/kernel.ts';
import { shieldVariables } from '../../../common/protocol/runner.ts';
import { writeDotfiles } from '../dotfiles.ts';
import { type FolderBind, folderBinds, makeMountPoints } from '../folder-mounts.ts';
import { accountFiles } from './accounts.ts';
import { containerSpec } from './container-spec.ts';
import type { DaemonTraits } from './daemon.ts';
import { kernelEnvironment, runnerVariables, writeKernelFiles } from './kernel-files.ts';
import { isSelf, type KernelLayout, type Owner, writeRecord } from './layout.ts';
import type { Prepared } from './preparation.ts';

export interface KernelParts {
  readonly spec: KernelSpec;
  readonly cpuIds: readonly number[];
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
  const { spec, cpuIds, layout, owner, instance, stateDir, imageId, kernelHost } = parts;
  const { servicePorts, isolationGaps, prepared } = parts;
  const environment = kernelEnvironment(spec, owner);
  const folders = await folderBinds(spec);
  await ownMountPoints(layout, owner, folders);
  const [accounts] = await Promise.all([
    accountFiles(engine, { instance, stateDir, imageId, owner }),
    writeKernelFiles(layout, spec, cpuIds, environment),
    writeDotfiles(layout.work, spec.dotfiles, isSelf(owner) ? null : owner),
    writeRecord(layout, {
      version: 1,
      spec,
      cpuIds: [...cpuIds],
      kernelHost,
      servicePorts,
      isolationGaps,
    }),
  ]);
  return containerSpec({
    ...parts,
    ...prepared,
    image: tagOfCanonical(spec.image.canonical),
    environment: { ...shieldVariables(environment), ...runnerVariables(spec) },
    accounts,
    folders,
  });
}
