/** The ports of a kernel's services: what they are inside it and on its host. */
import type { ServicePort } from '../../common/protocol/kernel.ts';
import type { HostPorts } from './host-ports.ts';

/** A gap in the isolation of kernels that are not in a network of their own. */
export const SHARED_NETWORK = 'The network is shared with the host.';

const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);

/** The user's own programs open these ports, under the numbers that the user named. */
const isNamedByUser = ({ protocol }: ServicePort): boolean => protocol === 'preopen';

/**
 * In a network of the kernel's own, services keep their ports and each gets another on the host.
 * @throws BackendError InstanceNotAvailable when too few are free.
 */
export async function publishedPorts(
  ports: HostPorts,
  kernelId: string,
  services: readonly ServicePort[],
): Promise<ServicePort[]> {
  const counts = services.map((service) => service.container_ports.length);
  const taken = await ports.take(kernelId, total(counts));
  return services.map((service) => ({
    ...service,
    host_ports: taken.splice(0, service.container_ports.length),
  }));
}

/**
 * In the host's network a port is the same inside and outside, and services get ports that no other
 * kernel has.
 * @throws BackendError InstanceNotAvailable when too few are free.
 */
export async function sharedPorts(
  ports: HostPorts,
  kernelId: string,
  services: readonly ServicePort[],
): Promise<ServicePort[]> {
  const counts = services
    .filter((service) => !isNamedByUser(service))
    .map((service) => service.container_ports.length);
  const taken = await ports.take(kernelId, total(counts));
  return services.map((service) => {
    const count = service.container_ports.length;
    const own = isNamedByUser(service) ? service.container_ports : taken.splice(0, count);
    return { ...service, container_ports: own, host_ports: own };
  });
}

/** The port on which a kernel's runner serves what it offers by itself; empty when it has none. */
export const portText = (servicePorts: readonly ServicePort[], service: string): string =>
  String(servicePorts.find(({ name }) => name === service)?.container_ports[0] ?? '');

/** What of the host's ports to hold for a kernel with a network of its own. */
export const heldOfPublished = (servicePorts: readonly ServicePort[]): number[] =>
  servicePorts.flatMap((service) => service.host_ports).filter((port) => port !== null);

/** As `heldOfPublished`, for a kernel whose network is the host's. */
export const heldOfShared = (servicePorts: readonly ServicePort[]): number[] =>
  servicePorts
    .filter((service) => !isNamedByUser(service))
    .flatMap((service) => service.container_ports);
