/** Performs what a service definition wants done before the service starts. */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Random } from '../../common/random.ts';
import { RunnerError } from '../errors.ts';
import type { PrestartAction } from './definition.ts';
import { interpolate, type Variables, type VariableValue } from './variables.ts';

/** How long one command may take, and how much of its output is kept. */
const COMMAND_TIMEOUT_MS = 30_000;
const MAX_OUTPUT_BYTES = 1024 * 1024;

export interface PrestartPlace {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly random: Random;
  /** Takes what actions print. */
  readonly print: (text: string) => void;
}

const bodyOf = (body: readonly string[], variables: Variables): string =>
  body
    .map((line) => interpolate(line, variables))
    .map((line) => (line.endsWith('\n') ? line : `${line}\n`))
    .join('');

async function runCommand(
  command: readonly string[],
  place: PrestartPlace,
): Promise<{ out: string; err: string }> {
  const child = Bun.spawn([...command], {
    cwd: place.cwd,
    env: { ...place.env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: COMMAND_TIMEOUT_MS,
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out, err };
}

/** @returns what the action's `ref` is to name; null when it has no result. */
async function perform(
  item: PrestartAction,
  variables: Variables,
  place: PrestartPlace,
): Promise<VariableValue | null> {
  const fill = (text: string) => interpolate(text, variables);
  switch (item.action) {
    case 'write_file': {
      const path = resolve(place.cwd, fill(item.args.filename));
      const text = bodyOf(item.args.body, variables);
      await writeFile(path, text, { flag: item.args.append ? 'a' : 'w' });
      await chmod(path, Number.parseInt(item.args.mode, 8));
      return null;
    }
    case 'write_tempfile': {
      const folder = place.env.TMPDIR || tmpdir();
      const path = join(folder, `service-${place.random.uuid()}.py`);
      await writeFile(path, bodyOf(item.args.body, variables), { flag: 'wx' });
      await chmod(path, Number.parseInt(item.args.mode, 8));
      return path;
    }
    case 'run_command': {
      const result = await runCommand(item.args.command.map(fill), place);
      if (item.args.echo) place.print(result.out + result.err);
      return result;
    }
    case 'mkdir':
      await mkdir(resolve(place.cwd, fill(item.args.path)), { recursive: true });
      return null;
    case 'log':
      if (!item.args.debug) place.print(`${fill(item.args.message)}\n`);
      return null;
    default:
      return item satisfies never;
  }
}

/**
 * Performs actions in order. @returns the variables with the results that have a name.
 * @throws RunnerError saying which action failed and why.
 */
export async function runPrestart(
  actions: readonly PrestartAction[],
  variables: Variables,
  place: PrestartPlace,
): Promise<Variables> {
  let known = variables;
  for (const item of actions) {
    try {
      const result = await perform(item, known, place);
      if (item.ref !== null && result !== null) known = { ...known, [item.ref]: result };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new RunnerError('failed', `Preparing the service (${item.action}) failed: ${reason}`);
    }
  }
  return known;
}
