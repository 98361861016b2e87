/** systemd units of the components: each may do what its work needs, and no more. */
import { existsSync } from 'node:fs';
import type { Layout } from '../layout.ts';
import type { ServiceSpec } from './services.ts';

const SYSTEM_UNITS = '/etc/systemd/system';
const WAIT_FOR_START_S = 90;

export interface Unit {
  /** `backend.ai-mgr.service` */
  readonly name: string;
  readonly text: string;
}

/** Whether systemd runs this machine, as sd_booted(3) finds out. */
export const isSystemdRunning = (): boolean => existsSync('/run/systemd/system');

export const systemUnitFolder = SYSTEM_UNITS;

export const unitName = ({ name }: Pick<ServiceSpec, 'name'>, envId: string): string =>
  envId === 'default' ? `backend.ai-${name}.service` : `backend.ai-${name}-${envId}.service`;

/** Whether it starts containers, as agents do. */
const isAgent = ({ args }: ServiceSpec): boolean => args[0] === 'ag';

/** The agent starts containers and namespaces, so little can be taken away from it. */
const AGENT_SECTION = [
  '# Kernels are children of the agent and outlive it.',
  'KillMode=process',
  'Delegate=yes',
  'OOMScoreAdjust=-500',
  'TasksMax=infinity',
];

const hardened = (layout: Layout): readonly string[] => [
  'NoNewPrivileges=yes',
  'CapabilityBoundingSet=',
  'AmbientCapabilities=',
  'PrivateTmp=yes',
  'PrivateDevices=yes',
  'ProtectSystem=strict',
  'ProtectHome=tmpfs',
  `BindPaths=${layout.root}`,
  `ReadWritePaths=${layout.root}`,
  'ProtectKernelTunables=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelLogs=yes',
  'ProtectControlGroups=yes',
  'ProtectClock=yes',
  'ProtectHostname=yes',
  'ProtectProc=invisible',
  'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'LockPersonality=yes',
  'SystemCallArchitectures=native',
  'UMask=0027',
];

/** Storage gives folders to the users of sessions, so it may change owners and read all of them. */
const STORAGE_CAPABILITIES = 'CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH';

function sandbox(spec: ServiceSpec, layout: Layout): readonly string[] {
  if (isAgent(spec)) return AGENT_SECTION;
  if (spec.name !== 'storage') return hardened(layout);
  return hardened(layout).map((line) =>
    line === 'CapabilityBoundingSet=' ? `CapabilityBoundingSet=${STORAGE_CAPABILITIES}` : line,
  );
}

/** @param user whose rights it has; null: root's, for the agent of containers. */
export function unitFor(
  spec: ServiceSpec,
  layout: Layout,
  { envId, user }: { readonly envId: string; readonly user: string | null },
): Unit {
  const lines = [
    '[Unit]',
    `Description=Backend.AI ${spec.title.toLowerCase()} (${envId})`,
    'Wants=network-online.target',
    `After=network-online.target${isAgent(spec) ? ' docker.service' : ''}`,
    'StartLimitIntervalSec=60',
    'StartLimitBurst=5',
    '',
    '[Service]',
    // Started once it answers; started again when it has stood still for a minute.
    'Type=notify',
    'WatchdogSec=60',
    `ExecStart=${layout.executable} ${spec.args.join(' ')} -f ${layout.config}/${spec.configFile}`,
    `WorkingDirectory=${layout.config}`,
    ...(user === null ? [] : [`User=${user}`]),
    'ExecReload=/bin/kill -HUP $MAINPID',
    'Restart=on-failure',
    'RestartSec=2',
    `TimeoutStartSec=${WAIT_FOR_START_S}`,
    'TimeoutStopSec=60',
    'LimitNOFILE=1048576',
    ...sandbox(spec, layout),
    '',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ];
  return { name: unitName(spec, envId), text: lines.join('\n') };
}
