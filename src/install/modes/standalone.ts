/** `standalone`: the whole cluster in one process with its own PostgreSQL, for one machine. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { clusterFolder, findLocalCluster } from '../../common/local-cluster.ts';
import { writeOwnFile } from '../layout.ts';
import { folderCheck, platformCheck } from '../parts/checks.ts';
import { executableStep, forgetPrevious, notNewerCheck } from '../parts/executable.ts';
import { helloArguments, helloLine } from '../parts/hello.ts';
import { isSystemdRunning, systemUnitFolder } from '../parts/units.ts';
import { defaultTarget, type InstallRequest } from '../request.ts';
import { runCommand } from '../shell.ts';
import type { Plan, ReportPage, Step, StepContext } from '../step.ts';
import type { Environment } from './servers.ts';

const START_TIMEOUT_MS = 120_000;
const HELLO_TIMEOUT_MS = 60_000;

/** In the named folder; for upkeep, where an installation without a named one would be. */
export function standaloneExecutable({ mode, targetPath, envId }: InstallRequest): string {
  const named = join(targetPath, 'bin/backend.ai');
  if (mode === 'standalone' || existsSync(named)) return named;
  return join(defaultTarget('standalone', envId, process.env), 'bin/backend.ai');
}

const unitName = (envId: string): string =>
  envId === 'default' ? 'backend.ai.service' : `backend.ai-${envId}.service`;

/** A unit of the system when root installs it; else one of the user's own. */
function unitPlace(envId: string, { isRoot }: Pick<Environment, 'isRoot'>) {
  const folder = isRoot ? systemUnitFolder : join(homedir(), '.config/systemd/user');
  return {
    path: join(folder, unitName(envId)),
    systemctl: isRoot ? ['systemctl'] : ['systemctl', '--user'],
  };
}

/** @param program how the cluster's program is called. */
export function unitText(program: string, envId: string, isRoot: boolean): string {
  return [
    '[Unit]',
    `Description=Backend.AI cluster of this machine (${envId})`,
    'After=network-online.target',
    '',
    '[Service]',
    // Started once a session can be asked for; started again when it has stood still for a minute.
    'Type=notify',
    'WatchdogSec=60',
    'TimeoutStartSec=120',
    `ExecStart=${program} up --quiet --env-id ${envId}`,
    `Environment=HOME=${isRoot ? userInfo().homedir : '%h'}`,
    'Restart=on-failure',
    'RestartSec=2',
    'TimeoutStopSec=60',
    '# Sessions are children of the cluster and outlive it.',
    'KillMode=process',
    'Delegate=yes',
    'LimitNOFILE=1048576',
    '',
    '[Install]',
    `WantedBy=${isRoot ? 'multi-user.target' : 'default.target'}`,
    '',
  ].join('\n');
}

/** Whether systemd would look after a cluster of this user. */
function canUseUnits({ isRoot }: Pick<Environment, 'isRoot'>): boolean {
  if (!isSystemdRunning()) return false;
  return isRoot || existsSync(process.env.XDG_RUNTIME_DIR ?? '/nowhere');
}

/** Whether systemd looks after the cluster. */
export const hasService = (envId: string, environment: Environment): boolean =>
  canUseUnits(environment) && existsSync(unitPlace(envId, environment).path);

export async function stopService(
  envId: string,
  environment: Environment,
  context: StepContext,
): Promise<void> {
  const { systemctl } = unitPlace(envId, environment);
  await runCommand([...systemctl, 'stop', unitName(envId)], context);
}

/** @param program how the cluster's program is called. */
export function startSteps(
  program: readonly string[],
  request: InstallRequest,
  environment: Environment,
): Step[] {
  const { envId } = request;
  const { path, systemctl } = unitPlace(envId, environment);
  const folder = clusterFolder(process.env, { envId });
  const service: Step = {
    id: 'service',
    title: 'Let systemd start the cluster, now and at every boot',
    async run(context) {
      writeOwnFile(path, unitText(program.join(' '), envId, environment.isRoot), 0o644);
      await runCommand([...systemctl, 'daemon-reload'], context);
      await runCommand([...systemctl, 'enable', unitName(envId)], context);
      await runCommand([...systemctl, 'restart', unitName(envId)], context);
    },
  };
  const up: Step = {
    id: 'up',
    title: 'Start the cluster',
    isDone: async () => findLocalCluster(folder) !== null,
    run: async (context) => {
      await runCommand([...program, 'up', '--detach', '--quiet', '--env-id', envId], context, {
        timeoutMs: START_TIMEOUT_MS,
      });
    },
  };
  return canUseUnits(environment) ? [service, up] : [up];
}

export function helloStep(program: readonly string[], envId: string): Step {
  return {
    id: 'hello',
    title: 'Run a session that prints hello world',
    run: async (context) => {
      await runCommand([...program, ...(await helloArguments())], context, {
        env: { BACKEND_ENV_ID: envId },
        timeoutMs: HELLO_TIMEOUT_MS,
      });
    },
  };
}

async function reportPages(executable: string, envId: string): Promise<ReportPage[]> {
  const cluster = findLocalCluster(clusterFolder(process.env, { envId }));
  if (cluster === null) return [];
  const at = envId === 'default' ? '' : ` --env-id ${envId}`;
  return [
    {
      title: 'Cluster',
      lines: [
        `Web page      ${cluster.webUrl}`,
        `API endpoint  ${cluster.endpoint}`,
        '',
        await helloLine(executable),
        `${executable} status${at}`,
        `${executable} down${at}`,
      ],
    },
    {
      title: 'Accounts',
      lines: cluster.accounts.map(({ email, role, password }) =>
        [email.padEnd(26), role.padEnd(11), password].join('  '),
      ),
    },
  ];
}

export function standalonePlan(request: InstallRequest, environment: Environment): Plan {
  const executable = standaloneExecutable(request);
  const { envId } = request;
  return {
    title: 'Cluster of this machine',
    summary: [
      `The executable goes to ${executable}.`,
      `PostgreSQL and all data lie in ${clusterFolder(process.env, { envId })}.`,
      canUseUnits(environment) ? 'systemd keeps it running.' : 'It runs in the background.',
      'Undo: backend.ai install --mode maintain --action uninstall; --purge deletes its data, too.',
    ],
    checks: [
      platformCheck(),
      folderCheck(executable),
      notNewerCheck(executable, environment.signal),
      folderCheck(clusterFolder(process.env, { envId })),
    ],
    logFile: null,
    steps: [
      executableStep(executable),
      ...(request.start
        ? [...startSteps([executable], request, environment), helloStep([executable], envId)]
        : []),
    ],
    report: () => reportPages(executable, envId),
  };
}

/** The steps that take a cluster of this machine away again. */
export function removeStandaloneSteps(request: InstallRequest, environment: Environment): Step[] {
  const executable = standaloneExecutable(request);
  const { envId } = request;
  const { path, systemctl } = unitPlace(envId, environment);
  const removeService: Step = {
    id: 'service',
    title: 'Remove its service',
    async run(context) {
      await runCommand([...systemctl, 'disable', '--now', unitName(envId)], context);
      await rm(path, { force: true });
      await runCommand([...systemctl, 'daemon-reload'], context);
    },
  };
  return [
    ...(existsSync(path) ? [removeService] : []),
    {
      id: 'down',
      title: request.purge
        ? 'End sessions, stop the cluster, delete its data'
        : 'End sessions and stop the cluster',
      isDone: async () => !existsSync(executable),
      run: async (context) => {
        const how = request.purge ? '--purge' : '--sessions';
        await runCommand([executable, 'down', how, '--env-id', envId], context);
      },
    },
    {
      id: 'executable',
      title: `Remove ${executable}`,
      isDone: async () => !existsSync(executable),
      async run() {
        await rm(executable, { force: true });
        await forgetPrevious(executable);
      },
    },
  ];
}
