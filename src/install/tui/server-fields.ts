/** Fields of PostgreSQL, Redis and etcd: which ones, and what they ask for. */

import * as v from 'valibot';
import { formatHostPort, hostPorts, parseHostPort } from '../../common/config/values.ts';
import type { ServerKind } from '../parts/probes.ts';
import type { ExistingServers, InstallRequest, Ports, ServerPasswords } from '../request.ts';
import type { Group, ValueField } from './field.ts';
import { portField } from './port-fields.ts';

const COMPOSE = 'started by compose';
const EXISTING = 'there already';
const ONE = 'one server';
const WATCHED = 'Sentinels watch it';
const DEFAULT_SERVICE = 'mymaster';

/** @returns the addresses as they are written down, or why they are not taken. */
function addressList(text: string): string[] | string {
  for (const part of text.split(',')) {
    const one = part.trim();
    if (one === '') return 'Give HOST:PORT, or several with commas between them.';
    const parsed = parseHostPort(one);
    if (parsed === null || parsed.host === '') return `'${one}' is not of the form HOST:PORT.`;
    if (parsed.port === 0) return `'${one}' has no port: they are from 1 to 65535.`;
  }
  const parsed = v.parse(hostPorts, text);
  return parsed.map(formatHostPort);
}

function address(
  request: InstallRequest,
  [label, name, about]: readonly [string, 'postgres' | 'redis' | 'etcd', string],
  { isOne = false }: { readonly isOne?: boolean } = {},
): ValueField {
  const { existing } = request;
  return {
    ...{ label, about, value: existing[name] ?? '' },
    answers: name satisfies ServerKind,
    accept(text) {
      const found = addressList(text);
      if (typeof found === 'string') return found;
      if (isOne && found.length > 1) return 'It is one server: give one HOST:PORT.';
      return { ...request, existing: { ...existing, [name]: found.join(',') } };
    },
  };
}

const ofDatabase = (
  request: InstallRequest,
  label: string,
  name: 'name' | 'user',
  about: string,
): ValueField => ({
  ...{ label, about, value: request.database[name] },
  accept: (text) =>
    text.trim() === ''
      ? 'It is needed.'
      : { ...request, database: { ...request.database, [name]: text.trim() } },
});

const password = (
  request: InstallRequest,
  label: string,
  name: keyof ServerPasswords,
  whenEmpty = 'none',
): ValueField => ({
  ...{ label, value: request.passwords[name], whenEmpty, isSecret: name !== 'etcdUser' },
  accept: (text) => ({ ...request, passwords: { ...request.passwords, [name]: text } }),
});

const databasePassword = (request: InstallRequest, whenEmpty = 'none'): ValueField => ({
  ...{ label: 'Its password', value: request.database.password, whenEmpty, isSecret: true },
  accept: (text) => ({ ...request, database: { ...request.database, password: text } }),
});

function redisFields(request: InstallRequest): ValueField[] {
  const { existing } = request;
  const isWatched = existing.redisService !== undefined;
  const kind: ValueField = {
    ...{ label: 'Redis is', value: isWatched ? WATCHED : ONE, choices: [ONE, WATCHED] },
    about: 'Sentinels tell which server is the master when one was lost.',
    accept: (text) => ({
      ...request,
      existing: {
        ...existing,
        redis: undefined,
        redisService: text === WATCHED ? DEFAULT_SERVICE : undefined,
      },
    }),
  };
  if (!isWatched) {
    const one = address(request, ['Redis', 'redis', 'HOST:PORT of version 7 or later.'], {
      isOne: true,
    });
    return [kind, one, password(request, 'Redis password', 'redis')];
  }
  const name: ValueField = {
    ...{ label: 'Watched as', value: existing.redisService ?? '' },
    about: 'The name under which the Sentinels watch the master.',
    accept: (text) =>
      text.trim() === ''
        ? 'It is needed.'
        : { ...request, existing: { ...existing, redisService: text.trim() } },
  };
  return [
    kind,
    address(request, ['Sentinels', 'redis', 'HOST:PORT of each of them, with commas.']),
    name,
    password(request, 'Redis password', 'redis'),
    password(request, "Sentinels' own", 'sentinel'),
  ];
}

function existingFields(request: InstallRequest): ValueField[] {
  return [
    address(request, [
      'PostgreSQL',
      'postgres',
      'HOST:PORT of version 16 or later; with its standbys, in any order.',
    ]),
    ofDatabase(request, 'Database', 'name', 'It may be there already.'),
    ofDatabase(request, 'Role', 'user', 'Whose tables they will be.'),
    databasePassword(request),
    ...redisFields(request),
    address(request, ['etcd', 'etcd', 'HOST:PORT of each member of the cluster, with commas.']),
    password(request, 'etcd user', 'etcdUser'),
    password(request, 'etcd password', 'etcd'),
  ];
}

const isNamed = ({ postgres, redis, etcd }: Partial<ExistingServers>): boolean =>
  postgres !== undefined && redis !== undefined && etcd !== undefined;

const namesOf = ({ existing }: InstallRequest): string =>
  isNamed(existing)
    ? `PostgreSQL at ${existing.postgres}, Redis at ${existing.redis}, etcd at ${existing.etcd}`
    : '(needed)';

/** Of `develop` and `package`. */
export function serverGroup(request: InstallRequest): Group {
  const exist =
    request.halfstack === 'existing' || (request.halfstack === 'auto' && isNamed(request.existing));
  const source: ValueField = {
    ...{ label: 'They are', value: exist ? EXISTING : COMPOSE, choices: [COMPOSE, EXISTING] },
    about: 'Compose starts three containers on this machine, with Docker or Podman.',
    accept: (text) =>
      text === EXISTING
        ? { ...request, halfstack: 'existing', watch: 'nothing' }
        : { ...request, halfstack: 'compose', existing: {} },
  };
  const ports: readonly (readonly [keyof Ports, string])[] = [
    ['postgres', 'PostgreSQL port'],
    ['redis', 'Redis port'],
    ['etcd', 'etcd port'],
  ];
  return {
    label: 'Servers',
    about: 'PostgreSQL, Redis and etcd, which hold the data.',
    value: exist ? namesOf(request) : COMPOSE,
    fields: [
      source,
      ...(exist
        ? existingFields(request)
        : ports.map(([name, label]) => portField(request, name, label))),
    ],
  };
}

/** Where the data of `move` goes. */
export function moveGroup(request: InstallRequest): Group {
  const namespace: ValueField = {
    ...{ label: 'etcd namespace', value: request.etcdNamespace ?? '', whenEmpty: 'as by default' },
    about: 'Under which name etcd keeps the settings; by default that of the environment.',
    accept: (text) =>
      /^[\w.-]*$/.test(text)
        ? { ...request, etcdNamespace: text === '' ? null : text }
        : 'Letters, digits, . _ and -.',
  };
  return {
    label: 'Servers',
    about: 'PostgreSQL, Redis and etcd that shall hold the data.',
    value: namesOf(request),
    fields: [...existingFields(request), namespace],
  };
}

const AS_BEFORE = 'as before';
const areSaid = ({ database, passwords }: InstallRequest): boolean =>
  [database.password, ...Object.values(passwords)].some((word) => word !== '');

/** What `configure` can change of servers that exist: only what they ask for. */
export function passwordGroup(request: InstallRequest): Group {
  return {
    label: 'Passwords',
    about: 'Of PostgreSQL, Redis and etcd, where they were changed.',
    value: !request.undo && areSaid(request) ? 'new ones' : AS_BEFORE,
    fields: [
      { ...databasePassword(request, AS_BEFORE), label: 'PostgreSQL' },
      password(request, 'Redis', 'redis', AS_BEFORE),
      ...(request.existing.redisService === undefined
        ? []
        : [password(request, 'Sentinels', 'sentinel', AS_BEFORE)]),
      password(request, 'etcd user', 'etcdUser', AS_BEFORE),
      password(request, 'etcd', 'etcd', AS_BEFORE),
    ],
  };
}
