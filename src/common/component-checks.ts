/**
 * `health check` and `dependencies verify` of the server components: whether what a component needs
 * is there and answers, without starting the component.
 */
import {
  type Command,
  type CommandContext,
  defineCommand,
  flag,
  option,
  UsageError,
} from './command.ts';
import { errorMessage, UserError } from './errors.ts';

export interface ComponentCheck {
  /** What the check belongs to: `database`, `redis`, … */
  readonly group: string;
  readonly name: string;
  /** @throws when it is not as it should be. */
  run(): Promise<void>;
}

export interface CheckedComponent {
  /** `Manager`, `Agent`, … */
  readonly title: string;
  /**
   * Reads the configuration and says what to check.
   * @throws UserError when there is no usable configuration.
   */
  prepare(
    context: Pick<CommandContext, 'io'>,
    options: { readonly configPath: string | undefined; readonly logLevel: string },
  ): Promise<{ readonly configPath: string; readonly checks: readonly ComponentCheck[] }>;
}

/** Longest wait for one check, and for a server's answer within one. Milliseconds. */
const CHECK_TIMEOUT_MS = 15_000;
const ANSWER_TIMEOUT_MS = 5_000;
const RULE = '='.repeat(60);
const SUMMARY = ['', RULE, 'Summary', RULE];
const DEFAULT_LOG_LEVEL = 'WARNING';
const LOG_LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL', 'NOTSET'];

function readLogLevel(text: string): string {
  if (LOG_LEVELS.includes(text.toUpperCase())) return text;
  throw new UsageError(`'${text}' is not a log level: ${LOG_LEVELS.join(', ')}.`);
}

/** @param url of a server, without a trailing slash. @throws unless it says that it is healthy. */
export async function expectHealthy(url: string): Promise<void> {
  let response: Response;
  try {
    response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
  } catch (error) {
    throw new UserError(`${url} does not answer.`, { hint: errorMessage(error), cause: error });
  }
  await response.body?.cancel();
  if (!response.ok) throw new UserError(`${url}/health answers ${response.status}.`);
}

interface Result {
  readonly group: string;
  readonly component: string;
  /** null: it is as it should be. */
  readonly error: string | null;
}

function describe(error: unknown): string {
  const hint = error instanceof UserError && error.hint !== undefined ? ` ${error.hint}` : '';
  return `${errorMessage(error)}${hint}`;
}

async function resultOf({ group, name, run }: ComponentCheck): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('No answer in time.')), CHECK_TIMEOUT_MS);
  });
  try {
    await Promise.race([run(), late]);
    return { group, component: name, error: null };
  } catch (error) {
    return { group, component: name, error: describe(error) };
  } finally {
    clearTimeout(timer);
  }
}

/** Runs them one after the other, so that each is told as soon as it is known. */
async function* resultsOf(
  component: CheckedComponent,
  context: Pick<CommandContext, 'io'>,
  options: Parameters<CheckedComponent['prepare']>[1],
): AsyncGenerator<Result, void, undefined> {
  const configuration = { group: 'configuration', component: 'file' };
  let checks: readonly ComponentCheck[];
  try {
    const prepared = await component.prepare(context, options);
    yield { ...configuration, component: prepared.configPath, error: null };
    checks = prepared.checks;
  } catch (error) {
    yield { ...configuration, error: describe(error) };
    return;
  }
  for (const check of checks) yield await resultOf(check);
}

const options = {
  config: option(
    ['-f', '--config-path', '--config'],
    'FILE',
    'Configuration of the component. [default: looked for in the usual places]',
  ),
  noTimestamps: flag(['--no-timestamps'], 'Leave the times out.'),
  logLevel: option(
    ['--log-level'],
    'LEVEL',
    `Least severe records to log on the way. [default: ${DEFAULT_LOG_LEVEL}]`,
    readLogLevel,
  ),
};

type CheckContext = CommandContext<typeof options>;

const timeOf = (now: Date): string => `[${now.toISOString().slice(11, 19)}] `;

async function runChecks(
  component: CheckedComponent,
  { io, globals, options: given }: CheckContext,
  texts: {
    readonly heading: string;
    readonly summary: (failed: number, total: number) => string[];
  },
): Promise<number> {
  const isJson = globals.output === 'json';
  const write = (line: string) => {
    if (!isJson) io.stdout.write(`${line}\n`);
  };
  for (const line of [RULE, `${component.title} ${texts.heading}`, RULE]) write(line);
  const results: Result[] = [];
  const settings = { configPath: given.config, logLevel: given.logLevel ?? DEFAULT_LOG_LEVEL };
  for await (const result of resultsOf(component, { io }, settings)) {
    const before = results.at(-1)?.group;
    if (before !== result.group) {
      if (before !== undefined) write('');
      write(`▶ ${result.group}`);
    }
    results.push(result);
    const time = given.noTimestamps ? '' : timeOf(new Date());
    const why = result.error === null ? '' : ` - ${result.error}`;
    write(`  ${time}${result.error === null ? '✓' : '✗'} ${result.component}${why}`);
  }
  const failed = results.filter(({ error }) => error !== null).length;
  for (const line of texts.summary(failed, results.length)) write(line);
  if (isJson) {
    const checks = results.map(({ error, ...rest }) => ({ ...rest, ok: error === null, error }));
    io.stdout.write(`${JSON.stringify({ ok: failed === 0, checks }, null, 2)}\n`);
  }
  return failed === 0 ? 0 : 1;
}

export const healthCommand = (component: CheckedComponent): Command =>
  defineCommand({
    options,
    run: (context) =>
      runChecks(component, context, {
        heading: 'Health Check',
        summary: (failed, total) => [
          ...SUMMARY,
          `Total Checks: ${total}`,
          `Passed: ${total - failed}`,
          `Failed: ${failed}`,
          `Overall Status: ${failed === 0 ? 'HEALTHY' : 'UNHEALTHY'}`,
          RULE,
        ],
      }),
  });

export const dependenciesCommand = (component: CheckedComponent): Command =>
  defineCommand({
    options,
    run: (context) =>
      runChecks(component, context, {
        heading: 'Dependency Verification',
        summary: (failed, total) => [
          ...SUMMARY,
          `Completed: ${total - failed}`,
          `Failed: ${failed}`,
          RULE,
          failed === 0
            ? 'All dependencies are there.'
            : `${failed} of the dependencies ${failed === 1 ? 'is' : 'are'} missing.`,
        ],
      }),
  });
