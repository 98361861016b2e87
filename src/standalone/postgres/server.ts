/**
 * A private PostgreSQL server on loopback: initialises its data folder, starts it, adopts one that
 * outlived a killed owner, and stops it.
 */
import { closeSync, existsSync, openSync } from 'node:fs';
import { chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import postgres from 'postgres';
import type { Clock } from '../../common/clock.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import { pickPort } from '../../common/ports.ts';
import { isProcessAlive } from '../../common/processes.ts';
import { type Random, randomString } from '../../common/random.ts';
import { type ServerAccount, serverAccount } from './account.ts';

export interface PostgresOptions {
  /** Folder with bin/, lib/, share/ from `ensurePostgresBinaries`. */
  readonly binaries: string;
  /** The cluster's data folder; made and initialised when absent. */
  readonly dataDir: string;
  /** Wanted TCP port; another free one is taken when it is in use or 0. */
  readonly port: number;
  readonly clock: Clock;
  readonly random: Random;
  /** false trades crash safety for speed; for throw-away test clusters only. */
  readonly durable: boolean;
  readonly maxConnections: number;
  /** Settings of the server beside those that are chosen here, which they replace. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface PostgresServer {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** Connection URL of one database, password included. */
  url(database: string): string;
  readonly pid: number;
  /** Whether a server left over by an earlier owner was taken over. */
  readonly adopted: boolean;
  /** Resolves once the server process is gone, for whatever reason. */
  readonly exited: Promise<void>;
  /** Ends all connections and the server; waits for it. */
  stop(): Promise<void>;
}

const HOST = '127.0.0.1';
const USER = 'backend';
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 20_000;

/**
 * Starts the server, or adopts the one already running on this data folder.
 * @throws UserError with the end of the server's log when it does not come up.
 */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const account = serverAccount();
  const password = await initialise(options, account);
  const running = await runningServer(options.dataDir);
  if (running) {
    const adopted = serverHandle(
      { ...running, password, adopted: true, exited: pidGone(running.pid, options.clock) },
      options,
    );
    await waitReady(adopted, options);
    return adopted;
  }
  const port = await pickPort(options.port, HOST, options.random);
  // Started afresh with each server: the log of one run is what explains that run.
  const log = openSync(logPath(options), 'w', 0o600);
  const child = Bun.spawn(
    [
      join(options.binaries, 'bin/postgres'),
      '-D',
      options.dataDir,
      '-p',
      String(port),
      ...tuning(options),
    ],
    {
      cwd: options.dataDir,
      stdin: 'ignore',
      stdout: log,
      stderr: log,
      env: serverEnvironment(options),
      detached: true,
      ...(account ? { uid: account.uid, gid: account.gid } : {}),
    },
  );
  closeSync(log);
  child.unref();
  const handle = serverHandle(
    { pid: child.pid, port, password, adopted: false, exited: child.exited.then(() => undefined) },
    options,
  );
  await waitReady(handle, options);
  return handle;
}

const logPath = (options: Pick<PostgresOptions, 'dataDir'>) =>
  join(dirname(options.dataDir), 'postgres.log');
const secretPath = (options: PostgresOptions) => join(dirname(options.dataDir), 'postgres.secret');

/** The loader path is set by the programs' own rpath; only a neutral locale is needed. */
function serverEnvironment(options: PostgresOptions): Record<string, string> {
  return {
    LC_ALL: 'C',
    TZ: 'UTC',
    LD_LIBRARY_PATH: join(options.binaries, 'lib'),
    PATH: process.env.PATH ?? '',
  };
}

/** Settings for one machine shared with everything else: small memory, few background workers. */
function tuning(options: PostgresOptions): string[] {
  const settings: Record<string, string> = {
    listen_addresses: HOST,
    unix_socket_directories: '',
    max_connections: String(options.maxConnections),
    shared_buffers: '32MB',
    huge_pages: 'off',
    jit: 'off',
    // Little data and queries that are always the same: planning would take longer than executing.
    plan_cache_mode: 'force_generic_plan',
    io_method: 'sync',
    max_parallel_workers: '0',
    max_logical_replication_workers: '0',
    max_wal_senders: '0',
    wal_level: 'minimal',
    autovacuum_max_workers: '1',
    password_encryption: 'scram-sha-256',
    log_min_messages: 'warning',
    ...(options.durable
      ? {}
      : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
    ...options.settings,
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** Runs initdb when the data folder is new. @returns the superuser's password. */
async function initialise(
  options: PostgresOptions,
  account: ServerAccount | null,
): Promise<string> {
  const { dataDir } = options;
  if (existsSync(join(dataDir, 'PG_VERSION')) && existsSync(secretPath(options))) {
    return (await readFile(secretPath(options), 'utf8')).trim();
  }
  await rm(dataDir, { recursive: true, force: true });
  // The server's account must be able to pass through the parent; the data folder is its own.
  await mkdir(dirname(dataDir), { recursive: true, mode: 0o755 });
  await mkdir(dataDir, { mode: 0o700 });
  const password = randomString(options.random, 32);
  const passwordFile = join(dirname(dataDir), 'initdb.password');
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (account) {
    await chown(dataDir, account.uid, account.gid);
    await chown(passwordFile, account.uid, account.gid);
  }
  const initdb = Bun.spawn(
    [
      join(options.binaries, 'bin/initdb'),
      ...['-D', dataDir, '-U', USER, '-A', 'scram-sha-256', `--pwfile=${passwordFile}`],
      ...['--encoding=UTF8', '--locale=C', '--no-instructions', '--no-sync'],
    ],
    {
      cwd: dataDir,
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'pipe',
      env: serverEnvironment(options),
      ...(account ? { uid: account.uid, gid: account.gid } : {}),
    },
  );
  const [exitCode, complaint] = await Promise.all([
    initdb.exited,
    new Response(initdb.stderr).text(),
  ]);
  await rm(passwordFile, { force: true });
  if (exitCode !== 0) {
    await rm(dataDir, { recursive: true, force: true });
    throw new UserError(`Cannot initialise PostgreSQL in ${dataDir}:\n${complaint.trim()}`, {
      hint: /No space left/i.test(complaint)
        ? 'Free some disk space (100 MB are needed), or choose another place with --data-dir.'
        : 'See the message above; --data-dir chooses another place.',
    });
  }
  // Written last: its presence says that initialisation was completed.
  await writeFile(secretPath(options), password, { mode: 0o600 });
  return password;
}

/** The server that postmaster.pid names, when that process lives and works on this folder. */
async function runningServer(dataDir: string): Promise<{ pid: number; port: number } | null> {
  const path = join(dataDir, 'postmaster.pid');
  if (!existsSync(path)) return null;
  const [pidLine, folder, , portLine] = (await readFile(path, 'utf8')).split('\n');
  const pid = Number(pidLine);
  const port = Number(portLine);
  if (!Number.isInteger(pid) || folder !== dataDir || !Number.isInteger(port) || port <= 0)
    return null;
  return (await isPostgres(pid)) ? { pid, port } : null;
}

async function isPostgres(pid: number): Promise<boolean> {
  try {
    const name = (await readFile(`/proc/${pid}/comm`, 'utf8')).trim();
    return name === 'postgres' && isProcessAlive(pid);
  } catch {
    // No /proc on this platform: a live process with that id has to do.
    return process.platform !== 'linux' && isProcessAlive(pid);
  }
}

async function pidGone(pid: number, clock: Clock): Promise<void> {
  while (isProcessAlive(pid)) await clock.sleep(500);
}

function serverHandle(
  state: { pid: number; port: number; password: string; adopted: boolean; exited: Promise<void> },
  options: PostgresOptions,
): PostgresServer {
  const { pid, port, password } = state;
  return {
    ...state,
    host: HOST,
    user: USER,
    url: (database) => `postgres://${USER}:${password}@${HOST}:${port}/${database}`,
    async stop() {
      if (!isProcessAlive(pid)) return;
      // SIGINT is PostgreSQL's "fast" shutdown: roll back, checkpoint, exit.
      process.kill(pid, 'SIGINT');
      const gone = await Promise.race([
        state.exited.then(() => true),
        options.clock.sleep(STOP_TIMEOUT_MS).then(() => false),
      ]);
      if (!gone) process.kill(pid, 'SIGQUIT');
    },
  };
}

async function waitReady(server: PostgresServer, options: PostgresOptions): Promise<void> {
  const deadline = options.clock.monotonicMs() + START_TIMEOUT_MS;
  let died = false;
  void server.exited.then(() => {
    died = true;
  });
  for (;;) {
    const sql = postgres(server.url('postgres'), {
      max: 1,
      connect_timeout: 5,
      onnotice: () => {},
    });
    try {
      await sql`select 1`;
      return;
    } catch (error) {
      if (died || options.clock.monotonicMs() > deadline) throw await startFailure(options, error);
    } finally {
      await sql.end({ timeout: 1 });
    }
    await options.clock.sleep(20);
  }
}

const LOG_TAIL_LINES = 8;
const FREE_SPACE = 'Free some disk space, or choose another place with --data-dir.';
const isFull = (log: string): boolean => /No space left/i.test(log);

async function startFailure(options: PostgresOptions, error: unknown): Promise<UserError> {
  const log = await readFile(logPath(options), 'utf8').catch(() => '');
  const tail = log.trim().split('\n').slice(-LOG_TAIL_LINES).join('\n');
  return new UserError(`PostgreSQL did not start (${errorMessage(error)}).\n${tail}`, {
    hint: isFull(tail) ? FREE_SPACE : `The whole log is in ${logPath(options)}.`,
    cause: error,
  });
}

/** @returns what a failure of a server that had started means when its disk is full; else the failure. */
export async function fullDiskOr(dataDir: string, error: unknown): Promise<unknown> {
  const log = await readFile(logPath({ dataDir }), 'utf8').catch(() => '');
  if (!isFull(log)) return error;
  return new UserError(`PostgreSQL has no space left on the disk of ${dataDir}.`, {
    hint: FREE_SPACE,
    cause: error,
  });
}
