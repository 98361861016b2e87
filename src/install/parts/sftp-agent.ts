/**
 * The second agent of an installation, for copying: sessions of the type `system` run there, with a
 * folder mounted and an SSH server that clients of SFTP reach directly. It offers no devices.
 */
import { join } from 'node:path';
import { hostArchitecture } from '../../common/images/labels.ts';
import { type Layout, writeOwnFile } from '../layout.ts';
import type { InstallRequest } from '../request.ts';
import type { ReportPage, Step } from '../step.ts';
import type { AgentPart } from './config-files.ts';
import { runInstalled } from './data.ts';

const SHELL_TIMEOUT_MS = 5_000;
/** Upstream's name of its resource group. */
export const SFTP_GROUP = 'upload';

export const sftpAgentPart = ({ ports }: InstallRequest): AgentPart => ({
  name: 'agent-sftp',
  idSuffix: '-sftp',
  resourceGroup: SFTP_GROUP,
  rpcPort: ports.sftpAgentRpc,
  servicePort: ports.sftpAgentService,
  scratches: 'scratches-sftp',
  // Upstream's: what a firewall has to let through.
  portRange: [31_100, 31_200],
  plugins: { 'allow-compute-plugins': [] },
});

/** The agents of one machine offer the same processors, so only copying may take place here. */
const groupFixture = {
  scaling_groups: [
    {
      name: SFTP_GROUP,
      description: 'For copying files over SFTP',
      is_active: true,
      driver: 'static',
      driver_opts: {},
      scheduler: 'fifo',
      scheduler_opts: { allowed_session_types: [] },
    },
  ],
  sgroups_for_domains: [{ scaling_group: SFTP_GROUP, domain: 'default' }],
};

export function sftpGroupStep(layout: Layout): Step {
  return {
    id: 'sftp-group',
    title: `Make the resource group ${SFTP_GROUP}`,
    async run(context) {
      const file = join(layout.config, '.sftp-group.json');
      writeOwnFile(file, JSON.stringify(groupFixture));
      const config = ['-f', join(layout.config, 'manager.toml')];
      await runInstalled(layout, ['mgr', 'fixture', 'populate', file, ...config], context);
    },
  };
}

/**
 * The image of which the WebUI makes such sessions, in its settings; null: it looks for one whose label
 * `ai.backend.role` says `SYSTEM`. Every image will do, as the runner brings the SSH server; on the process
 * backend the shell of this host is always there.
 */
export function sftpImage({ sftpAgent, agentBackend }: InstallRequest): string | null {
  if (!sftpAgent || agentBackend !== 'process') return null;
  const shell = Bun.which('bash');
  if (shell === null) return null;
  const { stdout } = Bun.spawnSync([shell, '--version'], { timeout: SHELL_TIMEOUT_MS });
  const version = /version (\d+)\./.exec(stdout.toString())?.[1];
  return version === undefined ? null : `local/bash:${version}@${hostArchitecture()}`;
}

/** What the report says of it. */
export function sftpPage(request: InstallRequest): ReportPage {
  const [first, last] = sftpAgentPart(request).portRange ?? [];
  const image = sftpImage(request);
  return {
    title: 'SFTP',
    lines: [
      `Sessions of the type system, in the resource group ${SFTP_GROUP}, take files for folders:`,
      `  sftp -i id_container -P PORT work@${request.publicAddress}`,
      `PORT is one of ${first} to ${last}, which a firewall has to let through.`,
      '',
      'The WebUI opens one with the button "SSH / SFTP" of a folder, and shows address, port and key.',
      ...(image === null
        ? ['It needs an image with the label ai.backend.role=SYSTEM, or named in webserver.conf:']
        : [`It makes it of ${image}; another one is named in webserver.conf:`]),
      '  [service] system-SSH-image',
    ],
  };
}
