/** Starts and ends the services of kernels, and says where they are reached. */
import { BackendError } from '../common/errors.ts';
import type { ServicePort } from '../common/protocol/kernel.ts';
import type { ServiceOffer, ServiceOptions, ServicePlace } from '../common/protocol/service.ts';
import type { KernelRegistry } from './kernels.ts';

/** A little more than the runner waits for a service's port. */
const START_TIMEOUT_MS = 40_000;

/** @throws BackendError AppNotFound naming what there is; KernelNotReady. */
function portOf(
  registry: KernelRegistry,
  kernelId: string,
  service: string,
): { port: ServicePort; host: string } {
  const created = registry.get(kernelId)?.created;
  const port = created?.servicePorts.find(({ name }) => name === service);
  if (created && port) return { port, host: created.kernelHost };
  const known = created?.servicePorts.map(({ name }) => name).join(', ') || 'none';
  throw new BackendError(
    'AppNotFound',
    `The session has no app called '${service}'; there are: ${known}.`,
  );
}

/** Starts a service unless it runs. @throws BackendError AppNotFound; the runner's. */
export async function startService(
  registry: KernelRegistry,
  { kernelId, service, options }: { kernelId: string; service: string; options: ServiceOptions },
): Promise<ServicePlace> {
  const runner = registry.runner(kernelId);
  const { port, host } = portOf(registry, kernelId, service);
  const { protocol, container_ports: containerPorts } = port;
  const hostPorts = port.host_ports.filter((number) => number !== null);
  const { status } = await runner.call(
    { op: 'start-service', name: service, protocol, ports: containerPorts, options },
    { timeoutMs: START_TIMEOUT_MS },
  );
  return { status, protocol, host, containerPorts, hostPorts };
}

/** Ends a service; harmless when it does not run. @throws BackendError AppNotFound. */
export async function shutdownService(
  registry: KernelRegistry,
  { kernelId, service }: { kernelId: string; service: string },
): Promise<null> {
  const runner = registry.runner(kernelId);
  portOf(registry, kernelId, service);
  return await runner.call({ op: 'stop-service', name: service });
}

/** The ports together with what the image's definitions offer for them. */
export function withOffers(
  ports: readonly ServicePort[],
  offers: readonly (ServiceOffer & { readonly name: string })[],
): ServicePort[] {
  const byName = new Map(offers.map(({ name, ...offer }) => [name, offer]));
  return ports.map((port) => ({ ...port, ...byName.get(port.name) }));
}
