/** Packs a file or folder into a temporary tar file of bounded size. */
import { createReadStream } from 'node:fs';
import { lstat, open, readdir, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
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
  tar.on('error', () => {
    // Told by both promises below.
  });
  const written = writeTo(target, tar, maxBytes);
  const added = addEntry(tar, source, basename(source) || 'root', limits).then(() =>
    tar.finalize(),
  );
  added.catch(() => tar.destroy());
  const outcomes = await Promise.allSettled([written, added]);
  const failures = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason] : [],
  );
  // When one side fails the other one fails with a stream that closed early: tell the cause.
  const cause = failures.find((failure) => failure instanceof RunnerError) ?? failures.at(-1);
  if (cause !== undefined) throw cause;
}

async function writeTo(target: string, tar: Pack, maxBytes: number): Promise<void> {
  const file = await open(target, 'wx', 0o600);
  let bytes = 0;
  try {
    for await (const chunk of tar) {
      if (!(chunk instanceof Uint8Array)) throw new TypeError('the archive is not made of bytes');
      bytes += chunk.length;
      if (bytes > maxBytes) {
        throw new RunnerError('too-large', `The archive would be larger than ${maxBytes} bytes.`);
      }
      await file.writeFile(chunk);
    }
  } finally {
    tar.destroy();
    await file.close();
  }
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
