/** What a cluster keeps from run to run, so that addresses stay the same: its ports. */
import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';

const remembered = v.object({
  appProxyPort: v.optional(v.number()),
  appProxyHttp2Port: v.optional(v.number()),
  appProxyHttpPort: v.optional(v.number()),
  appProxyTcpPort: v.optional(v.number()),
  managerPort: v.optional(v.number()),
  metricsPort: v.optional(v.number()),
  postgresPort: v.optional(v.number()),
  storageClientPort: v.optional(v.number()),
  storageManagerPort: v.optional(v.number()),
  webPort: v.optional(v.number()),
});
export type Remembered = v.InferOutput<typeof remembered>;

const pathIn = (folder: string) => join(folder, 'ports.json');

export async function readRemembered(folder: string): Promise<Remembered> {
  if (!existsSync(pathIn(folder))) return {};
  try {
    return v.parse(remembered, JSON.parse(await readFile(pathIn(folder), 'utf8')));
  } catch {
    // Only a convenience: other free ports do as well.
    return {};
  }
}

export async function remember(folder: string, value: Remembered): Promise<void> {
  const staging = `${pathIn(folder)}.new`;
  await writeFile(staging, JSON.stringify(value));
  await rename(staging, pathIn(folder));
}
