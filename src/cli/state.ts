/** What the commands remember between runs: sign-ins, who signed in, announcements that were seen. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import * as v from 'valibot';

type Environment = Readonly<Record<string, string | undefined>>;

export const stateFolder = (env: Environment): string =>
  join(env.XDG_STATE_HOME || join(env.HOME || homedir(), '.local/state'), 'backend.ai');

/** Not upstream's `cookie.dat`, which only Python can read. */
export const signInsPath = (env: Environment): string => join(stateFolder(env), 'sign-ins.json');

/** Keys of sessions, for SSH clients. */
export const sshFolder = (env: Environment): string => join(stateFolder(env), 'ssh');

const namePath = (env: Environment): string => join(stateFolder(env), 'config.json');
const announcementPath = (env: Environment): string => join(stateFolder(env), 'announcement.json');

/** A JSON file's content; null when it is missing or not of this shape. */
export function readJson<S extends v.GenericSchema>(
  path: string,
  schema: S,
): v.InferOutput<S> | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return null;
  }
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), text);
  return parsed.success ? parsed.output : null;
}

/** Writes a file for its owner only; whoever reads it meanwhile, or after a crash, finds the old one. */
export function writeJson(path: string, value: unknown): void {
  mkdirSync(dirname(path), { recursive: true });
  const staging = `${path}.${process.pid}`;
  writeFileSync(staging, JSON.stringify(value), { mode: 0o600 });
  renameSync(staging, path);
}

/** Who signed in last; null when nobody is signed in. */
export const signedInName = (env: Environment): string | null =>
  readJson(namePath(env), v.object({ username: v.string() }))?.username ?? null;

/** @param username null: nobody any more. */
export function rememberName(env: Environment, username: string | null): void {
  if (username === null) rmSync(namePath(env), { force: true });
  else writeJson(namePath(env), { username });
}

const announcementState = v.object({
  /** SHA-256 of the announcement's text, hexadecimal. */
  hash: v.string(),
  dismissed: v.boolean(),
});
export type AnnouncementState = v.InferOutput<typeof announcementState>;

/** The announcement that was shown last; null when none was. */
export const seenAnnouncement = (env: Environment): AnnouncementState | null =>
  readJson(announcementPath(env), announcementState);

/** @throws the file system's error. */
export const rememberAnnouncement = (env: Environment, state: AnnouncementState): void =>
  writeJson(announcementPath(env), state);

const fileVersion = v.object({ size: v.number(), modifiedMs: v.number() });
const syncState = v.record(v.string(), v.object({ local: fileVersion, remote: fileVersion }));
/** Path → how both sides were when they were last the same. */
export type SyncState = v.InferOutput<typeof syncState>;

/** One file for each pair of a directory and a folder. */
const syncPath = (env: Environment, directory: string, folderId: string): string => {
  const name = new Bun.CryptoHasher('sha256').update(`${directory}\0${folderId}`).digest('hex');
  return join(stateFolder(env), 'sync', `${name}.json`);
};

/** What the last synchronisation left; nothing at first. */
export const syncedState = (env: Environment, directory: string, folderId: string): SyncState =>
  readJson(syncPath(env, directory, folderId), syncState) ?? {};

/** @throws the file system's error. */
export const rememberSync = (
  env: Environment,
  directory: string,
  folderId: string,
  state: SyncState,
): void => writeJson(syncPath(env, directory, folderId), state);
