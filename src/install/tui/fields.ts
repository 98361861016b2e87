/** What of a request can be changed on the screen, and which texts are taken. */
import { resolve } from 'node:path';
import { formatHostPort, parseHostPort } from '../../common/config/values.ts';
import { parseManagerAddress, parseToken } from '../../common/protocol/join.ts';
import { configurable } from '../modes/configure.ts';
import {
  ACCELERATORS,
  type ExistingServers,
  type InstallRequest,
  usesCompose,
  WATCHES,
} from '../request.ts';

export interface Field {
  readonly label: string;
  readonly value: string;
  /** Enter goes from one to the next. Free text without. */
  readonly choices?: readonly string[];
  /** It is not shown, and written anew when it is changed. */
  readonly isSecret?: boolean;
  /** How much of a secret is shown all the same, which tells its kind. Characters; 0 by default. */
  readonly shown?: number;
  /** @returns the changed request, or why the text is not taken. */
  accept(text: string): InstallRequest | string;
}

const SHOWN_OF_TOKEN = 9;
/** Accelerators that nobody named. */
const FOUND = 'those found';
const BACKENDS = ['process', 'docker', 'dummy'] as const;

function joinFields(request: InstallRequest): Field[] {
  const { join } = request;
  const changed = (part: Partial<InstallRequest['join']>): InstallRequest => ({
    ...request,
    join: { ...join, ...part },
  });
  return [
    {
      label: 'Manager',
      value: join.manager,
      accept: (text) =>
        parseManagerAddress(text) === null
          ? 'Give HOST or HOST:PORT of its internal API.'
          : changed({ manager: text.trim() }),
    },
    {
      label: 'Token',
      value: join.token,
      isSecret: true,
      shown: SHOWN_OF_TOKEN,
      accept: (text) =>
        parseToken(text) === null
          ? 'That is no whole token. Make one at the manager: backend.ai mgr token create.'
          : changed({ token: text.trim() }),
    },
    {
      label: 'Name of the node',
      value: join.agentId,
      accept: (text) =>
        /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text)
          ? changed({ agentId: text })
          : 'Letters, digits, . _ and -, at most 64.',
    },
  ];
}

/** Where the data of `move` goes. */
function serverFields(request: InstallRequest): Field[] {
  const { existing, database } = request;
  const server = (label: string, name: keyof ExistingServers): Field => ({
    label,
    value: existing[name] ?? '',
    accept(text) {
      const parsed = parseHostPort(text);
      if (parsed === null || parsed.host === '') return 'Give HOST:PORT.';
      return { ...request, existing: { ...existing, [name]: formatHostPort(parsed) } };
    },
  });
  const ofDatabase = (
    label: string,
    name: 'name' | 'user' | 'password',
    isSecret = false,
  ): Field => ({
    ...{ label, value: database[name], isSecret },
    accept: (text) =>
      text === '' ? 'It is needed.' : { ...request, database: { ...database, [name]: text } },
  });
  return [
    server('PostgreSQL', 'postgres'),
    ofDatabase('Database', 'name'),
    ofDatabase('Role', 'user'),
    ofDatabase('Password', 'password', true),
    server('Redis', 'redis'),
    server('etcd', 'etcd'),
  ];
}

/** What is started to see into the cluster: only compose can. */
function watchFields(request: InstallRequest): Field[] {
  if (!usesCompose(request)) return [];
  return [
    {
      label: 'See into it by',
      value: request.watch,
      choices: WATCHES,
      accept: (text) => ({
        ...request,
        watch: WATCHES.find((name) => name === text) ?? 'nothing',
        isWatchOptional: false,
      }),
    },
  ];
}

const PORT_LABELS = { manager: 'Port of the API', web: 'Port of web page' } as const;

function portFields(request: InstallRequest): Field[] {
  const names = ['manager', 'web'] as const;
  return names.map((name) => ({
    label: PORT_LABELS[name],
    value: String(request.ports[name]),
    accept(text) {
      const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
      if (port < 1 || port > 65_535) return 'A port is a number from 1 to 65535.';
      return { ...request, ports: { ...request.ports, [name]: port } };
    },
  }));
}

/** How the value of a field is shown: of a secret only how it begins. */
export function shownValue({
  value,
  isSecret,
  shown = 0,
}: Pick<Field, 'value' | 'isSecret' | 'shown'>): string {
  if (value === '') return '(needed)';
  return isSecret === true ? `${value.slice(0, shown)}…` : value;
}

export function fieldsOf(request: InstallRequest): Field[] {
  const folder: Field = {
    label: 'Folder',
    value: request.targetPath,
    accept(text) {
      if (text.trim() === '') return 'A folder is needed.';
      const moved = { ...request, targetPath: resolve(text.trim()) };
      return request.mode === 'configure' ? configurable(moved) : moved;
    },
  };
  const publicAddress: Field = {
    label: 'Public address',
    value: request.publicAddress,
    accept: (text) =>
      /^[\w.:[\]-]+$/.test(text)
        ? { ...request, publicAddress: text }
        : 'That is neither a host name nor an address.',
  };
  const backend: Field = {
    label: 'Sessions run as',
    value: request.agentBackend,
    choices: BACKENDS,
    accept(text) {
      const agentBackend = BACKENDS.find((name) => name === text);
      return agentBackend ? { ...request, agentBackend } : `One of ${BACKENDS.join(', ')}.`;
    },
  };
  const accelerator: Field = {
    label: 'Accelerators',
    value: request.accelerator ?? FOUND,
    choices: [FOUND, ...ACCELERATORS],
    accept: (text) => ({
      ...request,
      accelerator: ACCELERATORS.find((name) => name === text) ?? null,
    }),
  };
  const purge: Field = {
    label: request.maintenance === 'move' ? 'Delete the old' : 'Delete data too',
    value: request.purge ? 'yes' : 'no',
    choices: ['no', 'yes'],
    accept: (text) => ({ ...request, purge: text === 'yes' }),
  };
  if (request.mode === 'join') return [...joinFields(request), folder, backend];
  if (request.mode === 'standalone') return [folder];
  if (request.mode === 'configure') {
    return [folder, publicAddress, backend, accelerator, ...portFields(request)];
  }
  if (request.mode !== 'maintain') {
    return [folder, publicAddress, backend, accelerator, ...watchFields(request)];
  }
  if (request.maintenance === 'move') return [...serverFields(request), purge];
  return request.maintenance === 'uninstall' ? [folder, purge] : [folder];
}
