/**
 * Settings on record besides those that an installation has: of before the last change by `configure`, so that
 * it can be undone, and of a change that was begun and not finished.
 */
import { existsSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { errorMessage, UserError } from '../../common/errors.ts';
import { infoRecord, type Layout, layoutOf, writeOwnFile } from '../layout.ts';
import type { InstallRequest } from '../request.ts';
import { requestOf } from './record.ts';

/** Passwords are part of it: the files are their owner's only. */
const settingsRecord = v.object({
  info: infoRecord,
  passwords: v.object({
    database: v.string(),
    servers: v.object({
      redis: v.string(),
      sentinel: v.string(),
      etcdUser: v.string(),
      etcd: v.string(),
    }),
  }),
});
export type Settings = v.InferOutput<typeof settingsRecord>;

const pendingRecord = v.object({
  /** Components that have to be started. */
  names: v.array(v.string()),
  /** With what it was to end. */
  attempted: settingsRecord,
  /** Whether it was to undo another one. */
  undo: v.boolean(),
});
type Pending = v.InferOutput<typeof pendingRecord>;

const previousPath = (layout: Layout): string => join(layout.root, 'previous-settings.json');
const pendingPath = (layout: Layout): string => join(layout.run, 'to-restart.json');

/** @throws UserError when the file is damaged; null when there is none. */
function read<T>(path: string, schema: v.GenericSchema<unknown, T>): T | null {
  if (!existsSync(path)) return null;
  try {
    return v.parse(schema, JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    throw new UserError(`${path} cannot be read: ${errorMessage(error)}`, {
      hint: 'Remove it, and change the settings by their options.',
    });
  }
}

const write = (path: string, value: Settings | Pending): void =>
  writeOwnFile(path, `${JSON.stringify(value, null, 2)}\n`);

export const readPending = (layout: Layout): Pending | null =>
  read(pendingPath(layout), pendingRecord);
export const writePending = (layout: Layout, pending: Pending): void =>
  write(pendingPath(layout), pending);
export const forgetPending = (layout: Layout): Promise<void> =>
  rm(pendingPath(layout), { force: true });

export const keepPrevious = (layout: Layout, settings: Settings): void =>
  write(previousPath(layout), settings);

/** Whether there is a change that can be undone. */
export const hasPrevious = (layout: Layout): boolean => existsSync(previousPath(layout));

/**
 * A request for the settings of before the last change. Undone itself, that is done again.
 * @throws UserError when nothing was changed, or the record is damaged.
 */
export function previousRequest(request: InstallRequest): InstallRequest {
  const layout = layoutOf(request.targetPath);
  const pending = readPending(layout);
  // Killed in the middle of undoing, what it leads to may be on record as what it leads from.
  const settings =
    pending?.undo === true ? pending.attempted : read(previousPath(layout), settingsRecord);
  if (settings === null) {
    throw new UserError(`No change of the settings in ${layout.root} can be undone.`, {
      hint: 'Only the last one by `install --mode configure` that worked is kept.',
    });
  }
  const { info, passwords } = settings;
  const found = requestOf(info, { ...request, otelEndpoint: null, endpointProtocol: null });
  return {
    ...found,
    mode: 'configure',
    database: { ...found.database, password: passwords.database },
    passwords: passwords.servers,
    undo: true,
  };
}
