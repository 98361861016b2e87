/** Fields of ports. */
import type { InstallRequest, Ports } from '../request.ts';
import type { Group, ValueField } from './field.ts';

const LABELS: readonly (readonly [keyof Ports, string])[] = [
  ['manager', 'API'],
  ['managerInternal', 'API for agents'],
  ['web', 'Web page'],
  ['agentRpc', 'Agent'],
  ['agentService', 'Agent health'],
  ['storageClient', 'Folders'],
  ['storageManager', 'Storage proxy'],
];
const OF_SFTP_AGENT: readonly (readonly [keyof Ports, string])[] = [
  ['sftpAgentRpc', 'SFTP agent'],
  ['sftpAgentService', 'SFTP agent health'],
];
const OF_APP_PROXY: readonly (readonly [keyof Ports, string])[] = [
  ['appProxy', 'App proxy'],
  ['appProxyHttp', 'HTTP worker'],
  ['appProxyTcp', 'TCP worker'],
  ['appProxyH2', 'HTTP/2 worker'],
  ['appProxyWildcard', 'Apps with names'],
];
const OF_WATCHING: readonly (readonly [keyof Ports, string])[] = [
  ['webInternal', 'Web figures'],
  ['storageInternal', 'Storage figures'],
  ['otlpGrpc', 'Traces (gRPC)'],
  ['otlpHttp', 'Traces (HTTP)'],
  ['loki', 'Loki'],
  ['tempo', 'Tempo'],
  ['prometheus', 'Prometheus'],
  ['scraper', 'Scraper'],
  ['alertmanager', 'Alertmanager'],
  ['grafana', 'Grafana'],
];

export const portField = (
  request: InstallRequest,
  name: keyof Ports,
  label: string,
): ValueField => ({
  label,
  value: String(request.ports[name]),
  accept(text) {
    const port = /^\d{1,5}$/.test(text.trim()) ? Number(text) : 0;
    if (port < 1 || port > 65_535) return 'A port is a number from 1 to 65535.';
    const other = all(request).find(([key]) => key !== name && request.ports[key] === port);
    if (other !== undefined) return `${port} is that of "${other[1]}".`;
    return { ...request, ports: { ...request.ports, [name]: port } };
  },
});

const all = ({ appProxy, sftpAgent, watch }: InstallRequest) => [
  ...LABELS,
  ...(sftpAgent ? OF_SFTP_AGENT : []),
  ...(appProxy === null ? [] : OF_APP_PROXY),
  ...(watch === 'nothing' ? [] : OF_WATCHING),
];

/** Of the components. */
export function portGroup(request: InstallRequest): Group {
  return {
    label: 'Ports',
    value: `API ${request.ports.manager}, web page ${request.ports.web}`,
    about: 'At which the components of this machine listen.',
    fields: all(request).map(([name, label]) => portField(request, name, label)),
  };
}
