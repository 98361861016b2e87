/**
 * `configure`: other settings for an installation that is there. What did not start with them goes on
 * with those of before.
 */
import { existsSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { writeEnvironmentFiles } from '../../common/environment-files.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import {
  type InstallInfo,
  type Layout,
  layoutOf,
  loadOrCreateSecrets,
  readInfo,
  writeInfo,
  writeOwnFile,
} from '../layout.ts';
import { appProxyGroupStep } from '../parts/app-proxy.ts';
import { dockerCheck, nvidiaCheck, platformCheck, portCheck } from '../parts/checks.ts';
import { configFiles, storedSettings } from '../parts/config-files.ts';
import { settingsStep } from '../parts/data.ts';
import { servicesOf } from '../parts/services.ts';
import { writeTargets } from '../parts/watching.ts';
import type { InstallRequest } from '../request.ts';
import type { Check, Plan, Step, StepContext } from '../step.ts';
import { Components, withoutEnd } from './components.ts';
import { requestOf } from './maintain.ts';
import {
  accountEnvironment,
  type Environment,
  infoOf,
  readAccounts,
  withDatabasePassword,
} from './servers.ts';

/** A request to leave an installation as it is; where there is none, the given one. */
export function configurable(request: InstallRequest): InstallRequest {
  const layout = layoutOf(request.targetPath);
  const isThere = existsSync(layout.info);
  return { ...(isThere ? requestOf(readInfo(layout), request) : request), mode: 'configure' };
}

interface Change {
  readonly name: string;
  readonly before: string;
  readonly after: string;
}

/** What never changes here, or always. */
const NOT_SETTINGS = new Set(['version', 'type', 'last_updated', 'base_path', 'mode', 'env_id']);

/** `ports.manager` → its value, as text. */
function flatten(value: unknown, path = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null) {
    return new Map(value === undefined || value === null ? [] : [[path, String(value)]]);
  }
  return new Map(
    Object.entries(value)
      .filter(([key]) => path !== '' || !NOT_SETTINGS.has(key))
      .flatMap(([key, part]) => [...flatten(part, path === '' ? key : `${path}.${key}`)]),
  );
}

function changesBetween(before: InstallInfo, after: InstallInfo): Change[] {
  const [old, fresh] = [flatten(before), flatten(after)];
  const absent = '(as by default)';
  const names = [...new Set([...old.keys(), ...fresh.keys()])];
  return (
    names
      .filter((name) => old.get(name) !== fresh.get(name))
      // A record of before there was an app proxy lacks its ports.
      .filter((name) => !name.startsWith('ports.') || old.has(name))
      .map((name) => ({
        name: name.replaceAll('_', ' ').replace('.', ': '),
        before: old.get(name) ?? absent,
        after: fresh.get(name) ?? absent,
      }))
  );
}

const pendingPath = (layout: Layout): string => join(layout.run, 'to-restart.json');
const namesList = v.pipe(v.string(), v.parseJson(), v.array(v.string()));

const pending = (layout: Layout): string[] =>
  existsSync(pendingPath(layout))
    ? v.parse(namesList, readFileSync(pendingPath(layout), 'utf8'))
    : [];

const databaseFile = v.object({ db: v.object({ password: v.optional(v.string(), '') }) });

/** The database's password is in no record; manager.toml holds it. */
function withKeptPassword(request: InstallRequest, layout: Layout): InstallRequest {
  const path = join(layout.config, 'manager.toml');
  if (request.database.password !== '' || !existsSync(path)) return request;
  const { password } = v.parse(databaseFile, Bun.TOML.parse(readFileSync(path, 'utf8'))).db;
  return { ...request, database: { ...request.database, password } };
}

interface Both {
  readonly before: InstallInfo;
  readonly after: InstallInfo;
  readonly old: InstallRequest;
  readonly wanted: InstallRequest;
}

/** The names of components that have something else to read now. */
function concerned(
  { before, old, wanted }: Both,
  layout: Layout,
  { random }: Environment,
): readonly string[] {
  const secrets = loadOrCreateSecrets(layout, random);
  const changed = configFiles(wanted, layout, secrets)
    .filter(([name, text]) => {
      const path = join(layout.config, name);
      return !existsSync(path) || readFileSync(path, 'utf8') !== text;
    })
    .map(([name]) => name);
  const isSameStored = Bun.deepEquals(
    storedSettings(old, secrets),
    storedSettings(wanted, secrets),
  );
  return servicesOf(before)
    .filter(
      ({ name, configFile }) =>
        changed.includes(configFile) ||
        (name === 'agent' && changed.includes('mock-accelerator.toml')) ||
        // It reads the cluster's settings when it starts.
        (name === 'mgr' && !isSameStored),
    )
    .map(({ name }) => name);
}

/** Files, settings in etcd, and what clients on this machine have in their shells. */
async function apply(
  request: InstallRequest,
  info: InstallInfo,
  layout: Layout,
  { random }: Environment,
  context: StepContext,
): Promise<void> {
  for (const [name, text] of configFiles(request, layout, loadOrCreateSecrets(layout, random))) {
    writeOwnFile(join(layout.config, name), text);
  }
  await settingsStep(request, layout, random).run(context);
  const endpoint = `http://127.0.0.1:${info.ports.manager}`;
  writeTargets(request, layout);
  writeEnvironmentFiles(layout.root, endpoint, readAccounts(layout));
}

function changeStep(both: Both, layout: Layout, environment: Environment): Step {
  const { before, after, old, wanted } = both;
  const previous = new Components(before, layout, environment);
  const next = new Components(after, layout, environment);
  return {
    id: 'change',
    title: 'Write the settings, and restart the components that they concern',
    async run(context) {
      const running = previous.running();
      const affected = concerned(both, layout, environment);
      // Kept until all is done: killed in between and run again, it starts the same ones.
      const names = [
        ...new Set([...pending(layout), ...affected.filter((name) => running.includes(name))]),
      ];
      writeOwnFile(pendingPath(layout), JSON.stringify(names));
      try {
        await apply(wanted, after, layout, environment, context);
        await previous.stop(context, names);
        await next.start(context, names);
        if (names.includes('mgr') && wanted.appProxy !== null) {
          const asAdmin = () => accountEnvironment(layout, after, 'admin');
          await appProxyGroupStep(wanted, layout, environment.random, asAdmin).run(context);
        }
      } catch (error) {
        context.log(`taken back: ${errorMessage(error)}`);
        // Also when the user stops it now: a cluster that stands still helps nobody.
        const calm = withoutEnd(context);
        await next.stop(calm, names);
        await apply(old, before, layout, environment, calm);
        await previous.start(calm, names);
        await rm(pendingPath(layout), { force: true });
        throw new UserError(`It did not start with these settings: ${errorMessage(error)}`, {
          hint: 'It runs with those of before.',
          cause: error,
        });
      }
      writeInfo(layout, after);
      await rm(pendingPath(layout), { force: true });
      context.log(names.length === 0 ? 'nothing was running' : `restarted ${names.join(', ')}`);
    },
  };
}

/** What the new settings need; what stays the same works already. */
function checksOf({ before, after, wanted }: Both): Check[] {
  const taken = new Set(Object.values(before.ports));
  return [
    platformCheck(),
    ...(wanted.agentBackend === 'docker' && before.agent_backend !== 'docker'
      ? [dockerCheck()]
      : []),
    ...(wanted.accelerator === 'cuda' && before.accelerator !== 'cuda' ? [nvidiaCheck()] : []),
    ...servicesOf(after)
      .filter(({ port }) => !taken.has(port))
      .map(({ port, title }) =>
        portCheck(port, title.toLowerCase(), 'the option of that port', () => false),
      ),
  ];
}

/** @throws UserError when there is nothing that can be configured here. */
export function configurePlan(request: InstallRequest, environment: Environment): Plan {
  const layout = layoutOf(request.targetPath);
  const before = readInfo(layout);
  if (before.mode === 'join') {
    throw new UserError(`${layout.root} is a node: what it is told is in its agent.toml.`, {
      hint: `Edit ${join(layout.config, 'agent.toml')}, then: backend.ai dev restart agent --target-path ${layout.root}`,
    });
  }
  const complete = (one: InstallRequest): InstallRequest =>
    withDatabasePassword(
      withKeptPassword({ ...one, mode: before.mode }, layout),
      layout,
      environment.random,
    );
  // Of what is asked for, only the password is of before as well.
  const old = complete(
    requestOf(before, { ...request, otelEndpoint: null, endpointProtocol: null }),
  );
  const wanted = complete(request);
  const after = { ...infoOf(wanted, environment.clock), version: before.version };
  if ((wanted.appProxy === null) !== (old.appProxy === null)) {
    throw new UserError('An app proxy is installed, not only configured.', {
      hint: `Install again over it: backend.ai install --mode ${before.mode} --target-path ${layout.root} with the options of before and --with-app-proxy.`,
    });
  }
  if (wanted.sftpAgent !== old.sftpAgent) {
    throw new UserError('An SFTP agent is installed, not configured.', {
      hint: `Install again over it: backend.ai install --mode ${before.mode} --target-path ${layout.root} with the options of before and --with-sftp-agent.`,
    });
  }
  const both = { before, after, old, wanted };
  const changes = changesBetween(before, after);
  const isUnfinished = pending(layout).length > 0;
  return {
    title: 'Configuration',
    summary: [
      `${layout.root}, version ${before.version}.`,
      ...changes.map((change) => `${change.name}: ${change.before} → ${change.after}`),
      ...(changes.length === 0 && !isUnfinished
        ? ['Nothing changes yet.']
        : ['Components that are concerned restart; sessions go on.']),
    ],
    checks: checksOf(both),
    logFile: layout.installLog,
    steps: changes.length === 0 && !isUnfinished ? [] : [changeStep(both, layout, environment)],
    report: async () => [
      {
        title: 'Changed',
        lines: changes.map((change) => `${change.name}: ${change.after} (was ${change.before})`),
      },
    ],
  };
}
