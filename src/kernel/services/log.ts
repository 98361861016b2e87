/** A service's log, `.logs/services/<name>.log` below the working folder; two files of bounded size. */
import { appendFile, mkdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';

const MAX_FILE_BYTES = 4 * 1024 * 1024;
/** The end of the output that a failed start is explained with. */
const TAIL_BYTES = 2000;

/** Where the log of a service lies. @param name without separators; see `isServiceName`. */
export const serviceLogPath = (workFolder: string, name: string): string =>
  join(workFolder, '.logs', 'services', `${name}.log`);

/** Writes in the order given. A log that can't be written stops being written. */
export class ServiceLog {
  readonly #path: string;
  #size: number | null = null;
  #tail = Buffer.alloc(0);
  #queue: Promise<void> = Promise.resolve();
  #isBroken = false;

  constructor(path: string) {
    this.#path = path;
  }

  /** The last lines of what was written since `forget`. */
  get tail(): string {
    return this.#tail.toString('utf8').trim();
  }

  forget(): void {
    this.#tail = Buffer.alloc(0);
  }

  /** Resolves once written. Never rejects. */
  write(chunk: Uint8Array): Promise<void> {
    this.#tail = Buffer.concat([this.#tail, chunk]).subarray(-TAIL_BYTES);
    this.#queue = this.#queue.then(() => this.#append(chunk));
    return this.#queue;
  }

  async #append(chunk: Uint8Array): Promise<void> {
    if (this.#isBroken) return;
    try {
      if (this.#size === null) {
        await mkdir(join(this.#path, '..'), { recursive: true });
        this.#size = (await stat(this.#path).catch(() => null))?.size ?? 0;
      }
      if (this.#size > MAX_FILE_BYTES) {
        await rename(this.#path, `${this.#path}.1`);
        this.#size = 0;
      }
      await appendFile(this.#path, chunk);
      this.#size += chunk.length;
    } catch {
      // A full or read-only folder must not end the service; its tail is still kept.
      this.#isBroken = true;
    }
  }
}
