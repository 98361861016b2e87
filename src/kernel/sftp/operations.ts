/** What each request of SFTP does, and what it is answered. */
import { constants } from 'node:fs';
import {
  link,
  lstat,
  mkdir,
  open,
  opendir,
  readlink,
  realpath,
  rename,
  rmdir,
  stat,
  statfs,
  symlink,
  unlink,
} from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { errorCode } from '../../common/errors.ts';
import { attributesOf, longName, setOnFile, setOnLink, setOnPath } from './attributes.ts';
import type { Handles } from './handles.ts';
import { MAX_PACKET_BYTES } from './packets.ts';
import {
  attributes,
  type PacketReader,
  request,
  response,
  status,
  string,
  uint32,
  uint64,
} from './wire.ts';

/** Largest piece of a file in one answer. Bytes. */
const MAX_READ_BYTES = 255 * 1024;
/** Names in one answer. */
const NAMES_PER_ANSWER = 128;
/** Bits of an open request. */
const openFlag = { read: 1, write: 2, append: 4, create: 8, truncate: 16, exclusive: 32 } as const;

/** An answer: its type, and what it says. */
export type Answer = readonly [type: number, ...parts: Buffer[]];

export class Refusal extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export interface Workspace {
  /** Where relative paths begin. */
  readonly home: string;
  readonly handles: Handles;
}

const ok: Answer = [response.status, uint32(status.ok), string(''), string('')];

function openMode(flags: number): number {
  const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_CREAT, O_TRUNC, O_EXCL } = constants;
  const isBoth = (flags & openFlag.read) !== 0 && (flags & openFlag.write) !== 0;
  let mode = isBoth ? O_RDWR : flags & openFlag.write ? O_WRONLY : O_RDONLY;
  if (flags & openFlag.append) mode |= O_APPEND;
  if (flags & openFlag.create) mode |= O_CREAT;
  if (flags & openFlag.truncate) mode |= O_TRUNC;
  if (flags & openFlag.exclusive) mode |= O_EXCL;
  return mode;
}

const name = (text: string, long: string, attrs: Buffer): Buffer =>
  Buffer.concat([string(text), string(long), attrs]);

const oneName = (text: string): Answer => [
  response.name,
  uint32(1),
  name(text, text, attributes({})),
];

async function openFile({ home, handles }: Workspace, reader: PacketReader): Promise<Answer> {
  const path = resolve(home, reader.text());
  const flags = reader.uint32();
  const wanted = reader.attributes();
  const file = await open(path, openMode(flags), (wanted.mode ?? 0o666) & 0o7777);
  try {
    const appends = (flags & openFlag.append) !== 0;
    return [response.handle, string(handles.add({ kind: 'file', file, appends }))];
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function read({ handles }: Workspace, reader: PacketReader): Promise<Answer> {
  const { file } = handles.file(reader.bytes());
  const position = reader.uint64();
  const length = Math.min(reader.uint32(), MAX_READ_BYTES);
  const answer = Buffer.allocUnsafe(4 + length);
  const { bytesRead } = await file.read(answer, 4, length, position);
  if (bytesRead === 0 && length > 0) throw new Refusal(status.eof, 'end of file');
  answer.writeUInt32BE(bytesRead);
  return [response.data, answer.subarray(0, 4 + bytesRead)];
}

async function write({ handles }: Workspace, reader: PacketReader): Promise<Answer> {
  const { file, appends } = handles.file(reader.bytes());
  const position = reader.uint64();
  const data = reader.bytes();
  for (let done = 0; done < data.length; ) {
    const at = appends ? null : position + done;
    done += (await file.write(data, done, data.length - done, at)).bytesWritten;
  }
  return ok;
}

async function openFolder({ home, handles }: Workspace, reader: PacketReader): Promise<Answer> {
  const path = resolve(home, reader.text());
  const folder = await opendir(path);
  try {
    return [response.handle, string(handles.add({ kind: 'folder', folder, path }))];
  } catch (error) {
    await folder.close();
    throw error;
  }
}

async function readFolder({ handles }: Workspace, reader: PacketReader): Promise<Answer> {
  const { folder, path } = handles.folder(reader.bytes());
  const found: Buffer[] = [];
  while (found.length < NAMES_PER_ANSWER) {
    const entry = await folder.read();
    if (entry === null) break;
    // Gone since it was listed.
    const info = await lstat(join(path, entry.name)).catch(() => null);
    if (info === null) continue;
    found.push(name(entry.name, longName(entry.name, info), attributes(attributesOf(info))));
  }
  if (found.length === 0) throw new Refusal(status.eof, 'no more names');
  return [response.name, uint32(found.length), ...found];
}

/** The absolute path without links, as far as it exists. */
async function canonical(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' || path === '/') throw error;
    return join(await canonical(dirname(path)), basename(path));
  }
}

/** Version 3 renames to new names only. */
async function renameToNew(from: string, to: string): Promise<void> {
  const isTaken = await lstat(to).then(
    () => true,
    () => false,
  );
  if (isTaken) throw new Refusal(status.failure, `${to} exists already`);
  await rename(from, to);
}

async function fileSystem(path: string): Promise<Answer> {
  const info = await statfs(path);
  const { bsize, blocks, bfree, bavail, files, ffree } = info;
  const maxName = 255;
  const values = [bsize, bsize, blocks, bfree, bavail, files, ffree, ffree, 0, 0, maxName];
  return [response.extendedReply, ...values.map((value) => uint64(value))];
}

/** Extensions of OpenSSH: name → version, as they are announced. */
export const extensions: Readonly<Record<string, string>> = {
  'posix-rename@openssh.com': '1',
  'hardlink@openssh.com': '1',
  'fsync@openssh.com': '1',
  'statvfs@openssh.com': '2',
  'fstatvfs@openssh.com': '2',
  'lsetstat@openssh.com': '1',
  'limits@openssh.com': '1',
  'expand-path@openssh.com': '1',
};

async function extended({ home, handles }: Workspace, reader: PacketReader): Promise<Answer> {
  const kind = reader.text();
  const path = () => resolve(home, reader.text());
  switch (kind) {
    case 'posix-rename@openssh.com':
      await rename(path(), path());
      return ok;
    case 'hardlink@openssh.com':
      await link(path(), path());
      return ok;
    case 'fsync@openssh.com':
      await handles.file(reader.bytes()).file.sync();
      return ok;
    case 'statvfs@openssh.com':
      return await fileSystem(path());
    case 'fstatvfs@openssh.com':
      return await fileSystem(`/proc/self/fd/${handles.file(reader.bytes()).file.fd}`);
    case 'lsetstat@openssh.com':
      await setOnLink(path(), reader.attributes());
      return ok;
    case 'limits@openssh.com':
      return [
        response.extendedReply,
        ...[MAX_PACKET_BYTES, MAX_READ_BYTES, MAX_READ_BYTES, 0].map((value) => uint64(value)),
      ];
    case 'expand-path@openssh.com': {
      const text = reader.text();
      const isHome = text === '~' || text.startsWith('~/');
      return oneName(resolve(home, isHome ? `.${text.slice(1)}` : text));
    }
    default:
      throw new Refusal(status.unsupported, `${kind} is not supported`);
  }
}

/**
 * Performs one request. @throws Refusal; MalformedPacket; whatever the file system throws.
 */
export async function perform(
  type: number,
  reader: PacketReader,
  space: Workspace,
): Promise<Answer> {
  const { home, handles } = space;
  const path = () => resolve(home, reader.text());
  switch (type) {
    case request.open:
      return await openFile(space, reader);
    case request.close:
      await handles.close(reader.bytes());
      return ok;
    case request.read:
      return await read(space, reader);
    case request.write:
      return await write(space, reader);
    case request.lstat:
      return [response.attrs, attributes(attributesOf(await lstat(path())))];
    case request.stat:
      return [response.attrs, attributes(attributesOf(await stat(path())))];
    case request.fstat: {
      const { file } = handles.file(reader.bytes());
      return [response.attrs, attributes(attributesOf(await file.stat()))];
    }
    case request.setstat:
      await setOnPath(path(), reader.attributes());
      return ok;
    case request.fsetstat:
      await setOnFile(handles.file(reader.bytes()).file, reader.attributes());
      return ok;
    case request.opendir:
      return await openFolder(space, reader);
    case request.readdir:
      return await readFolder(space, reader);
    case request.remove:
      await unlink(path());
      return ok;
    case request.mkdir: {
      const made = path();
      await mkdir(made, (reader.attributes().mode ?? 0o777) & 0o7777);
      return ok;
    }
    case request.rmdir:
      await rmdir(path());
      return ok;
    case request.realpath:
      return oneName(await canonical(path()));
    case request.rename:
      await renameToNew(path(), path());
      return ok;
    case request.readlink:
      return oneName(await readlink(path()));
    case request.symlink: {
      // OpenSSH sends them the other way round than the standard says, and everybody follows it.
      const target = reader.text();
      await symlink(target, path());
      return ok;
    }
    case request.extended:
      return await extended(space, reader);
    default:
      throw new Refusal(status.unsupported, `request ${type} is not supported`);
  }
}
