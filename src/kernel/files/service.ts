/** File operations of the agent, confined to the working folder. */
import { constants, rmSync } from 'node:fs';
import { type FileHandle, mkdir, mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { errorCode, errorMessage } from '../../common/errors.ts';
import { type FileListing, MAX_TRANSFER_BYTES } from '../../common/protocol/execution.ts';
import { FILE_CHUNK_BYTES } from '../../common/protocol/runner.ts';
import type { Random } from '../../common/random.ts';
import { RunnerError } from '../errors.ts';
import { packTo } from './archive.ts';
import { listFolder } from './listing.ts';
import { resolveInside } from './paths.ts';

/** Archives open at one time; each takes up to MAX_TRANSFER_BYTES of temporary space. */
const MAX_ARCHIVES = 8;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

interface Chunk {
  data: string;
  eof: boolean;
}

export class FileService {
  private readonly root: string;
  private readonly random: Random;
  /** Temporary folder of each open archive, by handle. */
  private readonly archives = new Map<string, string>();

  /** @param root an existing folder. */
  constructor(root: string, random: Random) {
    this.root = root;
    this.random = random;
  }

  async list(path: string): Promise<FileListing> {
    return await listFolder(resolveInside(this.root, path));
  }

  /** Writes base64 `data` at `offset`; offset 0 truncates. */
  async write(path: string, offset: number, data: string): Promise<{ written: number }> {
    if (!BASE64.test(data)) throw new RunnerError('bad-request', 'The data is not base64.');
    const bytes = Buffer.from(data, 'base64');
    checkOffset(offset);
    if (bytes.length > FILE_CHUNK_BYTES || offset + bytes.length > MAX_TRANSFER_BYTES) {
      throw new RunnerError('too-large', `Files of up to ${MAX_TRANSFER_BYTES} bytes are taken.`);
    }
    const target = resolveInside(this.root, path);
    const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = constants;
    const flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | (offset === 0 ? O_TRUNC : 0);
    return await failing(`write ${path}`, async () => {
      await mkdir(dirname(target), { recursive: true });
      return await withFile(target, flags, async (file) => {
        let done = 0;
        while (done < bytes.length) {
          const left = bytes.length - done;
          done += (await file.write(bytes, done, left, offset + done)).bytesWritten;
        }
        return { written: bytes.length };
      });
    });
  }

  /** Reads up to FILE_CHUNK_BYTES at `offset`. */
  async read(path: string, offset: number): Promise<Chunk & { size: number }> {
    checkOffset(offset);
    const target = resolveInside(this.root, path);
    return await failing(`read ${path}`, () => readChunk(target, offset));
  }

  /** Packs a file or folder; the archive goes away by itself when the signal aborts. */
  async openArchive(
    path: string,
    maxBytes: number,
    signal: AbortSignal,
  ): Promise<{ handle: string; size: number }> {
    if (this.archives.size >= MAX_ARCHIVES) {
      throw new RunnerError('busy', `${MAX_ARCHIVES} archives are open already; close one first.`);
    }
    const source = resolveInside(this.root, path);
    const handle = this.random.uuid();
    const folder = await mkdtemp(join(tmpdir(), 'archive-'));
    this.archives.set(handle, folder);
    try {
      const limit = Math.min(maxBytes, MAX_TRANSFER_BYTES);
      await failing(`pack ${path}`, () => packTo(join(folder, 'tar'), source, limit));
      const { size } = await stat(join(folder, 'tar'));
      if (signal.aborted) throw new RunnerError('failed', 'The connection was closed.');
      signal.addEventListener('abort', () => void this.closeArchive(handle), { once: true });
      return { handle, size };
    } catch (error) {
      await this.closeArchive(handle);
      throw error;
    }
  }

  async readArchive(handle: string, offset: number): Promise<Chunk> {
    checkOffset(offset);
    const folder = this.archives.get(handle);
    if (folder === undefined) throw new RunnerError('not-found', 'There is no such archive.');
    const { data, eof } = await readChunk(join(folder, 'tar'), offset);
    return { data, eof };
  }

  /** Closing twice is harmless. */
  async closeArchive(handle: string): Promise<void> {
    const folder = this.archives.get(handle);
    this.archives.delete(handle);
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }

  /** Removes all temporary files. */
  close(): void {
    for (const folder of this.archives.values()) rmSync(folder, { recursive: true, force: true });
    this.archives.clear();
  }
}

function checkOffset(offset: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new RunnerError('bad-request', 'An offset is a whole number of bytes, from 0.');
  }
}

async function withFile<T>(
  path: string,
  flags: number,
  use: (file: FileHandle) => Promise<T>,
): Promise<T> {
  const file = await open(path, flags, 0o644);
  try {
    const info = await file.stat();
    if (!info.isFile()) throw new RunnerError('bad-request', 'That is not a regular file.');
    return await use(file);
  } finally {
    await file.close();
  }
}

/** O_NONBLOCK keeps a named pipe from blocking before it is found not to be a regular file. */
function readChunk(path: string, offset: number): Promise<Chunk & { size: number }> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  return withFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, async (file) => {
    const { size } = await file.stat();
    const buffer = Buffer.alloc(Math.max(0, Math.min(FILE_CHUNK_BYTES, size - offset)));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
    const data = buffer.subarray(0, bytesRead).toString('base64');
    return { data, eof: offset + bytesRead >= size || bytesRead === 0, size };
  });
}

/** Turns a system error into an answer that says what was attempted. */
async function failing<T>(what: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof RunnerError) throw error;
    if (errorCode(error) === 'ENOENT') {
      throw new RunnerError('not-found', `Cannot ${what}: there is no such file or folder.`);
    }
    throw new RunnerError('failed', `Cannot ${what}: ${errorMessage(error)}`);
  }
}
