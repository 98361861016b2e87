/** Runs the system's own programs for a storage: with a time limit, and as root where that is needed. */
import { errorMessage } from '../../common/errors.ts';
import { StorageError } from '../problems.ts';

/** A question or a small change; a storage that has gone away answers never. */
const QUICK_MS = 10_000;
const MAX_COMPLAINT_CHARACTERS = 500;
/** Services are often started with a PATH that lacks these. */
const SYSTEM_PROGRAMS = '/usr/local/sbin:/usr/sbin:/sbin';

export interface ToolOptions {
  readonly timeoutMs?: number;
  /** What it reads; nothing by default. */
  readonly stdin?: string;
}

interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly complaint: string;
}

/** Between the signal and giving up: what root runs is not ours to end, and the kernel may hold it. */
const FAREWELL_MS = 1_000;

async function run(command: readonly string[], options: ToolOptions): Promise<Ended> {
  const timeoutMs = options.timeoutMs ?? QUICK_MS;
  const child = Bun.spawn([...command], {
    stdin: options.stdin === undefined ? 'ignore' : new Blob([options.stdin]),
    stdout: 'pipe',
    stderr: 'pipe',
    env: { PATH: `${process.env.PATH ?? '/usr/bin:/bin'}:${SYSTEM_PROGRAMS}`, LC_ALL: 'C' },
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  const late = Promise.withResolvers<never>();
  const giveUp = () => late.reject(new Error(`it did not end in ${timeoutMs} ms`));
  const timer = setTimeout(giveUp, timeoutMs + FAREWELL_MS);
  const ended = Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const [stdout, stderr, exitCode] = await Promise.race([ended, late.promise]).finally(() =>
    clearTimeout(timer),
  );
  const cutOff = child.signalCode === null ? '' : `ended by ${child.signalCode}`;
  const complaint = stderr.trim().slice(0, MAX_COMPLAINT_CHARACTERS) || cutOff;
  return { exitCode, stdout, complaint };
}

/**
 * @returns what it printed.
 * @throws StorageError QuotaCommandFailed when it cannot be started, fails, complains or takes too long.
 * Complaints count because xfs_quota exits with 0 whatever happened.
 */
export async function runTool(
  command: readonly string[],
  options: ToolOptions = {},
): Promise<string> {
  const name = command.join(' ').slice(0, 200);
  let ended: Ended;
  try {
    ended = await run(command, options);
  } catch (error) {
    throw new StorageError('QuotaCommandFailed', `Can't run \`${name}\`: ${errorMessage(error)}`);
  }
  if (ended.exitCode === 0 && ended.complaint === '') return ended.stdout;
  const reason = ended.complaint || `exit code ${ended.exitCode}`;
  throw new StorageError('QuotaCommandFailed', `\`${name}\` failed: ${reason}`);
}

/** The same command as root: through sudo, which must not ask for a password, unless this is root. */
export const asRoot = (command: readonly string[]): string[] =>
  process.getuid?.() === 0 ? [...command] : ['sudo', '-n', ...command];
