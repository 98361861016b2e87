/** How the docker backend is opened, and what follows from it. */
import type { Clock } from '../../../common/clock.ts';
import type { Logger } from '../../../common/logger.ts';
import { systemRandom } from '../../../common/random.ts';
import { ORDINARY_USER } from '../../settings.ts';
import { HostPorts } from '../host-ports.ts';
import type { Owner } from './layout.ts';

export interface DockerBackendOptions {
  agentId: string;
  /** The daemon's Unix socket. */
  socketPath: string;
  /** The agent's own folder. */
  stateDir: string;
  /** Absolute path of the folder that holds each kernel's /home/work. */
  scratchRoot: string;
  clock: Clock;
  log: Logger;
  /** Host under which service ports are reachable, as told to others. */
  kernelHost: string;
  /** Address that service ports are bound to. */
  bindHost: string;
  portRange: readonly [number, number];
  portReuseCooldownMs: number;
  /** null: the agent's own, or 1000 when that is root. */
  kernelUid: number | null;
  kernelGid: number | null;
  /** Size of a kernel's whole log. Bytes. */
  logBytes: number;
  /** Absolute path of the folder that archives of containers are written to. */
  commitFolder: string;
  /** Keeps containers of ended kernels, to look into them. */
  keepEnded?: boolean;
  /** Processes and threads in one kernel. */
  pidsLimit?: number;
}

/** The ids that kernels run with. */
export function ownerOf({ kernelUid, kernelGid }: DockerBackendOptions): Owner {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  const own = uid === 0 ? ORDINARY_USER : { uid, gid };
  return { uid: kernelUid ?? own.uid, gid: kernelGid ?? own.gid };
}

/** Agents that share a host begin anywhere in the range: else all would try the first ports first. */
export const hostPortsOf = (options: DockerBackendOptions): HostPorts =>
  new HostPorts({
    range: options.portRange,
    cooldownMs: options.portReuseCooldownMs,
    bindHost: options.bindHost,
    clock: options.clock,
    random: systemRandom,
  });
