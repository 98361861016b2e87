/** What kernels leave on this host: processes, folders, control groups. */
import { readdir, readFile } from 'node:fs/promises';

export interface HostProcess {
  readonly pid: number;
  readonly command: string;
  /** The first mark that names it. */
  readonly mark: string;
}

/** Processes whose command line or environment names one of `marks`; this one is left out. */
export async function processesNaming(marks: readonly string[]): Promise<HostProcess[]> {
  if (marks.length === 0) return [];
  const found: HostProcess[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const read = (file: string) => readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '');
    const [command, variables] = [await read('cmdline'), await read('environ')];
    const mark = marks.find((text) => command.includes(text) || variables.includes(text));
    if (mark === undefined) continue;
    const shown = command.replaceAll('\0', ' ').slice(0, 200);
    found.push({ pid: Number(name), command: shown, mark });
  }
  return found;
}

/** Names in a folder; none when it does not exist. */
export const namesIn = (folder: string): Promise<string[]> =>
  readdir(folder).catch((): string[] => []);

const CGROUPS = '/sys/fs/cgroup';

/** Control groups of these kernels, in either version's layout. */
export async function cgroupsOf(kernelIds: readonly string[]): Promise<string[]> {
  const wanted = new Set(kernelIds);
  const parents = ['', ...(await namesIn(CGROUPS))].map(
    (controller) => `${CGROUPS}/${controller}/backend.ai`,
  );
  const found: string[] = [];
  for (const parent of parents) {
    for (const name of await namesIn(parent)) if (wanted.has(name)) found.push(`${parent}/${name}`);
  }
  return found;
}
