/** What somebody asked the installer for who said next to nothing, for tests of its parts. */
import { type InstallRequest, NO_PASSWORDS, PACKAGE_PORTS } from '../install/request.ts';

export const installRequest = (
  part: Partial<InstallRequest> & Pick<InstallRequest, 'targetPath'>,
): InstallRequest => ({
  mode: 'package',
  envId: 'default',
  publicAddress: '127.0.0.1',
  wildcardBinding: false,
  sftpAgent: false,
  harbor: null,
  agentBackend: 'process',
  appProxy: null,
  accelerator: null,
  halfstack: 'compose',
  existing: {},
  watch: 'nothing',
  isWatchOptional: false,
  passwords: NO_PASSWORDS,
  undo: false,
  otelEndpoint: null,
  endpointProtocol: null,
  etcdNamespace: null,
  database: { name: 'backend', user: 'postgres', password: 'p' },
  ports: PACKAGE_PORTS,
  join: { manager: '', token: '', agentId: 'i', advertise: null },
  start: true,
  maintenance: 'repair',
  purge: false,
  ...part,
});
