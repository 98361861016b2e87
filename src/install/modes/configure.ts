/** `configure`: other settings for an installation that is there: which ones, and what they need. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../common/errors.ts';
import { type InstallInfo, type Layout, layoutOf, readInfo } from '../layout.ts';
import { appProxyDatabase, appProxyTitle } from '../parts/app-proxy.ts';
import { dockerCheck, nvidiaCheck, platformCheck, portCheck } from '../parts/checks.ts';
import { withKeptPasswords } from '../parts/kept-passwords.ts';
import { PORT_FLAGS } from '../parts/port-checks.ts';
import { accepts, adopt, servicesOf } from '../parts/services.ts';
import { type InstallRequest, NO_PASSWORDS } from '../request.ts';
import type { Check, Plan } from '../step.ts';
import { type Both, changeStep, without } from './change.ts';
import { infoOf, requestOf } from './record.ts';
import { type Environment, withDatabasePassword } from './servers.ts';
import { readPending } from './settings-records.ts';

/**
 * A request to leave an installation as it is; where there is none, the given one.
 * @throws UserError when its record is damaged.
 */
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

const ABSENT = '(as by default)';

const nameOf = (path: string): string =>
  path
    .replaceAll('_', ' ')
    .replace('.', ': ')
    .replaceAll(/([a-z])([A-Z])/g, (_, end, start) => `${end} ${start.toLowerCase()}`);

/** What comes and goes is one change, not one for each of its settings. */
function proxyChange({ old, wanted }: Both): Change[] {
  if ((old.appProxy === null) === (wanted.appProxy === null)) return [];
  const title = (request: InstallRequest): string =>
    request.appProxy === null ? 'none' : appProxyTitle(request, request.appProxy);
  return [{ name: 'app proxy', before: title(old), after: title(wanted) }];
}

/** That they differ, and nothing else of them. */
function passwordChanges({ old, wanted }: Both): Change[] {
  const pairs: [string, string, string][] = [
    ['PostgreSQL', old.database.password, wanted.database.password],
    ['Redis', old.passwords.redis, wanted.passwords.redis],
    ['the Sentinels', old.passwords.sentinel, wanted.passwords.sentinel],
    ['etcd', old.passwords.etcd, wanted.passwords.etcd],
  ];
  return pairs
    .filter(([, before, after]) => before !== after)
    .map(([name]) => ({ name: `password of ${name}`, before: 'that of before', after: 'another' }));
}

function changesOf(both: Both): Change[] {
  const [old, fresh] = [flatten(both.before), flatten(both.after)];
  const names = [...new Set([...old.keys(), ...fresh.keys()])];
  const ofProxy = proxyChange(both);
  return [
    ...names
      .filter((name) => old.get(name) !== fresh.get(name))
      // A record of before there was an app proxy lacks its ports.
      .filter((name) => !name.startsWith('ports.') || old.has(name))
      .filter((name) => ofProxy.length === 0 || !name.startsWith('app_proxy.'))
      .map((name) => ({
        name: nameOf(name),
        before: old.get(name) ?? ABSENT,
        after: fresh.get(name) ?? ABSENT,
      })),
    ...ofProxy,
    ...passwordChanges(both),
  ];
}

/** What the new settings need; what stays the same works already. */
function checksOf({ before, after, old, wanted }: Both, layout: Layout): Check[] {
  const taken = new Set(Object.values(before.ports));
  const fresh = without(servicesOf(after), servicesOf(before)).map(({ name }) => name);
  const tellsGroup = proxyPlace(old) !== proxyPlace(wanted);
  return [
    platformCheck(),
    ...(tellsGroup && readPending(layout) === null ? [managerRunsCheck(before, layout)] : []),
    ...(wanted.agentBackend === 'docker' && before.agent_backend !== 'docker'
      ? [dockerCheck()]
      : []),
    ...(wanted.accelerator === 'cuda' && before.accelerator !== 'cuda' ? [nvidiaCheck()] : []),
    ...servicesOf(after)
      .filter((spec) => !taken.has(spec.port) || fresh.includes(spec.name))
      .map((spec) =>
        portCheck(
          spec.port,
          spec.title.toLowerCase(),
          PORT_FLAGS[spec.name] ?? '',
          () => adopt(layout, spec) !== null,
        ),
      ),
  ];
}

/** What the resource group is told of the app proxy. */
const proxyPlace = ({ appProxy, ports }: InstallRequest): number | null =>
  appProxy === null ? null : ports.appProxy;

function managerRunsCheck({ ports }: InstallInfo, layout: Layout): Check {
  return {
    title: 'Manager',
    async run() {
      if (await accepts(ports.manager ?? 0)) return null;
      return {
        problem: 'The manager does not run, and it is what is told where apps are opened.',
        remedy: `Start it: backend.ai dev start --target-path ${layout.root}`,
      };
    },
  };
}

function bothOf(request: InstallRequest, layout: Layout, environment: Environment): Both {
  const before = readInfo(layout);
  const complete = (one: InstallRequest): InstallRequest =>
    withDatabasePassword({ ...one, mode: before.mode }, layout, environment.random);
  const kept = { ...request, otelEndpoint: null, endpointProtocol: null };
  const old = complete(
    withKeptPasswords(
      {
        ...requestOf(before, kept),
        database: { ...kept.database, ...before.database, password: '' },
        passwords: NO_PASSWORDS,
      },
      layout,
    ),
  );
  const wanted = complete(request.undo ? request : withKeptPasswords(request, layout));
  const after = { ...infoOf(wanted, environment.clock), version: before.version };
  return { before, after, old, wanted };
}

/** @throws UserError when there is nothing that can be configured here. */
export function configurePlan(request: InstallRequest, environment: Environment): Plan {
  const layout = layoutOf(request.targetPath);
  if (readInfo(layout).mode === 'join') {
    throw new UserError(`${layout.root} is a node: what it is told is in its agent.toml.`, {
      hint: `Edit ${join(layout.config, 'agent.toml')}, then: backend.ai dev restart agent --target-path ${layout.root}`,
    });
  }
  const both = bothOf(request, layout, environment);
  const { before, old, wanted } = both;
  if (wanted.sftpAgent !== old.sftpAgent) {
    throw new UserError('An SFTP agent is installed, not configured.', {
      hint: `Install again over it: backend.ai install --mode ${before.mode} --target-path ${layout.root} with the options of before and --with-sftp-agent.`,
    });
  }
  const changes = changesOf(both);
  const isUnfinished = readPending(layout) !== null;
  const removesProxy = old.appProxy !== null && wanted.appProxy === null;
  return {
    title: request.undo ? 'Configuration of before the last change' : 'Configuration',
    summary: [
      `${layout.root}, version ${before.version}.`,
      ...changes.map((change) => `${change.name}: ${change.before} → ${change.after}`),
      ...(isUnfinished
        ? ['A change was begun and not finished; what it did is part of this.']
        : []),
      ...(changes.length === 0 && !isUnfinished
        ? ['Nothing changes yet.']
        : ['Components that are concerned restart; sessions go on.']),
      ...(removesProxy ? ['Apps that are open through the app proxy are closed.'] : []),
    ],
    checks: checksOf(both, layout),
    logFile: layout.installLog,
    steps: changes.length === 0 && !isUnfinished ? [] : [changeStep(both, layout, environment)],
    report: async () => [
      {
        title: 'Changed',
        lines: [
          ...changes.map((change) => `${change.name}: ${change.after} (was ${change.before})`),
          ...(removesProxy
            ? [
                '',
                `Its database stays until you delete it: DROP DATABASE "${appProxyDatabase(old)}"`,
              ]
            : []),
          '',
          `Undo: backend.ai install --mode configure --undo --target-path ${layout.root}`,
        ],
      },
    ],
  };
}
