/** The compiled product that benchmarks run, built anew from the present sources. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkoutRoot } from '../../common/executable.ts';
import { exec } from './measure.ts';

const folder = mkdtempSync(join(tmpdir(), 'bai-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Builds dist/backend.ai. @returns its path. */
export async function bundle(): Promise<string> {
  console.error('⋯ building dist/backend.ai');
  await exec(['sh', `${checkoutRoot}/scripts/build.sh`]);
  return `${checkoutRoot}/dist/backend.ai`;
}

/** An empty program compiled by the same compiler: the floor of every start time. */
export async function emptyProgram(): Promise<string> {
  const source = join(folder, 'empty.ts');
  const out = join(folder, 'empty');
  await Bun.write(source, 'export {};\n');
  await exec([
    process.execPath,
    'build',
    '--compile',
    '--bytecode',
    '--format=esm',
    '--minify',
    `--outfile=${out}`,
    source,
  ]);
  return out;
}

/** A folder of the benchmark's own, deleted at the end of the process. */
export const scratch = (name: string): string => join(folder, name);
