/** What of a request can be changed on the screen, and which texts are taken. */
import { resolve } from 'node:path';
import { parseManagerAddress, parseToken } from '../../common/protocol/join.ts';
import { layoutOf } from '../layout.ts';
import { configurable } from '../modes/configure.ts';
import { withInstalledParts } from '../modes/record.ts';
import { hasPrevious, previousRequest } from '../modes/settings-records.ts';
import { ACCELERATORS, type InstallRequest, usesCompose, WATCHES } from '../request.ts';
import { appProxyGroup } from './app-proxy-fields.ts';
import { type Field, type ValueField, yesNo } from './field.ts';
import { portGroup } from './port-fields.ts';
import { moveGroup, passwordGroup, serverGroup } from './server-fields.ts';

const SHOWN_OF_TOKEN = 9;
/** Accelerators that nobody named. */
const FOUND = 'those found';
const BACKENDS = ['process', 'docker', 'dummy'] as const;
const AS_BELOW = 'as below';
const OF_BEFORE = 'of before the last change';

function joinFields(request: InstallRequest): ValueField[] {
  const { join } = request;
  const changed = (part: Partial<InstallRequest['join']>): InstallRequest => ({
    ...request,
    join: { ...join, ...part },
  });
  return [
    {
      label: 'Manager',
      about: 'HOST or HOST:PORT of its API for agents.',
      value: join.manager,
      accept: (text) =>
        parseManagerAddress(text) === null
          ? 'Give HOST or HOST:PORT of its internal API.'
          : changed({ manager: text.trim() }),
    },
    {
      label: 'Token',
      about: 'Made at the manager: backend.ai mgr token create.',
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
      about: 'As administrators see it; unique in the cluster.',
      value: join.agentId,
      accept: (text) =>
        /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text)
          ? changed({ agentId: text })
          : 'Letters, digits, . _ and -, at most 64.',
    },
  ];
}

/** What is started to see into the cluster: only compose can. */
function watchFields(request: InstallRequest): ValueField[] {
  if (!usesCompose(request)) return [];
  return [
    {
      label: 'See into it by',
      about: 'Telemetry: traces and logs; observability: also figures, dashboards, alerts.',
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

function folderField(request: InstallRequest): ValueField {
  return {
    label: 'Folder',
    about:
      request.mode === 'standalone' ? 'Its bin gets the program.' : 'Everything of it lies there.',
    value: request.targetPath,
    accept(text) {
      if (text.trim() === '') return 'A folder is needed.';
      const moved = { ...request, targetPath: resolve(text.trim()) };
      return request.mode === 'configure' ? configurable(moved) : withInstalledParts(moved);
    },
  };
}

function componentFields(request: InstallRequest): ValueField[] {
  const publicAddress: ValueField = {
    label: 'Public address',
    about: 'Which clients use; servers listen everywhere unless it is 127.0.0.1.',
    value: request.publicAddress,
    accept: (text) =>
      /^[\w.:[\]-]+$/.test(text)
        ? { ...request, publicAddress: text }
        : 'That is neither a host name nor an address.',
  };
  const accelerator: ValueField = {
    label: 'Accelerators',
    about: 'The GPUs of this machine, or simulated devices (mock).',
    value: request.accelerator ?? FOUND,
    choices: [FOUND, ...ACCELERATORS],
    accept: (text) => ({
      ...request,
      accelerator: ACCELERATORS.find((name) => name === text) ?? null,
    }),
  };
  return [publicAddress, backendField(request), accelerator];
}

const backendField = (request: InstallRequest): ValueField => ({
  label: 'Sessions run as',
  about: 'Processes for one trusted user, or containers; dummy: simulated ones.',
  value: request.agentBackend,
  choices: BACKENDS,
  accept(text) {
    const agentBackend = BACKENDS.find((name) => name === text);
    return agentBackend ? { ...request, agentBackend } : `One of ${BACKENDS.join(', ')}.`;
  },
});

/** Whether the last change is undone, where there is one. */
function undoFields(request: InstallRequest): ValueField[] {
  if (!hasPrevious(layoutOf(request.targetPath))) return [];
  return [
    {
      label: 'Settings',
      about: 'Go back to what was there before the last change.',
      value: request.undo ? OF_BEFORE : AS_BELOW,
      choices: [AS_BELOW, OF_BEFORE],
      accept: (text) =>
        text === OF_BEFORE ? previousRequest(request) : configurable({ ...request, undo: false }),
    },
  ];
}

function configureFields(request: InstallRequest): Field[] {
  return [
    folderField(request),
    ...undoFields(request),
    ...componentFields(request),
    appProxyGroup(request),
    portGroup(request),
    ...(request.halfstack === 'existing' ? [passwordGroup(request)] : []),
  ];
}

function maintainFields(request: InstallRequest): Field[] {
  const purge = (label: string, about: string) =>
    yesNo(label, request.purge, about, (is) => ({ ...request, purge: is }));
  switch (request.maintenance) {
    case 'move':
      return [
        moveGroup(request),
        purge('Delete the old', 'The data of before, once it works on the servers.'),
      ];
    case 'uninstall':
      return [
        folderField(request),
        purge('Delete data too', 'For good: folders, databases, keys.'),
      ];
    case 'upgrade':
    case 'repair':
      return [folderField(request)];
  }
}

/** @throws nothing: what cannot be read is told by the plan. */
export function fieldsOf(request: InstallRequest): Field[] {
  switch (request.mode) {
    case 'join':
      return [...joinFields(request), folderField(request), backendField(request)];
    case 'standalone':
      return [folderField(request)];
    case 'configure':
      return configureFields(request);
    case 'maintain':
      return maintainFields(request);
    case 'develop':
    case 'package':
      return [
        folderField(request),
        ...componentFields(request),
        serverGroup(request),
        ...watchFields(request),
        appProxyGroup(request),
        yesNo(
          'SFTP agent',
          request.sftpAgent,
          'A second agent, for copying files to folders.',
          (sftpAgent) => ({ ...request, sftpAgent }),
        ),
        portGroup(request),
      ];
  }
}
