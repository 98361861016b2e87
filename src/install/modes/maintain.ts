/**
 * `maintain`: what becomes of an installation afterwards. Uninstalling leaves nothing but, unless told
 * otherwise, the data.
 */
import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../common/errors.ts';
import { clusterFolder } from '../../common/local-cluster.ts';
import {
  type InstallInfo,
  type Layout,
  layoutOf,
  loadOrCreateSecrets,
  readInfo,
} from '../layout.ts';
import { platformCheck } from '../parts/checks.ts';
import { findCompose } from '../parts/compose.ts';
import { runInstalled } from '../parts/data.ts';
import { forgetPrevious, notNewerCheck } from '../parts/executable.ts';
import { ALL_PROFILES, runCompose } from '../parts/halfstack.ts';
import { hasHarborFiles, removeHarborStep } from '../parts/harbor.ts';
import { withKeptPasswords } from '../parts/kept-passwords.ts';
import { accepts, runningPid, servicesOf } from '../parts/services.ts';
import { watchStep } from '../parts/watch-step.ts';
import type { InstallRequest } from '../request.ts';
import { runCommand } from '../shell.ts';
import type { Plan, ReportPage, Step } from '../step.ts';
import { Components } from './components.ts';
import { joinPlan } from './join.ts';
import { movePlan } from './move.ts';
import { requestOf } from './record.ts';
import { accountEnvironment, type Environment, serversPlan, usesUnits } from './servers.ts';
import { removeStandaloneSteps, standaloneExecutable, standalonePlan } from './standalone.ts';
import { upgradeStep } from './upgrade.ts';

const COMPOSE_DOWN_TIMEOUT_MS = 120_000;

/** The new version may bring other images, dashboards and alerts. */
function rewatchStep(
  info: InstallInfo,
  layout: Layout,
  request: InstallRequest,
  { clock, random }: Environment,
): Step {
  const kept = requestOf(info, request);
  const secrets = () => loadOrCreateSecrets(layout, random);
  // What runs goes on meanwhile, and traces wait for nobody.
  const doWithout = async () => undefined;
  return watchStep(kept, layout, secrets, clock, doWithout);
}

function uninstallSteps(
  info: InstallInfo,
  layout: Layout,
  environment: Environment,
  purge: boolean,
): Step[] {
  const components = new Components(info, layout, environment);
  const byUnits = usesUnits(info.mode, environment);
  const removeUnits: Step = {
    id: 'units',
    title: 'Remove the units',
    run: (context) => components.remove(context, servicesOf(info)),
  };
  const removeHalfstack: Step = {
    id: 'halfstack',
    title: purge
      ? 'Remove PostgreSQL, Redis and etcd with their data'
      : 'Stop PostgreSQL, Redis and etcd',
    async run(context) {
      const compose = await findCompose(context.signal);
      const place = { layout, envId: info.env_id };
      const down = ['down', ...(purge ? ['--volumes'] : [])];
      await runCompose(compose, place, down, context, COMPOSE_DOWN_TIMEOUT_MS, ALL_PROFILES);
    },
  };
  const endSessions: Step = {
    id: 'sessions',
    title: 'End all sessions',
    isDone: async () => !(await accepts(info.ports.manager ?? 0)),
    async run(context) {
      const env = accountEnvironment(layout, info, 'admin');
      try {
        // Without its agent nobody would end them afterwards.
        for (const how of ['freeze --force-kill', 'freeze --wait', 'unfreeze']) {
          const args = ['admin', 'manager', ...how.split(' ')];
          await runInstalled(layout, args, context, { env });
        }
      } catch (error) {
        if (!(error instanceof UserError) || context.signal.aborted) throw error;
        context.log(
          `The manager could not end the sessions: ${error.message} What they run on this machine is ended without it.`,
        );
      }
    },
  };
  const stop: Step = {
    id: 'stop',
    title: 'Stop the components',
    async run(context) {
      await components.stop(context);
    },
  };
  const endKernels: Step = {
    id: 'kernels',
    title: 'End what its sessions run on this machine',
    isDone: async () =>
      !existsSync(layout.executable) || !existsSync(join(layout.config, 'agent.toml')),
    async run(context) {
      for (const name of ['agent.toml', 'agent-sftp.toml']) {
        const config = join(layout.config, name);
        if (!existsSync(config)) continue;
        await runInstalled(layout, ['ag', 'end-kernels', '-f', config], context);
      }
    },
  };
  return [
    ...(info.mode === 'join' ? [] : [endSessions]),
    stop,
    endKernels,
    ...(byUnits ? [removeUnits] : []),
    ...(hasHarborFiles(layout) ? [removeHarborStep(layout, info.env_id, purge)] : []),
    ...(info.halfstack === 'compose' ? [removeHalfstack] : []),
    {
      id: 'files',
      title: purge
        ? `Remove ${layout.root}`
        : `Remove the program and its files from ${layout.root}`,
      async run() {
        const files = purge
          ? readdirSync(layout.root).map((name) => join(layout.root, name))
          : [layout.executable, layout.run, layout.sockets, join(layout.root, 'units')];
        for (const path of files.filter((name) => name !== layout.info)) {
          await rm(path, { recursive: true, force: true });
        }
        await forgetPrevious(layout.executable);
        // The record goes last: until then an interrupted removal is finished by running it again.
        await rm(layout.info, { force: true });
        if (purge) await rm(layout.root, { recursive: true, force: true });
      },
    },
  ];
}

/**
 * The report of what is installed, as it was shown at its end.
 * @throws UserError when nothing is installed there.
 */
export async function guideOf(
  request: InstallRequest,
  environment: Environment,
): Promise<readonly ReportPage[]> {
  const repair = { ...request, mode: 'maintain', maintenance: 'repair' } as const;
  const pages = await maintenancePlan(repair, environment).report();
  if (pages.length > 0) return pages;
  throw new UserError(
    `There is no installation in ${request.targetPath}, and no cluster of this machine runs.`,
    { hint: 'Name its folder with --target-path, or start the cluster: backend.ai up.' },
  );
}

const installPlan = (request: InstallRequest, environment: Environment): Plan =>
  request.mode === 'join' ? joinPlan(request, environment) : serversPlan(request, environment);

function areStopped(info: InstallInfo, layout: Layout): boolean {
  return servicesOf(info).every((spec) => runningPid(layout, spec) === null);
}

/** @throws UserError when there is no cluster of this machine to upgrade or repair. */
function standaloneMaintenance(request: InstallRequest, environment: Environment): Plan {
  const executable = standaloneExecutable(request);
  const folder = clusterFolder(process.env, { envId: request.envId });
  const isThere = existsSync(executable) || existsSync(folder);
  const nothing = `Nothing is installed here: neither in ${request.targetPath}, nor as ${executable}.`;
  if (request.maintenance === 'uninstall') {
    return {
      title: 'Uninstall',
      summary: [
        // No failure: an interrupted removal is finished by running it again.
        ...(isThere ? [] : [nothing]),
        'The cluster of this machine is stopped and the program removed.',
        request.purge
          ? 'All its data is deleted, for good.'
          : 'Its data stays: installing it again brings everything back.',
      ],
      checks: [],
      logFile: null,
      steps: removeStandaloneSteps(request, environment),
      report: async () => [],
    };
  }
  if (request.maintenance === 'move') return movePlan(request, environment);
  if (!isThere) {
    throw new UserError(nothing, {
      hint: 'Name the folder of an installation (--target-path), or its --env-id.',
    });
  }
  const plan = standalonePlan(request, environment);
  if (request.maintenance === 'repair') return { ...plan, title: 'Repair' };
  const stop: Step = {
    id: 'down',
    title: 'Stop the cluster; its sessions go on',
    isDone: async () => !existsSync(executable),
    run: async (context) => {
      await runCommand([executable, 'down', '--env-id', request.envId], context);
    },
  };
  return { ...plan, title: 'Upgrade', steps: [stop, ...plan.steps] };
}

export function maintenancePlan(request: InstallRequest, environment: Environment): Plan {
  const layout = layoutOf(request.targetPath);
  if (!existsSync(layout.info)) return standaloneMaintenance(request, environment);
  const info = readInfo(layout);
  const base = {
    checks: [platformCheck()],
    logFile: layout.installLog,
    report: async () => [],
  };
  switch (request.maintenance) {
    case 'repair':
      return {
        ...installPlan(withKeptPasswords(requestOf(info, request), layout), environment),
        title: 'Repair',
      };
    case 'move':
      throw new UserError(
        `${layout.root} is no cluster of one process: it is on servers already.`,
        {
          hint: 'Name a folder without such an installation with --target-path.',
        },
      );
    case 'upgrade':
      return {
        ...base,
        title: 'Upgrade',
        checks: [...base.checks, notNewerCheck(layout.executable, environment.signal)],
        summary: [
          `${layout.root} holds version ${info.version}; this program replaces it.`,
          'Sessions go on meanwhile. When it does not start, the old one comes back.',
        ],
        steps: [
          upgradeStep(info, layout, environment),
          ...(info.watch === undefined ? [] : [rewatchStep(info, layout, request, environment)]),
        ],
      };
    case 'uninstall':
      return {
        ...base,
        title: 'Uninstall',
        summary: [
          `${layout.root}, version ${info.version}.`,
          request.purge
            ? `Programs, configuration and ${info.halfstack === 'existing' ? 'folders' : 'all data'} are deleted, for good.`
            : 'Programs are removed; configuration, folders and databases stay: installing again brings all back.',
          ...(info.mode === 'join'
            ? [
                'Sessions on this node end. At the manager, then: backend.ai mgr agent revoke ' +
                  (info.join?.agent_id ?? ''),
              ]
            : []),
          ...(request.purge && info.halfstack === 'existing'
            ? ['PostgreSQL, Redis and etcd are yours: what is in them stays.']
            : []),
          ...(areStopped(info, layout) ? [] : ['Running components are stopped first.']),
        ],
        // The folder that the log would lie in goes away.
        logFile: null,
        steps: uninstallSteps(info, layout, environment, request.purge),
      };
  }
}
