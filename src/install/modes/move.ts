/**
 * `maintain --action move`: the data of a cluster of this machine goes to PostgreSQL, Redis and etcd
 * elsewhere. Until it has been seen to work there, every failure leads back to the data of before.
 */
import { existsSync } from 'node:fs';
import * as v from 'valibot';
import { formatHostPort } from '../../common/config/values.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import { selfCommand } from '../../common/executable.ts';
import { clusterFolder, findLocalCluster } from '../../common/local-cluster.ts';
import { VERSION } from '../../common/version.ts';
import { platformCheck } from '../parts/checks.ts';
import { redisTitle } from '../parts/halfstack.ts';
import { type InstallRequest, isLoopback } from '../request.ts';
import { type CommandOptions, runCommand } from '../shell.ts';
import type { Check, Finding, Plan, Step, StepContext } from '../step.ts';
import type { Environment } from './servers.ts';
import {
  hasService,
  helloStep,
  standaloneExecutable,
  startSteps,
  stopService,
} from './standalone.ts';

const CHECK_TIMEOUT_MS = 60_000;
/** Copying a large history to a server far away. */
const COPY_TIMEOUT_MS = 6 * 3_600_000;
const NOT_SAID: Finding = {
  problem: 'Where the data shall go is not said.',
  remedy: 'Name all three: --postgres-addr, --redis-addr (or --redis-sentinel) and --etcd-addr.',
};

/** Where other machines can join; null as long as nothing but this machine reaches the cluster. */
const agentsAddress = ({ publicAddress, ports }: InstallRequest): string | null =>
  isLoopback(publicAddress)
    ? null
    : formatHostPort({ host: publicAddress, port: ports.managerInternal });

const areNamed = ({ existing }: InstallRequest): boolean =>
  [existing.postgres, existing.redis, existing.etcd].every((address) => address !== undefined);

/** What `servers check` says for programs. */
const checkAnswer = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ problems: v.array(v.object({ problem: v.string(), remedy: v.string() })) }),
);

/** Calls of the commands that do the work. */
class ServersCommand {
  readonly #request: InstallRequest;

  constructor(request: InstallRequest) {
    this.#request = request;
  }

  /** @param what `check` or `move`: they are told which servers. */
  async withServers(what: string, context: StepContext, timeoutMs: number): Promise<string> {
    const { existing, passwords, database, etcdNamespace } = this.#request;
    const { redis = '', redisService } = existing;
    const internal = agentsAddress(this.#request);
    const options = [
      ...['--postgres-addr', existing.postgres ?? ''],
      ...(redisService === undefined
        ? ['--redis-addr', redis]
        : ['--redis-sentinel', redis, '--redis-service-name', redisService]),
      ...['--etcd-addr', existing.etcd ?? ''],
      ...['--db-name', database.name, '--db-user', database.user],
      ...(etcdNamespace === null ? [] : ['--etcd-namespace', etcdNamespace]),
      ...(internal === null ? [] : ['--internal-addr', internal]),
    ];
    // Not as arguments: other users would see them in the list of processes.
    const env = {
      BACKEND_DB_PASSWORD: database.password,
      BACKEND_REDIS_PASSWORD: passwords.redis,
      BACKEND_REDIS_SENTINEL_PASSWORD: passwords.sentinel,
      BACKEND_ETCD_USER: passwords.etcdUser,
      BACKEND_ETCD_PASSWORD: passwords.etcd,
    };
    return await this.#run([what, ...options], context, { env, timeoutMs });
  }

  async plain(what: readonly string[], context: StepContext): Promise<void> {
    await this.#run(what, context, {});
  }

  async #run(
    args: readonly string[],
    context: StepContext,
    options: CommandOptions,
  ): Promise<string> {
    const program = [...selfCommand(), '--output', 'json', 'servers'];
    return await runCommand(
      [...program, ...args, '--env-id', this.#request.envId],
      context,
      options,
    );
  }
}

/** Of the installed program, when there is one: it has to know what this one does. */
function versionCheck(executable: string, signal: AbortSignal): Check {
  return {
    title: 'Installed version',
    async run() {
      if (!existsSync(executable)) return null;
      const context = { log: () => undefined, progress: () => undefined, signal };
      const version = await runCommand([executable, '--version'], context, {
        timeoutMs: CHECK_TIMEOUT_MS,
      });
      if (version.includes(VERSION)) return null;
      return {
        problem: `${executable} is ${version.trim()}, and this program ${VERSION}.`,
        remedy: 'Upgrade it first: backend.ai install --mode maintain --action upgrade.',
      };
    },
  };
}

function clusterCheck(folder: string, envId: string): Check {
  return {
    title: `Cluster in ${folder}`,
    async run() {
      if (existsSync(folder)) return null;
      return {
        problem: `There is no cluster of this machine called '${envId}'.`,
        remedy: 'Name it with --env-id; `backend.ai up` makes one.',
      };
    },
  };
}

function serversCheck(request: InstallRequest, signal: AbortSignal): Check {
  return {
    title: 'PostgreSQL, Redis and etcd',
    async run() {
      if (!areNamed(request)) return NOT_SAID;
      const context = { log: () => undefined, progress: () => undefined, signal };
      const command = new ServersCommand(request);
      const answer = await command.withServers('check', context, CHECK_TIMEOUT_MS);
      const { problems } = v.parse(checkAnswer, answer);
      if (problems.length === 0) return null;
      return {
        problem: problems.map(({ problem }) => problem).join('\n'),
        remedy: problems.map(({ remedy }) => remedy).join('\n'),
      };
    },
  };
}

/**
 * A step after which, if it fails, the cluster goes on with the data of before: unless an earlier run
 * moved it, since when it may have been used.
 */
function withWayBack(
  step: Step,
  request: InstallRequest,
  environment: Environment,
  wasMovedNow: () => boolean,
): Step {
  const folder = clusterFolder(process.env, { envId: request.envId });
  return {
    ...step,
    async run(context) {
      try {
        await step.run(context);
      } catch (error) {
        if (!wasMovedNow()) throw error;
        context.log(`taken back: ${errorMessage(error)}`);
        // Also when the user stops it now: a cluster that stands still helps nobody.
        const calm = { ...context, signal: new AbortController().signal };
        await stopStep(request, environment).run(calm);
        if (existsSync(movedMark(folder))) {
          await new ServersCommand(request).plain(['back', '--unused'], calm);
        }
        for (const { run } of startSteps(program(request), request, environment)) await run(calm);
        throw new UserError(errorMessage(error), {
          hint: 'The cluster runs on the data of before, which was not changed.',
          cause: error,
        });
      }
    },
  };
}

/** Names the servers once the data is there. */
const movedMark = (folder: string): string => `${folder}/manager.toml`;

/** The installed program, else this one. */
function program(request: InstallRequest): readonly string[] {
  const executable = standaloneExecutable(request);
  return existsSync(executable) ? [executable] : selfCommand();
}

function stopStep(request: InstallRequest, environment: Environment): Step {
  const { envId } = request;
  const folder = clusterFolder(process.env, { envId });
  return {
    id: 'stop',
    title: 'Stop the cluster; its sessions go on',
    isDone: async () => existsSync(movedMark(folder)) || findLocalCluster(folder) === null,
    async run(context) {
      if (hasService(envId, environment)) await stopService(envId, environment, context);
      await runCommand([...program(request), 'down', '--env-id', envId], context);
    },
  };
}

export function movePlan(request: InstallRequest, environment: Environment): Plan {
  const { envId, existing, database, purge } = request;
  const folder = clusterFolder(process.env, { envId });
  let movesNow = false;
  const guarded = (step: Step) => withWayBack(step, request, environment, () => movesNow);
  const copy: Step = {
    id: 'copy',
    title: 'Copy the data to the servers, and let the cluster use them',
    isDone: async () => existsSync(movedMark(folder)),
    async run(context) {
      movesNow = true;
      await new ServersCommand(request).withServers('move', context, COPY_TIMEOUT_MS);
    },
  };
  const forget: Step = {
    id: 'forget',
    title: 'Delete the data of before',
    run: (context) => new ServersCommand(request).plain(['forget'], context),
  };
  return {
    title: 'Move the data to servers',
    summary: [
      ...(areNamed(request)
        ? [
            `To PostgreSQL at ${existing.postgres}/${database.name},`,
            `${redisTitle(request)} at ${existing.redis} and etcd at ${existing.etcd}.`,
          ]
        : [NOT_SAID.problem]),
      ...(agentsAddress(request) === null
        ? []
        : [`Other machines can join it at ${agentsAddress(request)}.`]),
      `The cluster '${envId}' stands still meanwhile; its sessions go on.`,
      purge
        ? 'The data of before is deleted at the end.'
        : 'The data of before stays until you delete it: backend.ai servers forget.',
    ],
    checks: [
      platformCheck(),
      clusterCheck(folder, envId),
      versionCheck(standaloneExecutable(request), environment.signal),
      serversCheck(request, environment.signal),
    ],
    logFile: null,
    steps: [
      stopStep(request, environment),
      guarded(copy),
      ...startSteps(program(request), request, environment).map(guarded),
      guarded(helloStep(program(request), envId)),
      ...(purge ? [forget] : []),
    ],
    report: async () => [
      {
        title: 'Data',
        lines: [
          `PostgreSQL  ${existing.postgres}/${database.name}`,
          `Redis       ${existing.redis}${existing.redisService === undefined ? '' : ` (Sentinels of ${existing.redisService})`}`,
          `etcd        ${existing.etcd}`,
          '',
          `Named by ${movedMark(folder)}; backups: backend.ai mgr backup -f ${movedMark(folder)}`,
          ...(agentsAddress(request) === null
            ? []
            : [
                `Other machines join at ${agentsAddress(request)}, with a token each:`,
                `  backend.ai mgr token create -f ${movedMark(folder)}`,
              ]),
          ...(purge
            ? []
            : [
                'The data of before is still there. Once you are sure:',
                `  backend.ai servers forget --env-id ${envId}`,
              ]),
        ],
      },
    ],
  };
}
