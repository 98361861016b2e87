/**
 * What tells this agent's containers from those of another agent with the same name on the same
 * daemon, such as the local cluster of another folder: an id kept beside the kernels' folders.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';

const instanceId = v.pipe(v.string(), v.trim(), v.uuid());

/** The id of a scratch folder, made at first use. */
export async function instanceOf(scratchRoot: string): Promise<string> {
  await mkdir(scratchRoot, { recursive: true, mode: 0o755 });
  const path = join(scratchRoot, '.instance');
  const draft = `${path}.${process.pid}`;
  const known = await readFile(path, 'utf8').catch(() => null);
  if (known === null) {
    await writeFile(draft, `${randomUUID()}\n`);
    try {
      // Never replaces an id that another process wrote meanwhile.
      await link(draft, path);
    } finally {
      await rm(draft, { force: true });
    }
  }
  return v.parse(instanceId, known ?? (await readFile(path, 'utf8')));
}
