/**
 * Uploads and downloads that were begun and are not known to be complete, so that the same command goes
 * on with them after it was killed: one JSON file each in the folder of what commands remember.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Client } from '../../client/index.ts';
import { systemClock } from '../../common/clock.ts';
import type { CommandIo } from '../../common/command.ts';
import { errorCode } from '../../common/errors.ts';
import { readJson, signedInName, stateFolder, writeJson } from '../state.ts';

/** Smaller files are sent again sooner than anything is remembered of them. Bytes. */
export const REMEMBERED_BYTES = 1024 ** 2;
/** More are not remembered at once: the oldest are forgotten. */
const MAX_REMEMBERED = 10_000;

const common = {
  /** Of the program that moves the file. */
  pid: v.number(),
  /** When nobody can go on any more. Milliseconds of the epoch. */
  expiresMs: v.number(),
};

const uploadState = v.object({
  ...common,
  /** Leads to the storage proxy that has the beginning. */
  ticket: v.object({ url: v.string(), token: v.string() }),
  /** The local file as it was then; `head` is the SHA-256 of its beginning, hexadecimal. */
  version: v.object({
    size: v.number(),
    modifiedMs: v.number(),
    changedMs: v.number(),
    head: v.string(),
  }),
});
export type UploadState = v.InferOutput<typeof uploadState>;

const downloadState = v.object({
  ...common,
  /** Absolute path of the file that has the beginning. */
  partial: v.string(),
  /** The server's name for this version of the file: an ETag, or a date. */
  version: v.string(),
});
export type DownloadState = v.InferOutput<typeof downloadState>;

/** Which file goes where. */
export interface TransferKey {
  /** Absolute path on this machine. */
  readonly local: string;
  readonly folderId: string;
  /** In the folder. */
  readonly path: string;
}

const nowMs = ({ clock = systemClock }: CommandIo): number => clock.now().getTime();

/** What this very program is at: files of states. */
const own = new Set<string>();

/** Whether the program that wrote a state still runs. */
function isAlive(path: string, pid: number): boolean {
  // In a container a program often has the same id as the one before it.
  if (pid === process.pid) return own.has(path);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === 'EPERM';
  }
}

/** What the commands of one account at one server left unfinished. */
export class Unfinished {
  private readonly io: CommandIo;
  private readonly folder: string;
  private readonly whose: string;

  constructor(client: Client, io: CommandIo) {
    this.io = io;
    this.folder = join(stateFolder(io.env), 'unfinished');
    const { endpoints, endpointType, accessKey } = client.config;
    const account = endpointType === 'api' ? accessKey : signedInName(io.env);
    this.whose = [...endpoints]
      .sort()
      .concat(endpointType, account ?? '')
      .join('\0');
  }

  private path(direction: 'up' | 'down', { local, folderId, path }: TransferKey): string {
    const name = [direction, this.whose, local, folderId, path].join('\0');
    const hash = new Bun.CryptoHasher('sha256').update(name).digest('hex');
    return join(this.folder, `${hash}.json`);
  }

  private usable<S extends typeof uploadState | typeof downloadState>(
    path: string,
    schema: S,
  ): v.InferOutput<S> | null {
    const state = readJson(path, schema);
    // Two programs would spoil each other's work.
    return state !== null && state.expiresMs > nowMs(this.io) && !isAlive(path, state.pid)
      ? state
      : null;
  }

  /** Null when none was begun, as far as is known, or another program is at it. */
  upload(key: TransferKey): UploadState | null {
    return this.usable(this.path('up', key), uploadState);
  }

  /** As `upload`. */
  download(key: TransferKey): DownloadState | null {
    return this.usable(this.path('down', key), downloadState);
  }

  /** @param lifetimeMs how long one may go on with it. @throws the file system's error. */
  rememberUpload(
    key: TransferKey,
    state: Pick<UploadState, 'ticket' | 'version'>,
    lifetimeMs: number,
  ): void {
    const expiresMs = expiryMs(state.ticket.token) ?? nowMs(this.io) + lifetimeMs;
    this.write(this.path('up', key), { ...state, expiresMs });
  }

  /** @param lifetimeMs how long one may go on with it. @throws the file system's error. */
  rememberDownload(
    key: TransferKey,
    state: Pick<DownloadState, 'partial' | 'version'>,
    lifetimeMs: number,
  ): void {
    const expiresMs = nowMs(this.io) + lifetimeMs;
    this.write(this.path('down', key), { ...state, expiresMs });
  }

  private write(path: string, state: object): void {
    own.add(path);
    writeJson(path, { ...state, pid: process.pid });
  }

  private forget(path: string): void {
    own.delete(path);
    rmSync(path, { force: true });
  }

  forgetUpload(key: TransferKey): void {
    this.forget(this.path('up', key));
  }

  forgetDownload(key: TransferKey): void {
    this.forget(this.path('down', key));
  }

  /** Forgets what nobody can go on with any more, with the beginnings of such downloads. */
  forgetExpired(): void {
    if (!existsSync(this.folder)) return;
    const any = v.object({ ...common, partial: v.optional(v.string()) });
    const found = readdirSync(this.folder).map((name) => ({ name, path: join(this.folder, name) }));
    // What a program was writing when it was killed.
    for (const { name, path } of found) {
      const writer = /\.json\.(\d+)$/.exec(name)?.[1];
      if (writer !== undefined && !isAlive(path, Number(writer))) rmSync(path, { force: true });
    }
    const states = found
      .filter(({ name }) => name.endsWith('.json'))
      .map(({ path }) => ({ path, state: readJson(path, any) }))
      .sort((a, b) => (b.state?.expiresMs ?? 0) - (a.state?.expiresMs ?? 0));
    for (const [index, { path, state }] of states.entries()) {
      if (state !== null && isAlive(path, state.pid)) continue;
      if (state !== null && state.expiresMs > nowMs(this.io) && index < MAX_REMEMBERED) continue;
      if (state?.partial !== undefined) rmSync(state.partial, { force: true });
      rmSync(path, { force: true });
    }
  }
}

/** When a ticket's token expires, if it says so. Milliseconds of the epoch. */
function expiryMs(token: string): number | null {
  const claims = v.pipe(v.string(), v.parseJson(), v.object({ exp: v.number() }));
  const [, payload = ''] = token.split('.');
  const parsed = v.safeParse(claims, Buffer.from(payload, 'base64url').toString());
  return parsed.success ? parsed.output.exp * 1000 : null;
}
