/** `run`: code or files in, output and exit code out, in a session made for it or reused. */
import { mkdirSync, openSync, writeSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { ExecuteStart, SessionSpec } from '../../client/index.ts';
import {
  argument,
  type CommandIo,
  defineCommand,
  flag,
  integer,
  type OutputStream,
  option,
  optionWithDefault,
  repeated,
  restArguments,
} from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { printStatus, type StatusKind } from '../../common/glyphs.ts';
import { pooled } from '../../common/pooled.ts';
import { systemRandom } from '../../common/random.ts';
import { connect } from '../connect.ts';
import { describeFailure } from '../framework/failures.ts';
import { LineReader } from '../framework/prompt.ts';
import { type RunCase, type RunContext, runCase } from '../run/case.ts';
import type { RunOutput } from '../run/execution.ts';
import { dieInterrupted, Interrupts } from '../run/interrupts.ts';
import { combinations, parseRange, substitute, type Variables } from '../run/ranges.ts';
import { generatedName, sessionSpec, startOptions } from '../session/start-options.ts';
import { type LocalFile, localFiles } from '../session/transfer.ts';

const INVALID_ARGUMENT_EXIT_CODE = 4;
/** The runner's own choice of how to build or run the files. */
const DEFAULT_STEP = '*';

const runOptions = {
  code: option(['-c', '--code'], 'CODE', 'The code to run, instead of files.'),
  clean: option(['--clean'], 'CMD', 'Shell command that cleans up before the build.'),
  build: option(['--build'], 'CMD', 'Shell command that builds the files.'),
  exec: option(['--exec'], 'CMD', 'Shell command that runs the files.'),
  basedir: option(
    ['--basedir'],
    'PATH',
    "Folder whose inside becomes the session's home; the current one when absent.",
  ),
  terminal: flag(['--terminal'], 'Type into a terminal of the session, instead of running code.'),
  remove: flag(['--rm'], 'End the session afterwards.'),
  stats: flag(['-s', '--stats'], 'With --rm: show what the session used.'),
  quiet: flag(['-q', '--quiet'], 'Show only the output of the code.'),
  envRange: repeated(['--env-range'], 'RANGE', 'Cases of a variable in --env values.', parseRange),
  buildRange: repeated(['--build-range'], 'RANGE', 'Cases of a variable in --build.', parseRange),
  execRange: repeated(['--exec-range'], 'RANGE', 'Cases of a variable in --exec.', parseRange),
  maxParallel: optionWithDefault(
    ['--max-parallel'],
    'INT',
    'Most cases that run at the same time.',
    2,
    integer({ min: 1, max: 64 }),
  ),
  ...startOptions,
};

function refuse(why: string): never {
  throw new UserError(why, { exitCode: INVALID_ARGUMENT_EXIT_CODE });
}

/** For --terminal, which needs nothing to run. */
function checkTerminal(code: string | undefined, cases: number): void {
  if (code !== undefined) refuse('Give either --terminal or code with -c, not both.');
  if (cases > 1) refuse('There is one terminal: several cases cannot be run with --terminal.');
}

function checkSource(code: string | undefined, files: readonly string[]): void {
  if (code !== undefined && files.length > 0) {
    refuse('Give either files or code with -c, not both.');
  }
  if (code === undefined && files.length === 0) {
    throw new UserError('There is nothing to run.', {
      hint: "Give code with -c, e.g. -c 'print(1)', or name files.",
      exitCode: INVALID_ARGUMENT_EXIT_CODE,
    });
  }
}

/** Output of a single case: this terminal. */
function terminalOutput(
  io: CommandIo,
  status: (kind: StatusKind, text: string) => void,
): RunOutput {
  let column = 0;
  const track = (stream: OutputStream): OutputStream => ({
    ...stream,
    isTTY: stream.isTTY,
    columns: stream.columns,
    rows: stream.rows,
    write: (chunk) => {
      if (chunk.length > 0) column = String(chunk).endsWith('\n') ? 0 : 1;
      stream.write(chunk);
    },
  });
  // A status line erases the line it is on, which must not be the code's last one.
  const onOwnLine = (kind: StatusKind, text: string) => {
    if (column > 0 && io.stdout.isTTY && io.stderr.isTTY) io.stderr.write('\n');
    column = 0;
    status(kind, text);
  };
  return {
    stdout: track(io.stdout),
    stderr: track(io.stderr),
    done: (text) => onOwnLine('done', text),
    fail: (text) => onOwnLine('fail', text),
  };
}

function logFile(path: string): OutputStream {
  const fd = openSync(path, 'w');
  return {
    isTTY: false,
    columns: 80,
    rows: 24,
    write: (chunk) => {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      for (let offset = 0; offset < bytes.length; ) offset += writeSync(fd, bytes, offset);
    },
  };
}

/** Output of one of several cases: two log files. */
function logOutput(
  io: CommandIo,
  name: string,
  status: (kind: StatusKind, text: string) => void,
): RunOutput {
  const cache = io.env.XDG_CACHE_HOME || join(io.env.HOME || homedir(), '.cache');
  const folder = join(cache, 'backend.ai', 'client-logs');
  mkdirSync(folder, { recursive: true });
  const base = join(folder, name);
  status('info', `Output goes to ${base}.stdout.log and ${base}.stderr.log`);
  const done = (text: string) => status('done', text);
  const fail = (text: string) => status('fail', text);
  return {
    stdout: logFile(`${base}.stdout.log`),
    stderr: logFile(`${base}.stderr.log`),
    done,
    fail,
  };
}

/** Runs the cases, at most `parallel` at a time. @returns the first exit code that is not 0. */
async function runAll(
  context: RunContext,
  cases: readonly RunCase[],
  parallel: number,
): Promise<number> {
  const exitCodes: number[] = cases.map(() => 0);
  await pooled(cases, parallel, async (one) => {
    if (context.interrupts.leave.aborted) return;
    try {
      exitCodes[one.index] = await runCase(context, one, (status) =>
        logOutput(context.io, one.spec.name, status),
      );
    } catch (error) {
      exitCodes[one.index] = 1;
      printStatus(context.io.stderr, 'fail', `[${one.index}] ${describeFailure(error)}`);
    }
  });
  context.interrupts.leave.throwIfAborted();
  return exitCodes.find((code) => code !== 0) ?? 0;
}

interface Steps {
  readonly terminal: boolean;
  readonly code?: string;
  readonly clean?: string;
  readonly build?: string;
  readonly exec?: string;
}

/** What one combination of the ranges' cases runs. */
function runCaseOf(
  base: SessionSpec,
  files: readonly LocalFile[],
  steps: Steps,
  variables: Variables,
  index: number,
  several: boolean,
): RunCase {
  const step = (text: string | undefined) =>
    text === undefined ? DEFAULT_STEP : substitute(text, variables);
  const start: ExecuteStart | null = steps.terminal
    ? null
    : steps.code === undefined
      ? {
          mode: 'batch',
          code: '',
          options: { clean: steps.clean ?? null, build: step(steps.build), exec: step(steps.exec) },
        }
      : { mode: 'query', code: steps.code };
  const environ = Object.fromEntries(
    Object.entries(base.environ ?? {}).map(([key, text]) => [key, substitute(text, variables)]),
  );
  const name = several ? `${base.name}-${index}` : base.name;
  return { index, files, start, spec: { ...base, name, environ } };
}

export default defineCommand({
  help: `Run code or files in a session and print what they print.

    A session is created for it, or the live one named by --name is used. The exit code is that of
    the code. Ctrl-C interrupts the code; pressed again, it leaves.

    With --terminal you type into the session's own terminal, the one that its web terminal shows, until
    its shell ends; files are sent before.`,
  positionals: {
    image: argument('IMAGE', 'Image or alias, e.g. python or python:3.11.'),
    files: restArguments('FILES', 'Files to upload and run.'),
  },
  options: runOptions,
  async run({ options, args, io, globals }) {
    const { code, quiet } = options;
    const cases = combinations([...options.envRange, ...options.buildRange, ...options.execRange]);
    if (options.terminal) checkTerminal(code, cases.length);
    else checkSource(code, args.files);
    const files = await localFiles(args.files, options.basedir ?? '.', io.cwd);
    const interrupts = new Interrupts();
    try {
      const client = await connect({ io, globals }, { launch: true });
      const name = options.name ?? generatedName(systemRandom);
      const base = await sessionSpec(args.image, name, options, client.config);
      if (!quiet) printStatus(io.stderr, 'info', `Session name prefix: ${name}`);
      const runs = cases.map((variables, index) =>
        runCaseOf(base, files, options, variables, index, cases.length > 1),
      );
      const context: RunContext = {
        client,
        io,
        quiet,
        remove: options.remove,
        stats: options.stats,
        interrupts,
        lines: new LineReader(),
      };
      const [only] = runs;
      if (runs.length > 1 || only === undefined) {
        return await runAll(context, runs, options.maxParallel);
      }
      return await runCase(context, only, (status) => terminalOutput(io, status));
    } catch (error) {
      if (!interrupts.leave.aborted) throw error;
      interrupts.close();
      if (!options.remove) {
        printStatus(io.stderr, 'info', 'Left the session as it is; its code may still run.');
      }
      return await dieInterrupted();
    } finally {
      interrupts.close();
    }
  },
});
