/** How the kernels of a session are laid out: roles, replicas, names, and what each asks for. Pure. */
import { BackendError } from '../../common/errors.ts';
import { addSlots, type Slots } from '../../common/slots.ts';
import { type AgentCapacity, checkServable } from './resources.ts';
import type { EnqueueRequest, RoleRequest } from './types.ts';

/** Most kernels in one session, whatever the policies allow. */
export const MAX_CLUSTER_SIZE = 1000;
/** Begins with a letter and ends with one, so that `sub1` is the first kernel of one role only. */
const ROLE = /^[a-z](?:[a-z0-9-]{0,14}[a-z])?$/;

const invalid = (message: string) => new BackendError('InvalidAPIParameters', message);

/** One kernel's place in its session. */
export interface KernelPlace {
  readonly kernelId: string;
  readonly role: string;
  /** Within the role, from 1. */
  readonly idx: number;
  /** Within the session, from 0. */
  readonly localRank: number;
  readonly hostname: string;
}

function checkRoles(roles: readonly RoleRequest[]): void {
  for (const { role, replicas } of roles) {
    if (!ROLE.test(role)) {
      throw invalid(
        `'${role}' is not a role. Use up to 16 lower-case letters, digits and "-", with a letter at both ends.`,
      );
    }
    if (!Number.isInteger(replicas) || replicas < 1) {
      throw invalid(`replicas of role '${role}': at least 1.`);
    }
  }
  if (new Set(roles.map(({ role }) => role)).size < roles.length) {
    throw invalid('Each role of a cluster is named once; use replicas for several kernels alike.');
  }
  if (roles.find(({ role }) => role === 'main')?.replicas !== 1) {
    throw invalid("A session has exactly one kernel of the role 'main'.");
  }
}

/**
 * The roles of a session, `main` first. A request that names none has `main` and, for the rest of
 * its size, `sub`, all alike.
 * @throws BackendError InvalidAPIParameters saying what is wrong with the roles.
 */
export function rolesOf(request: EnqueueRequest): RoleRequest[] {
  const roles = request.roles ?? [];
  if (roles.length > 0) {
    checkRoles(roles);
    return [...roles].sort((a, b) => Number(b.role === 'main') - Number(a.role === 'main'));
  }
  const { image, architecture, resources, resourceOpts, environ } = request;
  const { bootstrapScript, startupCommand, preopenPorts } = request;
  const alike = {
    ...{ image, architecture, resources, resourceOpts, environ },
    ...{ bootstrapScript, startupCommand, preopenPorts },
  };
  const main = { ...alike, role: 'main', replicas: 1 };
  const replicas = request.clusterSize - 1;
  return replicas > 0 ? [main, { ...alike, role: 'sub', replicas }] : [main];
}

/** Kernels of all roles together. */
export const clusterSizeOf = (roles: readonly { readonly replicas: number }[]): number =>
  roles.reduce((sum, { replicas }) => sum + replicas, 0);

/** The places of all kernels, role by role. @param kernelId makes an id. */
export function placesOf(
  roles: readonly Pick<RoleRequest, 'role' | 'replicas'>[],
  kernelId: () => string,
): KernelPlace[] {
  const places: KernelPlace[] = [];
  for (const { role, replicas } of roles) {
    for (let idx = 1; idx <= replicas; idx += 1) {
      const localRank = places.length;
      places.push({ kernelId: kernelId(), role, idx, localRank, hostname: `${role}${idx}` });
    }
  }
  return places;
}

/** What the kernels of one role need of an agent. */
export interface RoleDemand {
  readonly role: string;
  readonly replicas: number;
  /** Of each kernel. */
  readonly slots: Slots;
  readonly architecture: string;
}

/** What all kernels ask for together. */
export function totalDemand(demands: readonly RoleDemand[]): Slots {
  return demands.reduce<Slots>((sum, { slots, replicas }) => {
    const times = BigInt(replicas);
    return addSlots(sum, new Map([...slots].map(([slot, amount]) => [slot, amount * times])));
  }, new Map());
}

/**
 * Refuses what the agents of the group could never run, even when idle.
 * @throws BackendError InvalidAPIParameters naming what is missing.
 */
export function checkClusterServable(
  demands: readonly RoleDemand[],
  mode: EnqueueRequest['clusterMode'],
  group: string,
  agents: readonly AgentCapacity[],
): void {
  const [first] = demands;
  if (!first) return;
  const architectures = new Set(demands.map(({ architecture }) => architecture));
  if (mode === 'multi-node' || clusterSizeOf(demands) === 1) {
    for (const { slots, architecture } of demands) {
      checkServable(slots, architecture, group, agents);
    }
    return;
  }
  if (architectures.size > 1) {
    throw invalid(
      `The kernels of a single-node session share an agent, but their images are made for ${[...architectures].join(' and ')}. Use multi-node, or images of one architecture.`,
    );
  }
  const kernels = clusterSizeOf(demands);
  checkServable(totalDemand(demands), first.architecture, group, agents, kernels);
}
