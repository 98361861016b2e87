/**
 * A support bundle: what somebody else needs to see of a cluster that does not do what it should. It is made
 * when things are broken, so whatever cannot be read is told in it and the rest goes on.
 */
import { open, readdir, readFile } from 'node:fs/promises';
import { arch, cpus, freemem, loadavg, platform, release, totalmem, uptime } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Sql } from 'postgres';
import { parse } from 'smol-toml';
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import { VERSION } from '../../common/version.ts';
import type { ConfigStore } from '../../stores/config/port.ts';
import { type ArchiveWriter, writeArchive } from '../backup/write.ts';
import { Redactor } from './redact.ts';
import { selectFacts, selectSecrets } from './store.ts';

/** Of the end of each log. */
const LOG_BYTES = 1024 * 1024;
const MAX_LOGS = 20;
const METRICS_TIMEOUT_MS = 5000;
const CONFIG_FILE = /\.(toml|conf)$/;

export interface SupportSources {
  readonly clock: Clock;
  /** The manager's configuration file; others beside it are taken too. */
  readonly configFile: string;
  /** The manager's log file; older and other ones beside it are taken too. null: it has none. */
  readonly logFile: string | null;
  /** Where the manager tells its metrics; null: it does not. */
  readonly metricsUrl: string | null;
  /** Runs work with the database. @throws when it does not answer. */
  readonly withDatabase: <T>(work: (sql: Sql) => Promise<T>) => Promise<T>;
  readonly withConfigStore: <T>(work: (store: ConfigStore) => Promise<T>) => Promise<T>;
  /** @throws when Redis does not answer. */
  readonly pingRedis: () => Promise<void>;
}

/** What was read, and why the rest was not. */
interface Gathered {
  readonly files: ReadonlyMap<string, string>;
  readonly facts: Readonly<Record<string, readonly object[]>>;
  readonly entries: ReadonlyMap<string, string>;
  readonly problems: Readonly<Record<string, string>>;
}

function machine(now: Date) {
  return {
    created_at: now.toISOString(),
    version: VERSION,
    runtime: `Bun ${Bun.version}`,
    system: `${platform()} ${release()} ${arch()}`,
    processors: cpus().length,
    load: loadavg(),
    memory: { total: totalmem(), free: freemem() },
    uptime_seconds: Math.round(uptime()),
  };
}

/** The end of a file, from the start of a line. */
async function tail(path: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - LOG_BYTES);
    const buffer = Buffer.alloc(size - start);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
    const text = buffer.subarray(0, bytesRead).toString();
    return start === 0 ? text : text.slice(text.indexOf('\n') + 1);
  } finally {
    await file.close();
  }
}

async function beside(path: string, isWanted: (name: string) => boolean): Promise<string[]> {
  const names = (await readdir(dirname(path))).filter(isWanted).toSorted();
  return names.map((name) => join(dirname(path), name));
}

async function readFiles(
  { configFile, logFile, metricsUrl }: SupportSources,
  attempt: (what: string, work: () => Promise<void>) => Promise<void>,
): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  await attempt('configuration files', async () => {
    for (const path of await beside(configFile, (name) => CONFIG_FILE.test(name))) {
      files.set(`config/${basename(path)}`, await readFile(path, 'utf8'));
    }
  });
  if (logFile !== null) {
    await attempt('log files', async () => {
      const logs = await beside(logFile, (name) => name.includes('.log'));
      for (const path of logs.slice(0, MAX_LOGS)) {
        files.set(`logs/${basename(path)}`, await tail(path));
      }
    });
  }
  if (metricsUrl !== null) {
    await attempt('metrics', async () => {
      const response = await fetch(metricsUrl, { signal: AbortSignal.timeout(METRICS_TIMEOUT_MS) });
      if (!response.ok) throw new Error(`${metricsUrl} answers ${response.status}`);
      files.set('metrics.txt', await response.text());
    });
  }
  return files;
}

async function gather(sources: SupportSources, redactor: Redactor): Promise<Gathered> {
  const problems: Record<string, string> = {};
  const attempt = async (what: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      problems[what] = errorMessage(error);
    }
  };
  let facts: Gathered['facts'] = {};
  let entries: Gathered['entries'] = new Map();
  const files = await readFiles(sources, attempt);
  for (const [name, text] of files) {
    if (!name.startsWith('config/')) continue;
    await attempt(name, async () => redactor.learnAll(parse(text)));
  }
  await attempt('database', () =>
    sources.withDatabase(async (sql) => {
      for (const secret of await selectSecrets(sql)) redactor.learnWord(secret);
      facts = await selectFacts(sql);
    }),
  );
  await attempt('configuration store', () =>
    sources.withConfigStore(async (store) => {
      entries = await store.list('');
      for (const [path, value] of entries) redactor.learnAll(value, path);
    }),
  );
  await attempt('Redis', sources.pingRedis);
  return { files, facts, entries, problems };
}

/** What a bundle holds. */
export interface SupportBundle {
  readonly entries: readonly string[];
  /** What could not be read, and why. */
  readonly problems: Readonly<Record<string, string>>;
}

/**
 * Writes a bundle to `file`.
 * @throws UserError when the file cannot be written.
 */
export async function writeSupportBundle(
  sources: SupportSources,
  file: string,
): Promise<SupportBundle> {
  const redactor = new Redactor();
  const now = sources.clock.now();
  const { files, facts, entries, problems } = await gather(sources, redactor);
  const asText = (value: unknown) => redactor.text(`${JSON.stringify(value, null, 2)}\n`);
  return writeArchive(file, now, async (writer: ArchiveWriter) => {
    await writer.add('machine.json', asText(machine(now)));
    for (const [name, text] of files) await writer.add(name, redactor.text(text));
    for (const [name, rows] of Object.entries(facts)) {
      await writer.add(`database/${name}.json`, asText(rows));
    }
    await writer.add('config-store.json', asText(redactor.entries(entries)));
    await writer.add('problems.json', asText(problems));
    return { entries: Object.keys(writer.digests), problems };
  });
}
