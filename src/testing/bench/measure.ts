/** Timing, percentiles, memory and the table that every benchmark prints. */
import { readdirSync, readFileSync } from 'node:fs';

export interface Row {
  readonly what: string;
  /** Milliseconds, or MiB where the unit says so. */
  readonly samples: readonly number[];
  readonly unit: 'ms' | 'MiB';
  /** The figure to reach, by the median. */
  readonly goal?: number;
  /** A peer or physical limit measured in the same run; the ratio is against its median. */
  readonly peer?: { readonly what: string; readonly samples: readonly number[] };
}

export function percentile(samples: readonly number[], fraction: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const index = Math.min(sorted.length - 1, Math.max(0, Math.ceil(fraction * sorted.length) - 1));
  return sorted[index] ?? Number.NaN;
}

const show = (value: number): string => (value < 10 ? value.toFixed(2) : value.toFixed(0));

export function printTable(title: string, rows: readonly Row[]): void {
  console.log(`\n${title}`);
  console.log('| what | n | p50 | p95 | goal | peer p50 | ratio |');
  console.log('|---|---|---|---|---|---|---|');
  for (const { what, samples, unit, goal, peer } of rows) {
    const median = percentile(samples, 0.5);
    const cells = [
      what,
      String(samples.length),
      `${show(median)} ${unit}`,
      show(percentile(samples, 0.95)),
      goal === undefined ? '' : `≤ ${goal} ${median <= goal ? '✓' : '✗'}`,
      peer ? `${show(percentile(peer.samples, 0.5))} (${peer.what})` : '',
      peer ? (median / percentile(peer.samples, 0.5)).toFixed(2) : '',
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
}

/** Runs `body` `count` times, one after the other. @returns each run's milliseconds. */
export async function sample(
  count: number,
  body: (index: number) => Promise<void>,
): Promise<number[]> {
  const samples: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const startedMs = performance.now();
    await body(index);
    samples.push(performance.now() - startedMs);
  }
  return samples;
}

/** Runs a program to its end. @throws with its output when it fails. */
export async function exec(
  command: readonly string[],
  env: Record<string, string | undefined> = {},
): Promise<string> {
  const child = Bun.spawn([...command], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    env: { ...process.env, ...env },
  });
  const [output, complaint, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode !== 0)
    throw new Error(`${command.join(' ')} ended with ${exitCode}:\n${complaint}${output}`);
  return output;
}

/** The processes below `root`, itself included. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // Ended while we looked.
    }
  }
  const found: number[] = [];
  const queue = [root];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    found.push(pid);
    queue.push(...(children.get(pid) ?? []));
  }
  return found;
}

/** Memory held by processes, shared pages divided among their users. MiB. */
export function proportionalMemory(pids: readonly number[]): number {
  let kib = 0;
  for (const pid of pids) {
    try {
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
      kib += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
    } catch {
      // Ended while we looked.
    }
  }
  return kib / 1024;
}

/** Clock ticks a second in /proc, on every Linux that Bun runs on. */
const TICKS_PER_SECOND = 100;

/** Processor time that processes have used, with that of children they waited for. Milliseconds. */
export function processorTime(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      for (const field of fields.slice(11, 15)) ticks += Number(field);
    } catch {
      // Ended while we looked; its parent counts it.
    }
  }
  return (ticks / TICKS_PER_SECOND) * 1000;
}
