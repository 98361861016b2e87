/** Has archives made and unpacked by workers, one for each volume: a storage that hangs stops no other. */
import { Worker } from 'node:worker_threads';
import * as v from 'valibot';
import type { Clock, Timer } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import { isCompiled } from '../../common/executable.ts';
import { StorageError } from '../problems.ts';
import type { ArchiveRequest } from './make.ts';
import { errorOf, type Order, type Report, report } from './messages.ts';
import { PieceStream } from './piece-stream.ts';

/** Archives of a volume that are made at the same time: each keeps files open. */
const MAX_AT_ONCE = 64;
/** A worker with nothing to do ends after this time, for the memory that it takes. */
const IDLE_MS = 60_000;

/** Told of each report of a worker about one order. */
type Listener = (told: Report) => void;
/** An order without its id. */
type Asked = { [K in Order['kind']]: Omit<Extract<Order, { kind: K }>, 'id'> }[Order['kind']];

const newWorker = (): Worker =>
  isCompiled
    ? new Worker('/$bunfs/root/archive-worker.js')
    : new Worker(new URL('worker.ts', import.meta.url));

class VolumeWorker {
  readonly #clock: Clock;
  readonly #listeners = new Map<number, Listener>();
  #worker: Worker | null = null;
  #idle: Timer | null = null;
  #count = 0;
  /** Archives that are being made. */
  making = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @returns the id of the order. */
  begin(asked: Asked, listener: Listener): number {
    this.#idle?.cancel();
    this.#count += 1;
    const id = this.#count;
    this.#listeners.set(id, listener);
    this.#worker ??= this.#start();
    this.#worker.postMessage({ ...asked, id });
    return id;
  }

  say(kind: 'more' | 'stop', id: number): void {
    this.#worker?.postMessage({ kind, id });
  }

  #start(): Worker {
    const worker = newWorker();
    // What keeps the process running is whoever waits for the archive.
    worker.unref();
    worker.on('message', (data: unknown) => this.#hear(v.parse(report, data)));
    worker.on('error', (error) => {
      this.#fail(`A worker for archives failed: ${errorMessage(error)}`);
    });
    return worker;
  }

  #hear(told: Report): void {
    const listener = this.#listeners.get(told.id);
    if (told.kind === 'done' || told.kind === 'failed') {
      this.#listeners.delete(told.id);
      if (this.#listeners.size === 0) {
        this.#idle = this.#clock.timer(IDLE_MS, () => this.#end());
      }
    }
    listener?.(told);
  }

  #end(): void {
    void this.#worker?.terminate();
    this.#worker = null;
  }

  #fail(message: string): void {
    this.#end();
    const failed = [...this.#listeners];
    this.#listeners.clear();
    for (const [id, listener] of failed) listener({ kind: 'failed', id, message });
  }

  stop(): void {
    this.#idle?.cancel();
    this.#fail('The storage proxy is being stopped.');
  }
}

const plain = ({ root, top, names, format, largest }: ArchiveRequest) => ({
  ...{ root, top: [...top], names: [...names], format },
  ...(largest !== undefined && { largest }),
});

export class ArchiveWorkers {
  readonly #clock: Clock;
  readonly #byVolume = new Map<string, VolumeWorker>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  #of(volume: string): VolumeWorker {
    const known = this.#byVolume.get(volume) ?? new VolumeWorker(this.#clock);
    this.#byVolume.set(volume, known);
    return known;
  }

  #done(volume: string, asked: Asked): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#of(volume).begin(asked, (told) => {
        if (told.kind === 'done') resolve();
        if (told.kind === 'failed') reject(errorOf(told));
      });
    });
  }

  /**
   * @param archive an opened file, which stays open until this is done.
   * @throws StorageError for what is no archive of files, or leads out; what the system refuses.
   */
  unpack(
    volume: string,
    options: { archive: number; root: string; into: string; session: string },
  ): Promise<void> {
    return this.#done(volume, { kind: 'unpack', ...options });
  }

  /** @throws StorageError when it could not be made. */
  check(volume: string, archive: ArchiveRequest): Promise<void> {
    return this.#done(volume, { kind: 'check', archive: plain(archive) });
  }

  /**
   * @param broke told when it breaks off later.
   * @returns the bytes of the archive, made as they are read.
   * @throws StorageError before anything is sent, when one of the names cannot be archived.
   */
  async make(
    volume: string,
    archive: ArchiveRequest,
    broke: (error: Error) => void,
  ): Promise<ReadableStream<Uint8Array>> {
    const worker = this.#of(volume);
    if (worker.making >= MAX_AT_ONCE) {
      throw new StorageError(
        'Busy',
        `${MAX_AT_ONCE} archives are being made at present. Try again in a moment.`,
      );
    }
    return await new Promise((resolve, reject) => {
      const stream = new PieceStream(
        () => worker.say('more', id),
        () => worker.say('stop', id),
      );
      const id = worker.begin({ kind: 'make', archive: plain(archive) }, (told) => {
        if (told.kind === 'begun') resolve(stream.open());
        else if (told.kind === 'piece') stream.add(told.bytes);
        else {
          worker.making -= 1;
          const error = told.kind === 'failed' ? errorOf(told) : null;
          if (error !== null && stream.end(error)) broke(error);
          else if (error !== null) reject(error);
          else stream.end(null);
        }
      });
      worker.making += 1;
    });
  }

  stop(): void {
    for (const worker of this.#byVolume.values()) worker.stop();
  }
}
