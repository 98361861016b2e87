/**
 * Reads a pipe by system calls that may sleep, on threads of the runtime's pool, one for each pipe. A
 * program that splices from a silent source into its output holds the pipe's lock, and whoever reads
 * then sleeps with it, even when asking not to wait: the runner's own thread must not be that.
 */
import { close, constants, open, read, write } from 'node:fs';
import { runnerEnvironment } from '../../common/protocol/runner.ts';
import { PIPE_BYTES } from './pipes.ts';
import type { ByteSource } from './spawn.ts';

/** Threads that are left for files and the like. */
const OTHER_THREADS = 8;

const threads = Number(process.env[runnerEnvironment.threads] ?? 0);
/** Pipes that are read so at the moment. */
let pipes = 0;

/** Whether there is a thread left for one more pipe. */
export const hasThreadForPipe = (): boolean => pipes < threads - OTHER_THREADS;

const closeFd = (fd: number) => new Promise<void>((resolve) => close(fd, () => resolve()));

/** Writes a byte into the pipe whose read end is `fd`, so that whoever reads it wakes up. */
function wake(fd: number): Promise<void> {
  const { O_WRONLY, O_NONBLOCK } = constants;
  return new Promise((resolve) => {
    open(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK, (error, writer) => {
      // Without it the reader sleeps until the pipe's last writer is gone.
      if (error !== null) resolve();
      else write(writer, new Uint8Array(1), () => void closeFd(writer).then(resolve));
    });
  });
}

export class BlockingPipe implements ByteSource {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(PIPE_BYTES);
  /** Whoever waits for the next bytes. */
  #reader: PromiseWithResolvers<Uint8Array | null> | null = null;
  /** Resolves when the thread has returned; null while none is away. */
  #away: Promise<void> | null = null;
  #isOver = false;

  /** @param fd the read end, in blocking mode; closed at the end. */
  constructor(fd: number) {
    this.#fd = fd;
    pipes += 1;
  }

  read(): Promise<Uint8Array | null> {
    if (this.#isOver) return Promise.resolve(null);
    const reader = Promise.withResolvers<Uint8Array | null>();
    this.#reader = reader;
    this.#away = this.#fill();
    return reader.promise;
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#reader?.resolve(null);
    void this.#release();
  }

  #fill(): Promise<void> {
    return new Promise((returned) => {
      read(this.#fd, this.#buffer, 0, PIPE_BYTES, null, (error, length) => {
        this.#away = null;
        returned();
        if (error !== null) this.#reader?.reject(error);
        else if (length === 0) this.cancel();
        else this.#reader?.resolve(new Uint8Array(this.#buffer.subarray(0, length)));
      });
    });
  }

  /** Not before the thread has returned: until then the descriptor must mean this pipe. */
  async #release(): Promise<void> {
    if (this.#away !== null) await Promise.all([this.#away, wake(this.#fd)]);
    await closeFd(this.#fd);
    pipes -= 1;
  }
}
