/**
 * `develop` and `package`: the components as separate programs on PostgreSQL, Redis and etcd. They
 * differ in where things lie and how the components are kept running.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import { UserError } from '../../common/errors.ts';
import { localAccount } from '../../common/local-cluster.ts';
import type { Random } from '../../common/random.ts';
import {
  type InstallInfo,
  type Layout,
  layoutOf,
  loadOrCreateSecrets,
  serverAddresses,
  writeInfo,
  writeOwnFile,
} from '../layout.ts';
import { acceleratorTitle } from '../parts/accelerators.ts';
import { appProxyGroupStep, appProxySchemaStep, appProxyTitle } from '../parts/app-proxy.ts';
import { dockerCheck, folderCheck, nvidiaCheck, platformCheck } from '../parts/checks.ts';
import { configFiles, writeConfigFiles } from '../parts/config-files.ts';
import { accountsPath, dataSteps, runInstalled } from '../parts/data.ts';
import { executableStep, notNewerCheck } from '../parts/executable.ts';
import { composeCheck, composeStep, existingServerChecks, redisTitle } from '../parts/halfstack.ts';
import { harborAllowStep, harborChecks, harborPage, harborSteps } from '../parts/harbor.ts';
import { helloArguments, helloLine } from '../parts/hello.ts';
import { portChecks } from '../parts/port-checks.ts';
import {
  type ServiceSpec,
  servicesOf,
  startService,
  stopService,
  titleWidth,
} from '../parts/services.ts';
import { SFTP_GROUP, sftpGroupStep, sftpPage } from '../parts/sftp-agent.ts';
import { signInChecks } from '../parts/sign-in.ts';
import {
  isSystemdRunning,
  systemUnitFolder,
  type Unit,
  unitFor,
  unitName,
} from '../parts/units.ts';
import { startWatching, watchStep } from '../parts/watch-step.ts';
import {
  watchChecks,
  watchDetails,
  watchFilePath,
  watchReport,
  watchSummary,
  writeTargets,
} from '../parts/watching.ts';
import { defaultTarget, type InstallRequest, usesCompose } from '../request.ts';
import { runCommand } from '../shell.ts';
import type { Check, Plan, ReportPage, Step, StepContext } from '../step.ts';
import { appProxyRecord, infoOf, keptPartsSummary, withInstalledParts } from './record.ts';

export interface Environment {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Whether this user may write units of the system. */
  readonly isRoot: boolean;
  readonly userName: string;
}

/** The password of the database: the given one, or that with which compose starts it. */
export function withDatabasePassword(request: InstallRequest, layout: Layout, random: Random) {
  if (request.database.password !== '' || !usesCompose(request)) return request;
  const { database: password } = loadOrCreateSecrets(layout, random);
  return { ...request, database: { ...request.database, password } };
}

/** What the request has servers run on this machine. */
const requestedServices = (request: InstallRequest) =>
  servicesOf({
    mode: 'package',
    ports: { ...request.ports },
    sftp_agent: request.sftpAgent,
    ...appProxyRecord(request.appProxy),
  });

function checksOf(request: InstallRequest, layout: Layout, signal: AbortSignal): Check[] {
  return [
    platformCheck(),
    folderCheck(request.targetPath),
    ...(request.agentBackend === 'docker' ? [dockerCheck()] : []),
    ...(request.accelerator === 'cuda' ? [nvidiaCheck()] : []),
    ...(usesCompose(request)
      ? [composeCheck(signal)]
      : [...existingServerChecks(request), ...signInChecks(request)]),
    ...(request.harbor === null ? [] : harborChecks(request.harbor, layout, signal)),
    ...portChecks(request, layout, requestedServices(request)),
    ...watchChecks(request, layout),
  ];
}

/** The installation's files and record, as the request has them. */
function writeFiles(request: InstallRequest, layout: Layout, { clock, random }: Environment): void {
  const secrets = loadOrCreateSecrets(layout, random);
  writeConfigFiles(withDatabasePassword(request, layout, random), layout, secrets);
  writeTargets(request, layout);
  writeInfo(layout, infoOf(request, clock));
}

function configStep(request: InstallRequest, layout: Layout, environment: Environment): Step {
  return {
    id: 'config',
    title: `Write the configuration files to ${layout.config}`,
    async run(context) {
      for (const folder of [layout.state, layout.sockets, layout.logs, layout.volume]) {
        mkdirSync(folder, { recursive: true });
      }
      await stopOutdated(request, layout, environment, context);
      writeFiles(request, layout, environment);
      context.log(`wrote manager.toml, agent.toml, storage-proxy.toml and webserver.conf`);
    },
  };
}

/** Components that run with other settings are started anew by later steps. */
async function stopOutdated(
  request: InstallRequest,
  layout: Layout,
  environment: Environment,
  context: StepContext,
): Promise<void> {
  // Units are started anew in any case.
  if (!request.start || usesUnits(infoOf(request, environment.clock).mode, environment)) return;
  const secrets = loadOrCreateSecrets(layout, environment.random);
  const complete = withDatabasePassword(request, layout, environment.random);
  const outdated = new Set(
    configFiles(complete, layout, secrets).flatMap(([name, text]) => {
      const path = join(layout.config, name);
      return existsSync(path) && readFileSync(path, 'utf8') !== text ? [name] : [];
    }),
  );
  for (const spec of requestedServices(request).toReversed()) {
    if (!outdated.has(spec.configFile)) continue;
    const ran = await stopService(layout, spec, environment);
    if (ran) context.log(`stopped the ${spec.title.toLowerCase()}, whose settings change`);
  }
}

/** With systemd and its owner's rights: units. Else, processes that `backend.ai dev` looks after. */
export const usesUnits = (mode: InstallInfo['mode'], { isRoot }: Environment): boolean =>
  mode !== 'develop' && isRoot && isSystemdRunning();

export const unitsOf = (
  { env_id: envId }: InstallInfo,
  layout: Layout,
  { isRoot, userName }: Environment,
  specs: readonly ServiceSpec[],
): Unit[] => specs.map((spec) => unitFor(spec, layout, { envId, user: isRoot ? null : userName }));

const unitFolder = (layout: Layout): string => join(layout.root, 'units');

export function writeUnits(units: readonly Unit[], layout: Layout): void {
  for (const { name, text } of units) writeOwnFile(join(unitFolder(layout), name), text, 0o644);
}

/** Hands units to systemd, which starts them when the machine does. */
export async function enableUnits(units: readonly Unit[], context: StepContext): Promise<void> {
  for (const { name, text } of units) writeOwnFile(join(systemUnitFolder, name), text, 0o644);
  await runCommand(['systemctl', 'daemon-reload'], context);
  await runCommand(['systemctl', 'enable', ...units.map(({ name }) => name)], context);
}

/** Writes the units; with systemd and the right to, has it start them. */
export function unitSteps(info: InstallInfo, layout: Layout, environment: Environment): Step[] {
  const units = unitsOf(info, layout, environment, servicesOf(info));
  const write: Step = {
    id: 'units',
    title: `Write systemd units to ${unitFolder(layout)}`,
    run: async () => writeUnits(units, layout),
  };
  if (!usesUnits(info.mode, environment)) return [write];
  const enable: Step = {
    id: 'enable',
    title: 'Start the components as services of the system',
    async run(context) {
      await enableUnits(units, context);
      await runCommand(['systemctl', 'restart', ...units.map(({ name }) => name)], context);
    },
  };
  return [write, enable];
}

/** Starts the components as processes in the background. */
export function startSteps(info: InstallInfo, layout: Layout, { clock }: Environment): Step[] {
  return servicesOf(info).map((spec) => ({
    id: `start-${spec.name}`,
    title: `Start the ${spec.title.toLowerCase()}`,
    run: (context) =>
      startService(layout, spec, [layout.executable], { clock, signal: context.signal }),
  }));
}

/** What the report says of the next boot when nothing starts the components then. */
export function rebootLines(info: InstallInfo, layout: Layout, environment: Environment): string[] {
  if (usesUnits(info.mode, environment)) return [];
  const start = `${layout.executable} dev start --target-path ${layout.root}`;
  if (info.mode === 'develop') return ['', 'After a reboot start them again:', `  ${start}`];
  return [
    '',
    'Nothing starts them after a reboot. Have root do that:',
    `  cp ${layout.root}/units/*.service ${systemUnitFolder} && systemctl daemon-reload`,
    `  systemctl enable ${servicesOf(info)
      .map((spec) => unitName(spec, info.env_id))
      .join(' ')}`,
    `or, without systemd, a line of crontab: @reboot ${start}`,
  ];
}

const HELLO_TIMEOUT_MS = 60_000;

/** A session that says hello proves that all components work together. */
function helloStep(info: InstallInfo, layout: Layout): Step {
  return {
    id: 'hello',
    title: 'Run a session that prints hello world',
    async run(context) {
      await runInstalled(layout, ['mgr', 'image', 'rescan', 'local'], context);
      const output = await runInstalled(layout, await helloArguments(), context, {
        env: accountEnvironment(layout, info, 'user'),
        timeoutMs: HELLO_TIMEOUT_MS,
      });
      context.log(output);
    },
  };
}

const accountsFile = v.pipe(v.string(), v.parseJson(), v.array(localAccount));

export const readAccounts = (layout: Layout) =>
  existsSync(accountsPath(layout))
    ? v.parse(accountsFile, readFileSync(accountsPath(layout), 'utf8'))
    : [];

/**
 * What points a client on this machine at the cluster as one of its accounts.
 * @param name `admin`, `user` or another one of accounts.json.
 * @throws UserError when the installation has no such account.
 */
export function accountEnvironment(
  layout: Layout,
  { ports }: Pick<InstallInfo, 'ports'>,
  name: string,
): Record<string, string> {
  const account = readAccounts(layout).find((candidate) => candidate.name === name);
  if (account === undefined) {
    throw new UserError(`${accountsPath(layout)} holds no account '${name}'.`, {
      hint: 'Restore the file from a backup, or run the installation again.',
    });
  }
  return {
    BACKEND_ENDPOINT_TYPE: 'api',
    BACKEND_ENDPOINT: `http://127.0.0.1:${ports.manager}`,
    BACKEND_ACCESS_KEY: account.accessKey,
    BACKEND_SECRET_KEY: account.secretKey,
  };
}

async function reportPages(
  request: InstallRequest,
  layout: Layout,
  environment: Environment,
): Promise<ReportPage[]> {
  const { ports, publicAddress, mode, appProxy } = request;
  const services = requestedServices(request);
  const isUsual =
    mode === 'develop' && layout.root === defaultTarget('develop', request.envId, process.env);
  const at = request.envId === 'default' ? '' : ` --env-id ${request.envId}`;
  const place = isUsual ? at : ` --target-path ${layout.root}`;
  const watch = watchReport(request, layout, () => loadOrCreateSecrets(layout, environment.random));
  return [
    {
      title: 'Cluster',
      lines: [
        `Web page      http://${publicAddress}:${ports.web}`,
        `API endpoint  http://${publicAddress}:${ports.manager}`,
        ...(appProxy === null ? [] : [`Apps          ${appProxyTitle(request, appProxy)}`]),
        `Folder        ${layout.root}`,
        '',
        'Clients on this machine:',
        `  source ${layout.root}/env-local-user-api.sh`,
        `  ${await helloLine(layout.executable)}`,
        '',
        undoLine(request, layout.root),
      ],
    },
    {
      title: 'Accounts',
      lines: [
        `Kept in ${accountsPath(layout)}, for its owner only.`,
        '',
        ...readAccounts(layout).map(({ email, role, password }) =>
          [email.padEnd(26), role.padEnd(11), password].join('  '),
        ),
      ],
    },
    {
      title: 'Components',
      lines: [
        `${layout.executable} dev status${place}`,
        `${layout.executable} dev restart mgr${place}`,
        `${layout.executable} dev log agent -f${place}`,
        '',
        ...services.map(
          (spec) =>
            `${spec.title.padEnd(titleWidth(services))}  port ${spec.port}, ${layout.config}/${spec.configFile}`,
        ),
        ...rebootLines(infoOf(request, environment.clock), layout, environment),
      ],
    },
    ...(request.sftpAgent ? [sftpPage(request)] : []),
    ...(watch.length === 0 ? [] : [{ title: 'Watching', lines: watch }]),
    ...(request.harbor === null ? [] : [harborPage(request.harbor, layout, environment.random)]),
  ];
}

/** How an installation is taken away again. */
export function undoLine({ mode }: Pick<InstallRequest, 'mode'>, root: string): string {
  const data = mode === 'join' ? '' : '; --purge deletes its data, too';
  return `Undo: backend.ai install --mode maintain --action uninstall --target-path ${root}${data}.`;
}

/** Also to stop what was started before and is not wanted any more. */
const hasWatchStep = (request: InstallRequest, layout: Layout): boolean =>
  usesCompose(request) && (request.watch !== 'nothing' || existsSync(watchFilePath(layout)));

export function serversPlan(asked: InstallRequest, environment: Environment): Plan {
  // Only compose can.
  const request = withInstalledParts<InstallRequest>(
    usesCompose(asked) ? asked : { ...asked, watch: 'nothing' },
  );
  const layout = layoutOf(request.targetPath);
  const { random, clock } = environment;
  const secrets = () => loadOrCreateSecrets(layout, random);
  // Without what is optional and could not be started.
  let fulfilled = request;
  const info = infoOf(request, environment.clock);
  const byUnits = usesUnits(info.mode, environment);
  const addresses = serverAddresses(request);
  return {
    title: request.mode === 'develop' ? 'Development installation' : 'Production installation',
    summary: [
      `Everything goes to ${layout.root}.`,
      ...keptPartsSummary(request),
      usesCompose(request)
        ? `Compose starts PostgreSQL, Redis and etcd on ports ${request.ports.postgres}, ${request.ports.redis} and ${request.ports.etcd}.`
        : `It uses PostgreSQL at ${addresses.postgres}, ${redisTitle(request)} at ${addresses.redis} and etcd at ${addresses.etcd}.`,
      `Sessions of the agent: ${request.agentBackend}, with ${acceleratorTitle(request.accelerator)}.`,
      ...(request.appProxy === null
        ? []
        : [`Apps of sessions are opened ${appProxyTitle(request, request.appProxy)}.`]),
      ...(request.sftpAgent
        ? [`A second agent serves folders over SFTP, in the resource group ${SFTP_GROUP}.`]
        : []),
      ...watchSummary(request),
      ...(request.harbor === null
        ? []
        : [
            `Harbor, a registry for images, is at http://${request.harbor.hostname}:${request.harbor.httpPort}.`,
          ]),
      request.start
        ? `Manager, agent, storage proxy${request.appProxy === null ? '' : ', app proxy'} and web server are started ${byUnits ? 'as services of the system' : 'in the background'}.`
        : 'Nothing is started.',
      undoLine(request, layout.root),
      ...watchDetails(request),
    ],
    checks: [
      ...checksOf(request, layout, environment.signal),
      notNewerCheck(layout.executable, environment.signal),
    ],
    logFile: layout.installLog,
    steps: [
      executableStep(layout.executable),
      configStep(request, layout, environment),
      ...(hasWatchStep(request, layout)
        ? [
            watchStep(request, layout, secrets, clock, async (context) => {
              fulfilled = { ...request, watch: 'nothing' };
              await startWatching(fulfilled, layout, secrets, clock, context);
              writeFiles(fulfilled, layout, environment);
            }),
          ]
        : []),
      ...(usesCompose(request) ? [composeStep(request, layout, secrets, clock)] : []),
      ...dataSteps(request, layout, random),
      ...(request.appProxy === null ? [] : [appProxySchemaStep(layout)]),
      ...(request.sftpAgent ? [sftpGroupStep(layout)] : []),
      ...(request.harbor === null ? [] : harborSteps(request, request.harbor, layout, environment)),
      ...(info.mode === 'package' ? unitSteps(info, layout, environment) : []),
      ...(request.start && !byUnits ? startSteps(info, layout, environment) : []),
      ...(request.start && request.appProxy !== null
        ? [
            appProxyGroupStep(request, layout, random, () =>
              accountEnvironment(layout, info, 'admin'),
            ),
          ]
        : []),
      ...(request.start && request.harbor !== null
        ? [harborAllowStep(request.harbor, layout, () => accountEnvironment(layout, info, 'admin'))]
        : []),
      ...(request.start && request.agentBackend === 'process' ? [helloStep(info, layout)] : []),
    ],
    report: () => reportPages(fulfilled, layout, environment),
  };
}
