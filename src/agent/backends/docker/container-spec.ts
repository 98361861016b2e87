/** The request that creates a kernel's container: pure, from what was decided about the kernel. */
import type { ContainerCreateOptions, HostConfig, MountSettings } from 'dockerode';
import { LABEL_PREFIX } from '../../../common/images/labels.ts';
import type { KernelSpec, ServicePort } from '../../../common/protocol/kernel.ts';
import type { Grant } from '../../resources/grant.ts';
import type { FolderBind } from '../folder-mounts.ts';
import type { AccountFiles } from './accounts.ts';
import type { DaemonTraits } from './daemon.ts';
import { CONFIG_MOUNT, hookTarget, SOCKET_MOUNT, WORK_MOUNT } from './kernel-files.ts';
import type { KernelLayout, Owner } from './layout.ts';
import { RUNNER_MOUNT, type RunnerFiles } from './runner-files.ts';

const MIN_SHM_BYTES = 1024 * 1024;
const MIN_TMP_BYTES = 64 * 1024 * 1024;
const NANO = 1e9;
const LOG_FILES = 5;
const NOFILE = 1_048_576;

const OWNER_LABEL = `${LABEL_PREFIX}owner`;
export const KERNEL_LABEL = `${LABEL_PREFIX}kernel-id`;
/** Which of several agents with the same id; see instance.ts. */
export const INSTANCE_LABEL = `${LABEL_PREFIX}internal.agent-instance`;
export const SESSION_LABEL = `${LABEL_PREFIX}session-id`;

export interface ContainerParts {
  readonly spec: KernelSpec;
  readonly agentId: string;
  readonly instance: string;
  /** The daemon's name of the image. */
  readonly image: string;
  readonly owner: Owner;
  readonly environment: Readonly<Record<string, string>>;
  readonly servicePorts: readonly ServicePort[];
  /** Address of the host that service ports are bound to. */
  readonly bindHost: string;
  readonly grant: Grant;
  readonly layout: KernelLayout;
  readonly runner: RunnerFiles;
  readonly accounts: AccountFiles;
  readonly daemon: DaemonTraits;
  readonly limits: ContainerLimits;
  /** Files of the host that containers read at the same place, such as its time zone. */
  readonly hostFiles: readonly string[];
  /** The network of the kernel's cluster; null: the daemon's default bridge, or the host's network. */
  readonly network: string | null;
  /** The user's folders, outer ones first. */
  readonly folders: readonly FolderBind[];
}

export interface ContainerLimits {
  /** Processes and threads in a container. */
  readonly pids: number;
  /** Size of the whole log. Bytes. */
  readonly logBytes: number;
  /** The host's hard limits; null means none. */
  readonly openFiles: number | null;
  readonly lockedBytes: number | null;
}

/** `kernel.<image basename>.<kernel id>`. */
export function containerName({ image, kernelId }: { image: string; kernelId: string }): string {
  const last = image.slice(image.lastIndexOf('/') + 1).split(/[:@]/, 1)[0] ?? '';
  return `kernel.${last.replaceAll(/[^\w.-]/g, '_')}.${kernelId}`;
}

const servicePortsLabel = (ports: readonly ServicePort[]): string =>
  ports
    .map(({ name, protocol, container_ports: inside }) => {
      const numbers = inside.length === 1 ? String(inside[0]) : `[${inside.join(',')}]`;
      return `${name}:${protocol}:${numbers}`;
    })
    .join(',');

function labelsOf({
  spec,
  agentId,
  instance,
  servicePorts,
}: ContainerParts): Record<string, string> {
  return {
    [`${LABEL_PREFIX}agent-id`]: agentId,
    [OWNER_LABEL]: agentId,
    [INSTANCE_LABEL]: instance,
    [KERNEL_LABEL]: spec.kernelId,
    [SESSION_LABEL]: spec.sessionId,
    [`${LABEL_PREFIX}owner-user-id`]: spec.ownerUserId,
    [`${LABEL_PREFIX}owner-project-id`]: spec.ownerProjectId,
    [`${LABEL_PREFIX}service-ports`]: servicePortsLabel(servicePorts),
    [`${LABEL_PREFIX}internal.block-service-ports`]: '0',
  };
}

function mountsOf({
  spec,
  layout,
  grant,
  runner,
  accounts,
  hostFiles,
  network,
  folders,
}: ContainerParts): MountSettings[] {
  const bind = (source: string, target: string, isReadOnly: boolean): MountSettings => ({
    Type: 'bind',
    Source: source,
    Target: target,
    ReadOnly: isReadOnly,
  });
  return [
    bind(layout.config, CONFIG_MOUNT, true),
    bind(layout.work, WORK_MOUNT, false),
    bind(layout.socketFolder, SOCKET_MOUNT, false),
    bind(runner.folder, RUNNER_MOUNT, true),
    bind(accounts.passwd, '/etc/passwd', true),
    bind(accounts.group, '/etc/group', true),
    // In a network of its own the daemon still resolves the names of those on the same agent.
    ...(network === null && !spec.useHostNetwork ? [] : [bind(layout.hosts, '/etc/hosts', true)]),
    ...hostFiles.map((path) => bind(path, path, true)),
    ...grant.attachment.hooks.map((path) => bind(path, hookTarget(path), true)),
    ...folders.map(({ source, target, readOnly }) => bind(source, target, readOnly)),
  ];
}

interface Ports {
  readonly exposed: Record<string, Record<string, never>>;
  readonly bindings: Record<string, { HostIp: string; HostPort: string }[]>;
}

function portsOf({ spec, servicePorts, bindHost }: ContainerParts): Ports {
  const ports: Ports = { exposed: {}, bindings: {} };
  // The services listen on the host's ports themselves.
  if (spec.useHostNetwork) return ports;
  for (const { container_ports: inside, host_ports: outside } of servicePorts) {
    for (const [index, port] of inside.entries()) {
      const hostPort = outside[index];
      if (hostPort == null) continue;
      ports.exposed[`${port}/tcp`] = {};
      ports.bindings[`${port}/tcp`] = [{ HostIp: bindHost, HostPort: String(hostPort) }];
    }
  }
  return ports;
}

const clamp = (wanted: number | null, hard: number | null): number => {
  if (hard === null) return wanted ?? -1;
  return wanted === null ? hard : Math.min(wanted, hard);
};

function networkMode({ spec, network }: ContainerParts): Pick<HostConfig, 'NetworkMode'> {
  if (spec.useHostNetwork) return { NetworkMode: 'host' };
  return network === null ? {} : { NetworkMode: network };
}

function hostConfig(parts: ContainerParts, bindings: Ports['bindings']): HostConfig {
  const { spec, grant, daemon, limits } = parts;
  const { cpuIds } = grant;
  const memoryBytes = spec.slots.mem === undefined ? null : Number(spec.slots.mem);
  const cpus = spec.slots.cpu === undefined ? null : Number(spec.slots.cpu);
  const openFiles = clamp(NOFILE, limits.openFiles);
  const locked = clamp(null, limits.lockedBytes);
  const tmpBytes = Math.max(MIN_TMP_BYTES, Math.floor((memoryBytes ?? 0) / 2));
  return {
    Init: true,
    Privileged: false,
    PublishAllPorts: false,
    PortBindings: bindings,
    ...networkMode(parts),
    RestartPolicy: { Name: 'no' },
    // What upstream gives user programs; everything else is dropped.
    CapDrop: ['ALL'],
    CapAdd: ['IPC_LOCK', 'SYS_NICE'],
    SecurityOpt: ['no-new-privileges'],
    ...(memoryBytes !== null && daemon.memoryLimit
      ? { Memory: memoryBytes, ...(daemon.swapLimit ? { MemorySwap: memoryBytes } : {}) }
      : {}),
    ...(cpus !== null && daemon.cpuLimit ? { NanoCpus: Math.round(cpus * NANO) } : {}),
    ...(cpuIds.length > 0 && daemon.cpuPinning ? { CpusetCpus: cpuIds.join(',') } : {}),
    ...(daemon.pidsLimit ? { PidsLimit: limits.pids } : {}),
    ShmSize: Math.max(spec.shmemBytes, MIN_SHM_BYTES),
    Ulimits: [
      { Name: 'nofile', Soft: openFiles, Hard: openFiles },
      { Name: 'memlock', Soft: locked, Hard: locked },
      { Name: 'core', Soft: 0, Hard: 0 },
    ],
    Tmpfs: { '/tmp': `rw,exec,nosuid,nodev,mode=1777,size=${tmpBytes}` },
    Mounts: mountsOf(parts),
    ...deviceRequests(grant),
    LogConfig: logConfig(daemon, limits.logBytes),
  };
}

/** Devices that the daemon's drivers attach. */
function deviceRequests({ attachment }: Grant): Pick<HostConfig, 'DeviceRequests'> {
  if (attachment.deviceRequests.length === 0) return {};
  return {
    DeviceRequests: attachment.deviceRequests.map(({ driver, deviceIds, capabilities }) => ({
      Driver: driver,
      DeviceIDs: [...deviceIds],
      Capabilities: [[...capabilities]],
    })),
  };
}

function logConfig(daemon: DaemonTraits, logBytes: number): HostConfig['LogConfig'] {
  // Podman has no driver of this name, and keeps one file.
  if (daemon.isPodman) return { Type: 'k8s-file', Config: { 'max-size': String(logBytes) } };
  const size = String(Math.max(1, Math.floor(logBytes / LOG_FILES)));
  return {
    Type: 'local',
    Config: { 'max-size': size, 'max-file': String(LOG_FILES), compress: 'false' },
  };
}

/** The name by which the other kernels of the cluster find this one. */
function networkingOf({
  spec,
  network,
}: ContainerParts): Pick<ContainerCreateOptions, 'NetworkingConfig'> {
  if (network === null) return {};
  const Aliases = [spec.cluster.hostname];
  return { NetworkingConfig: { EndpointsConfig: { [network]: { Aliases } } } };
}

/** The body of the request, its name included. */
export function containerSpec(parts: ContainerParts): ContainerCreateOptions {
  const { spec, image, owner, environment, runner, daemon } = parts;
  const { exposed, bindings } = portsOf(parts);
  return {
    name: containerName({ image, kernelId: spec.kernelId }),
    Image: image,
    Entrypoint: [...runner.command],
    Cmd: [],
    Env: Object.entries(environment).map(([name, value]) => `${name}=${value}`),
    WorkingDir: WORK_MOUNT,
    Hostname: spec.cluster.hostname,
    User: `${owner.uid}:${owner.gid}`,
    Labels: labelsOf(parts),
    Tty: false,
    OpenStdin: false,
    // The runner takes it as a request to end its programs; Ctrl-C is for these.
    StopSignal: 'SIGTERM',
    // Podman takes this for a check to run.
    ...(daemon.isPodman ? {} : { Healthcheck: { Test: ['NONE'] } }),
    ExposedPorts: exposed,
    HostConfig: hostConfig(parts, bindings),
    ...networkingOf(parts),
  };
}
