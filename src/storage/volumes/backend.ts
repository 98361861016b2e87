/**
 * What a kind of storage has to offer. Folders are plain folders below the volume's path on every
 * kind; a backend adds what its storage does better than walking files. A part that is null is a
 * capability that the volume does not claim.
 */
import type { StatsFs } from 'node:fs';
import { statfs } from 'node:fs/promises';
import type { QuotaScopeId } from '../ids.ts';

/** Of the folder of a quota scope. */
export const SCOPE_NAME = /^[0-9a-f]{32}$/;
/** A mounted storage that has gone away answers late or never. */
const ANSWER_TIMEOUT_MS = 5_000;
/** Questions about file systems that are not answered yet; more are refused. */
const MAX_UNANSWERED = 64;

export type Capability =
  | 'vfolder'
  | 'metric'
  | 'quota'
  | 'fast-fs-size'
  | 'fast-scan'
  | 'fast-size';

/** Bytes; null where nothing is counted or limited. */
export interface QuotaUsage {
  readonly usedBytes: number | null;
  readonly limitBytes: number | null;
}

/** Counters since whenever the storage began to count; times in microseconds. */
export interface PerformanceMetric {
  readonly iopsRead: number;
  readonly iopsWrite: number;
  readonly ioBytesRead: number;
  readonly ioBytesWrite: number;
  readonly ioUsecRead: number;
  readonly ioUsecWrite: number;
}

export interface HardwareInfo {
  readonly status: 'healthy' | 'degraded' | 'offline' | 'unavailable';
  readonly statusInfo: string | null;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface FolderUsage {
  readonly fileCount: number;
  readonly usedBytes: number;
}

export interface Capacity {
  readonly capacityBytes: number;
  readonly usedBytes: number;
}

/** Limits on the folder of a quota scope. Every path is that folder's, which exists. */
export interface QuotaKeeper {
  /** Whether nothing can be moved out of the folder of a scope, not even within the volume. */
  readonly confines: boolean;
  /** Called once for each new scope, before anything is in it. */
  begin(scope: QuotaScopeId, path: string): Promise<void>;
  usage(scope: QuotaScopeId, path: string): Promise<QuotaUsage>;
  /** @param limitBytes 0: no limit. */
  setLimit(scope: QuotaScopeId, path: string, limitBytes: number): Promise<void>;
  /** @throws StorageError UnsupportedOperation when a limit cannot be taken away again. */
  unsetLimit(scope: QuotaScopeId, path: string): Promise<void>;
}

export interface VolumeBackend {
  readonly name: string;
  readonly quota: QuotaKeeper | null;
  /** `metric` */
  readonly performance: (() => Promise<PerformanceMetric>) | null;
  /** `fast-fs-size`: the storage knows its capacity better than statfs(2) does. */
  readonly capacity: (() => Promise<Capacity>) | null;
  /** `fast-size`: counts a folder without walking it. */
  readonly folderUsage: ((path: string) => Promise<FolderUsage>) | null;
  /**
   * `fast-scan`: the storage copies trees itself: all that is in the folder `from`, with owners, modes and
   * times, into the empty folder `to`.
   */
  readonly copyTree: ((from: string, to: string, signal: AbortSignal) => Promise<void>) | null;
  /**
   * Called once, when the volume's folder was found to be there.
   * @throws UserError when the storage below it cannot do what the backend needs.
   */
  start(): Promise<void>;
  hardware(): Promise<HardwareInfo>;
  close(): Promise<void>;
}

type Offers = Pick<
  VolumeBackend,
  'quota' | 'performance' | 'capacity' | 'folderUsage' | 'copyTree'
>;

export function capabilitiesOf(backend: Offers): Capability[] {
  const offered: [Capability, boolean][] = [
    ['vfolder', true],
    ['quota', backend.quota !== null],
    ['metric', backend.performance !== null],
    ['fast-fs-size', backend.capacity !== null],
    ['fast-scan', backend.copyTree !== null],
    ['fast-size', backend.folderUsage !== null],
  ];
  return offered.flatMap(([name, has]) => (has ? [name] : []));
}

/** @throws Error when the storage does not answer a short question within five seconds. */
export async function withinTime<T>(question: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`the storage did not answer within ${ANSWER_TIMEOUT_MS} ms`)),
    ANSWER_TIMEOUT_MS,
  );
  try {
    return await Promise.race([question, promise]);
  } finally {
    clearTimeout(timer);
  }
}

const unanswered = new Map<string, Promise<StatsFs>>();

/**
 * What a file system says of itself. Who asks while a question about the same path is not answered
 * waits for that: each one holds a thread of the process until its storage is back.
 * @throws Error when the storage does not answer within five seconds.
 */
export async function fileSystemAt(
  path: string,
  ask: (path: string) => Promise<StatsFs> = (asked) => statfs(asked),
): Promise<StatsFs> {
  let answer = unanswered.get(path);
  if (answer === undefined) {
    if (unanswered.size >= MAX_UNANSWERED) {
      throw new Error(`the storage has ${MAX_UNANSWERED} questions to answer already`);
    }
    answer = ask(path).finally(() => unanswered.delete(path));
    unanswered.set(path, answer);
  }
  return await withinTime(answer);
}
