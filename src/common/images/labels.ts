/** Reads the `ai.backend.*` labels of images: service ports, runtime, features, minimum resources. */
import { BackendError } from '../errors.ts';
import type { ServicePort } from '../protocol/kernel.ts';

export const LABEL_PREFIX = 'ai.backend.';
/** `user:<id>` of the one person who may use the image; absent from images for everybody. */
export const CUSTOMIZED_OWNER_LABEL = `${LABEL_PREFIX}customized-image.owner`;

type Labels = Readonly<Record<string, string>>;

/** The CPU architecture of this host as images name it. */
export function hostArchitecture(): string {
  const names: Record<string, string> = { x64: 'x86_64', arm64: 'aarch64' };
  return names[process.arch] ?? process.arch;
}

/** How the runner picks its default language, and the interpreter it uses (empty: its own choice). */
export function runtimeOf(labels: Labels): { type: string; path: string } {
  return {
    type: labels[`${LABEL_PREFIX}runtime-type`] ?? 'app',
    path: labels[`${LABEL_PREFIX}runtime-path`] ?? '',
  };
}

/** Environment variables that the image wants set to the number of cores. */
export const coreCountVariables = (labels: Labels): string[] =>
  (labels[`${LABEL_PREFIX}envs.corecount`] ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');

/** Ports that the runner and its services use themselves. */
export const RESERVED_PORTS: ReadonlySet<number> = new Set([2000, 2001, 2002, 2003, 2200, 7681]);
const PROTOCOLS = ['http', 'tcp', 'preopen', 'vnc', 'rdp', 'pty'] as const;

const invalid = (item: string, reason: string): BackendError =>
  new BackendError('InvalidKernelConfig', `The image's service port '${item}' ${reason}.`);

function parsePorts(item: string, text: string): number[] {
  const inner = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
  return inner.split(',').map((part) => {
    const port = Number(part.trim());
    if (!Number.isInteger(port)) throw invalid(item, 'has a port that is not a number');
    if (port <= 1024 || port >= 65535) throw invalid(item, 'must lie between 1025 and 65534');
    if (RESERVED_PORTS.has(port)) throw invalid(item, 'is reserved for the session itself');
    return port;
  });
}

/**
 * Parses a `service-ports` label such as `jupyter:http:8070,db:tcp:[5432,5433]`. Entries with the
 * protocol `pty` carry no port of their own and are left out.
 * @throws BackendError InvalidKernelConfig naming the entry that is wrong.
 */
export function parseServicePorts(label: string): ServicePort[] {
  const services: ServicePort[] = [];
  const names = new Set<string>();
  const ports = new Set<number>();
  const items = label.match(/[^,[\]]+(?:\[[^\]]*\])?/g) ?? [];
  for (const item of items.map((part) => part.trim()).filter((part) => part !== '')) {
    const match = /^([\w-]+):(\w+):(.+)$/.exec(item);
    if (!match) throw invalid(item, 'is not of the form name:protocol:port');
    const [, name = '', protocolName = '', portText = ''] = match;
    const protocol = PROTOCOLS.find((known) => known === protocolName);
    if (!protocol) throw invalid(item, `has an unknown protocol; known: ${PROTOCOLS.join(', ')}`);
    if (names.has(name)) throw invalid(item, 'has a name used before');
    names.add(name);
    if (protocol === 'pty') continue;
    const containerPorts = parsePorts(item, portText);
    for (const port of containerPorts) {
      if (ports.has(port)) throw invalid(item, 'has a port used before');
      ports.add(port);
    }
    services.push({
      name,
      protocol,
      container_ports: containerPorts,
      host_ports: containerPorts.map(() => null),
      is_inference: false,
    });
  }
  return services;
}

/** What the runner itself serves in every session. */
export const SSH_SERVICE = { name: 'sshd', protocol: 'tcp', port: 2200 } as const;
export const TERMINAL_SERVICE = { name: 'ttyd', protocol: 'http', port: 7681 } as const;

/** The services that every session has from the runner. */
export const sessionServices = (): ServicePort[] =>
  [SSH_SERVICE, TERMINAL_SERVICE].map(({ name, protocol, port }) => ({
    name,
    protocol,
    container_ports: [port],
    host_ports: [null],
    is_inference: false,
  }));

/** The services of a kernel: those of its image, and the ports its owner asked to open. */
export function servicePortsOf(labels: Labels, preopenPorts: readonly number[]): ServicePort[] {
  const services = parseServicePorts(labels[`${LABEL_PREFIX}service-ports`] ?? '');
  const taken = new Set(services.flatMap((service) => service.container_ports));
  for (const port of preopenPorts) {
    if (taken.has(port)) throw invalid(String(port), 'is opened by the image already');
    services.push({
      name: String(port),
      protocol: 'preopen',
      container_ports: parsePorts(String(port), String(port)),
      host_ports: [null],
      is_inference: false,
    });
  }
  return services;
}
