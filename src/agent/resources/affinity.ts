/**
 * In which order the devices of a family are considered for a kernel: near to one another, and near to
 * what the kernel was given before. Two devices are near when they belong to the same NUMA node.
 */
import type { Device } from '../../accelerator/family.ts';

/** Whether the first devices of a kernel come from one node as far as possible, or from each in turn. */
export type AffinityPolicy = 'INTERLEAVED' | 'PREFER_SINGLE_NODE';

export interface Candidate {
  readonly device: Device;
  /** Millionths. */
  readonly used: bigint;
}

export interface Affinity {
  readonly policy: AffinityPolicy;
  /** Nodes of the devices that the kernel was given before; empty: none yet. */
  readonly nodes: ReadonlySet<number>;
}

const freeOf = ({ device, used }: Candidate): bigint => device.amount - used;

const byFreedom = (a: Candidate, b: Candidate): number => {
  const [freeA, freeB] = [freeOf(a), freeOf(b)];
  return freeA === freeB ? 0 : freeA > freeB ? -1 : 1;
};

const usedOf = (candidates: readonly Candidate[]): bigint =>
  candidates.reduce((sum, { used }) => sum + used, 0n);

/** The first of each group, then the second of each, and so on. */
function interleave<T>(groups: readonly (readonly T[])[]): T[] {
  const longest = Math.max(0, ...groups.map((group) => group.length));
  return Array.from({ length: longest }, (_, index) =>
    groups.flatMap((group) => group.slice(index, index + 1)),
  ).flat();
}

export interface Order {
  /** Those to be taken first in front; within a node the freest comes first. */
  readonly candidates: readonly Candidate[];
  /** How many of the first are near to what the kernel has; all while it has nothing. */
  readonly near: number;
}

export function inOrder(candidates: readonly Candidate[], affinity: Affinity): Order {
  const { policy, nodes } = affinity;
  const isNear = ({ device }: Candidate) => device.numaNode !== null && nodes.has(device.numaNode);
  const near = candidates.filter(isNear);
  const isFirst = near.length === 0;
  const groups = [...Map.groupBy(isFirst ? candidates : near, ({ device }) => device.numaNode)]
    .map(([, group]) => group.toSorted(byFreedom))
    .sort((a, b) => (usedOf(a) === usedOf(b) ? 0 : usedOf(a) < usedOf(b) ? -1 : 1));
  const front = isFirst && policy === 'PREFER_SINGLE_NODE' ? groups.flat() : interleave(groups);
  const far = isFirst ? [] : candidates.filter((candidate) => !isNear(candidate));
  return { candidates: [...front, ...far.toSorted(byFreedom)], near: front.length };
}

/** The nodes to stay near to after these devices were given. */
export function nodesAfter(before: ReadonlySet<number>, given: readonly Device[]): Set<number> {
  const nodes = given.flatMap(({ numaNode }) => (numaNode === null ? [] : [numaNode]));
  return nodes.length > 0 ? new Set(nodes) : new Set(before);
}
