/** Reads a backup's archive, and proves it whole before anything is done with it. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import * as v from 'valibot';
import { errorMessage, UserError } from '../../common/errors.ts';
import { MANIFEST, type Manifest, manifestSchema, PART_BYTES } from './manifest.ts';

/** A part is cut after the piece of a stream that made it too large. */
const MAX_ENTRY_BYTES = 16 * PART_BYTES;
const MAX_ENTRIES = 1_000_000;

const damaged = (file: string, why: string, cause?: unknown): UserError =>
  new UserError(`${file} is not a whole backup: ${why}.`, {
    hint: 'Copy it again from where it was made, or take another one. Nothing was changed.',
    ...(cause === undefined ? {} : { cause }),
  });

async function contentOf(entry: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of entry) {
    if (!(chunk instanceof Uint8Array)) throw new Error('an entry is no bytes');
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size > MAX_ENTRY_BYTES) throw new Error('an entry is too large');
  }
  return Buffer.concat(chunks);
}

/**
 * Calls `take` with each entry in order.
 * @throws UserError when the file cannot be read or is no archive, and what `take` throws.
 */
export async function readEntries(
  file: string,
  take: (name: string, content: Buffer) => Promise<void>,
): Promise<void> {
  const archive = extract();
  const refused: unknown[] = [];
  const taken = async () => {
    let count = 0;
    for await (const entry of archive) {
      count += 1;
      if (count > MAX_ENTRIES) throw damaged(file, 'it has too many entries');
      const content = await contentOf(entry);
      try {
        await take(entry.header.name, content);
      } catch (error) {
        refused.push(error);
        throw error;
      }
    }
  };
  try {
    await Promise.all([pipeline(createReadStream(file), createGunzip(), archive), taken()]);
  } catch (error) {
    if (refused.length > 0) throw refused[0];
    if (error instanceof UserError) throw error;
    throw damaged(file, errorMessage(error), error);
  }
}

function parseManifest(file: string, content: Buffer): Manifest {
  try {
    return v.parse(manifestSchema, JSON.parse(content.toString()));
  } catch (error) {
    throw damaged(file, `its manifest is wrong: ${errorMessage(error)}`, error);
  }
}

/**
 * Reads the whole file and compares every entry with the manifest.
 * @throws UserError for a file that is cut off, altered, or none of ours.
 */
export async function checkBackup(file: string): Promise<Manifest> {
  const digests = new Map<string, string>();
  let manifest: Manifest | null = null;
  await readEntries(file, async (name, content) => {
    if (manifest !== null) throw damaged(file, `'${name}' follows the manifest`);
    if (name === MANIFEST) manifest = parseManifest(file, content);
    else if (digests.has(name)) throw damaged(file, `'${name}' is there twice`);
    else digests.set(name, createHash('sha256').update(content).digest('hex'));
  });
  return complete(file, manifest, digests);
}

function complete(
  file: string,
  manifest: Manifest | null,
  digests: ReadonlyMap<string, string>,
): Manifest {
  if (manifest === null) throw damaged(file, 'it has no manifest');
  for (const [name, digest] of Object.entries(manifest.entries)) {
    const found = digests.get(name);
    if (found === undefined) throw damaged(file, `'${name}' is missing`);
    if (found !== digest) throw damaged(file, `'${name}' was altered`);
  }
  const stranger = [...digests.keys()].find((name) => !(name in manifest.entries));
  if (stranger !== undefined) throw damaged(file, `'${stranger}' is not in its manifest`);
  return manifest;
}
