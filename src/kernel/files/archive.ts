/** Packs a file or folder into a temporary tar file of bounded size. */
import { createReadStream, createWriteStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Pack } from 'tar-stream';
import { RunnerError } from '../errors.ts';

const MAX_ENTRIES = 20_000;

interface Limits {
  entriesLeft: number;
  bytesLeft: number;
}

/**
 * Writes `source` to a new tar file; names begin with the base name of `source`. Symbolic links are
 * kept as links; sockets, pipes and devices are left out.
 * @throws RunnerError too-large when more than `maxBytes` would be packed.
 */
export async function packTo(target: string, source: string, maxBytes: number): Promise<void> {
  const { pack } = await import('tar-stream');
  const tar = pack();
  const limits: Limits = { entriesLeft: MAX_ENTRIES, bytesLeft: maxBytes };
  const written = pipeline(tar, boundedBy(maxBytes), createWriteStream(target, { mode: 0o600 }));
  tar.on('error', () => {
    // The pipeline rejects with the same error.
  });
  // Awaited below; a failure must not count as unhandled while entries are still being added.
  written.catch(() => undefined);
  try {
    await addEntry(tar, source, basename(source) || 'root', limits);
    tar.finalize();
  } catch (error) {
    tar.destroy(error instanceof Error ? error : new Error(String(error)));
    await written.catch(() => undefined);
    throw error;
  }
  await written;
}

function tooLarge(maxBytes: number): RunnerError {
  return new RunnerError('too-large', `The archive would be larger than ${maxBytes} bytes.`);
}

function boundedBy(maxBytes: number): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      bytes += chunk.length;
      if (bytes > maxBytes) done(tooLarge(maxBytes));
      else done(null, chunk);
    },
  });
}

async function addEntry(tar: Pack, path: string, name: string, limits: Limits): Promise<void> {
  limits.entriesLeft -= 1;
  if (limits.entriesLeft < 0) {
    throw new RunnerError('too-large', `More than ${MAX_ENTRIES} files cannot be packed at once.`);
  }
  const info = await lstat(path);
  const header = { name, mode: info.mode & 0o7777, mtime: info.mtime };
  if (info.isDirectory()) {
    await entry(tar, { ...header, name: `${name}/`, type: 'directory' });
    for (const child of await readdir(path)) {
      await addEntry(tar, join(path, child), `${name}/${child}`, limits);
    }
  } else if (info.isSymbolicLink()) {
    await entry(tar, { ...header, type: 'symlink', linkname: await readlink(path) });
  } else if (info.isFile()) {
    limits.bytesLeft -= info.size;
    if (limits.bytesLeft < 0) throw new RunnerError('too-large', `${name} is too large to pack.`);
    await fileEntry(tar, path, { ...header, size: info.size });
  }
}

type Header = Parameters<Pack['entry']>[0];

function entry(tar: Pack, header: Header): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry(header, (error) => (error ? reject(error) : resolve()));
  });
}

/** Adds exactly `header.size` bytes, also when the file grows meanwhile. */
async function fileEntry(
  tar: Pack,
  path: string,
  header: Header & { size: number },
): Promise<void> {
  const source = createReadStream(path, { end: Math.max(0, header.size - 1) });
  await new Promise<void>((resolve, reject) => {
    const sink = tar.entry(header, (error) => (error ? reject(error) : resolve()));
    if (header.size === 0) sink.end(Buffer.alloc(0));
    else source.once('error', reject).pipe(sink);
  }).finally(() => source.destroy());
}
