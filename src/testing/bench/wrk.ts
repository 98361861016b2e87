/** The load generator wrk, and the figures it prints. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../common/errors.ts';
import { scratch } from './executable.ts';
import { exec } from './measure.ts';

export interface Load {
  readonly method: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly connections: number;
  readonly seconds: number;
}

export interface LoadFigures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const UNITS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000 };

function latency(report: string, percent: number): number {
  const [, value, unit = ''] =
    new RegExp(`\\n\\s+${percent}%\\s+([\\d.]+)(us|ms|s)`).exec(report) ?? [];
  return Number(value) * (UNITS[unit] ?? Number.NaN);
}

let scripts = 0;

/** Sends the same request again and again. @throws when any answer is not a success. */
export async function load(url: string, options: Load): Promise<LoadFigures> {
  if (Bun.which('wrk') === null) {
    throw new UserError('This benchmark needs wrk.', { hint: 'apt-get install wrk' });
  }
  const { method, headers = {}, body, connections, seconds } = options;
  scripts += 1;
  const script = join(scratch('.'), `load-${scripts}.lua`);
  await writeFile(
    script,
    [
      `wrk.method = ${JSON.stringify(method)}`,
      ...Object.entries(headers).map(
        ([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`,
      ),
      ...(body === undefined ? [] : [`wrk.body = ${JSON.stringify(body)}`]),
    ].join('\n'),
  );
  const report = await exec([
    ...['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '-s', script, url],
  ]);
  if (/Non-2xx|Socket errors/.test(report)) throw new Error(`${url} failed under load:\n${report}`);
  const [, perSecond] = /Requests\/sec:\s+([\d.]+)/.exec(report) ?? [];
  return { perSecond: Number(perSecond), p50Ms: latency(report, 50), p99Ms: latency(report, 99) };
}
