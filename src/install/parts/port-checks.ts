/** Whether the ports that an installation needs are free: of its components, and of what compose starts for them. */
import { findInfo, type Layout } from '../layout.ts';
import { type InstallRequest, type Ports, usesCompose } from '../request.ts';
import type { Check } from '../step.ts';
import { portCheck, warning } from './checks.ts';
import { adopt, type ServiceSpec } from './services.ts';

/** The options of the components' ports: of those by which they are known to be ready. */
export const PORT_FLAGS: Readonly<Record<string, string>> = {
  mgr: '--manager-port',
  web: '--webserver-port',
  agent: '--agent-rpc-port',
  'sftp-agent': '--sftp-agent-rpc-port',
  storage: '--storage-manager-port',
  proxy: '--app-proxy-port',
  'proxy-http': '--app-proxy-http-port',
  'proxy-tcp': '--app-proxy-tcp-port',
  'proxy-h2': '--app-proxy-h2-port',
};

interface OtherPort {
  readonly name: keyof Ports;
  readonly what: string;
  readonly flag: string;
  /** A component that does not get it goes on without it. */
  readonly isOptional?: boolean;
  readonly isUsed?: (request: InstallRequest) => boolean;
}

/** Of health and figures. */
const aside = (name: keyof Ports, what: string, flag: string): OtherPort => ({
  ...{ name, what, flag, isOptional: true },
});

/** Where components listen besides. */
const OTHERS: Readonly<Record<string, readonly OtherPort[]>> = {
  mgr: [{ name: 'managerInternal', what: 'manager, for agents', flag: '--manager-internal-port' }],
  agent: [aside('agentService', 'health of the agent', '--agent-service-port')],
  'sftp-agent': [
    aside('sftpAgentService', 'health of the agent for sftp', '--sftp-agent-service-port'),
  ],
  storage: [
    { name: 'storageClient', what: 'storage proxy, for clients', flag: '--storage-client-port' },
    aside('storageInternal', 'figures of the storage proxy', '--storage-internal-port'),
  ],
  web: [
    {
      ...aside('webInternal', 'figures of the web server', '--webserver-internal-port'),
      isUsed: ({ watch }) => watch === 'observability',
    },
  ],
  'proxy-http': [
    {
      ...{ name: 'appProxyWildcard', what: 'apps that have names' },
      flag: '--app-proxy-wildcard-port',
      isUsed: ({ appProxy }) => appProxy?.frontendMode === 'wildcard',
    },
  ],
};

/** What compose publishes. */
const OF_COMPOSE: readonly OtherPort[] = [
  { name: 'postgres', what: 'PostgreSQL of compose', flag: '--postgres-port' },
  { name: 'redis', what: 'Redis of compose', flag: '--redis-port' },
  { name: 'etcd', what: 'etcd of compose', flag: '--etcd-port' },
];

/** Those that the installation has already are its own. */
export function portChecks(
  request: InstallRequest,
  layout: Layout,
  services: readonly ServiceSpec[],
): Check[] {
  const before = findInfo(layout);
  const ofComponents = services.flatMap((spec) => {
    const isOurs = () => adopt(layout, spec) !== null;
    const first = { port: spec.port, what: spec.title.toLowerCase() };
    const others = (OTHERS[spec.name] ?? []).filter(({ isUsed }) => isUsed?.(request) ?? true);
    return [
      portCheck(first.port, first.what, PORT_FLAGS[spec.name] ?? '', isOurs),
      ...others.map(({ name, what, flag, isOptional = false }) =>
        warning(portCheck(request.ports[name], what, flag, isOurs), isOptional),
      ),
    ];
  });
  const ofCompose = OF_COMPOSE.map(({ name, what, flag }) =>
    portCheck(
      request.ports[name],
      what,
      flag,
      () => before?.halfstack === 'compose' && before.ports[name] === request.ports[name],
    ),
  );
  return [...ofComponents, ...(usesCompose(request) ? ofCompose : [])];
}
