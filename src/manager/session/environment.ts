/** The environment variables and ports of a session's kernels. Pure. */
import { BackendError } from '../../common/errors.ts';
import { RESERVED_PORTS, servicePortsOf } from '../../common/images/labels.ts';
import type { Caller } from '../http/route.ts';
import type { KernelPlace } from './cluster.ts';

export interface EnvironmentInput {
  readonly owner: Caller;
  readonly sudoEnabled: boolean;
  readonly sessionId: string;
  readonly sessionName: string;
  readonly image: { readonly canonical: string; readonly labels: Readonly<Record<string, string>> };
  readonly requested: Readonly<Record<string, string>>;
  readonly preopenPorts: readonly number[];
  readonly cluster: readonly KernelPlace[];
}

function replicas(cluster: readonly KernelPlace[]): string {
  const counts = new Map<string, number>();
  for (const { role } of cluster) counts.set(role, (counts.get(role) ?? 0) + 1);
  return [...counts].map(([role, count]) => `${role}:${count}`).join(',');
}

/** Everything a user's code sees; the platform's variables win over requested ones. */
export function kernelEnvironment(
  input: EnvironmentInput,
  place: KernelPlace,
): Record<string, string> {
  const { owner, cluster } = input;
  return {
    ...input.requested,
    ...(input.sudoEnabled ? { SUDO_SESSION_ENABLED: '1' } : {}),
    BACKENDAI_USER_UUID: owner.userId,
    BACKENDAI_USER_EMAIL: owner.email,
    BACKENDAI_USER_NAME: owner.username,
    BACKENDAI_ACCESS_KEY: owner.accessKey,
    BACKENDAI_SESSION_ID: input.sessionId,
    BACKENDAI_SESSION_NAME: input.sessionName,
    BACKENDAI_CLUSTER_SIZE: String(cluster.length),
    BACKENDAI_CLUSTER_REPLICAS: replicas(cluster),
    BACKENDAI_CLUSTER_HOSTS: cluster.map((item) => item.hostname).join(','),
    BACKENDAI_PREOPEN_PORTS: input.preopenPorts.join(','),
    BACKENDAI_KERNEL_ID: place.kernelId,
    BACKENDAI_KERNEL_IMAGE: input.image.canonical,
    BACKENDAI_CLUSTER_ROLE: place.role,
    BACKENDAI_CLUSTER_IDX: String(place.idx),
    BACKENDAI_CLUSTER_LOCAL_RANK: String(place.localRank),
    BACKENDAI_CLUSTER_HOST: place.hostname,
    BACKENDAI_SERVICE_PORTS: input.image.labels['ai.backend.service-ports'] ?? '',
  };
}

/**
 * @throws BackendError InvalidAPIParameters for ports that the platform or the image uses, or that
 *   are named twice; InvalidKernelConfig for ports out of range or a faulty label of the image.
 */
export function checkPreopenPorts(
  ports: readonly number[],
  labels: Readonly<Record<string, string>>,
): void {
  const taken = new Set(servicePortsOf(labels, []).flatMap((service) => service.container_ports));
  const seen = new Set<number>();
  for (const port of ports) {
    const problem = RESERVED_PORTS.has(port)
      ? 'is reserved for the platform'
      : taken.has(port)
        ? 'is used by a service of the image'
        : seen.has(port)
          ? 'is named twice'
          : null;
    if (problem) {
      throw new BackendError(
        'InvalidAPIParameters',
        `preopen_ports: ${port} ${problem}. Choose another port.`,
      );
    }
    seen.add(port);
  }
  // The agent will compute the same list; what it would refuse is refused here.
  servicePortsOf(labels, ports);
}
