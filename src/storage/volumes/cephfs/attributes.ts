/**
 * Extended attributes of folders, which CephFS has for quotas and statistics. Neither Bun nor Node can
 * read them, so the C library is called, in a thread of its own since such a call waits for the
 * storage's servers.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { constants as system } from 'node:os';
import * as v from 'valibot';
import { LIBC_NAMES } from '../../../common/libc.ts';
import { withinTime } from '../backend.ts';
import program from './attributes.worker.js' with { type: 'text' };

/** Questions that wait for an answer; more are refused. */
const MAX_WAITING = 1_000;
const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;
const { ENODATA, EOPNOTSUPP } = system.errno;

const answerOf = v.object({
  id: v.number(),
  value: v.optional(v.string()),
  errno: v.optional(v.number()),
});
type Answer = v.InferOutput<typeof answerOf>;

/** The system refused; `code` is its name for why, such as EACCES. */
export class AttributeError extends Error {
  readonly code: string;

  constructor(errno: number) {
    const code = Object.entries(system.errno).find(([, number]) => number === errno)?.[0];
    super(`the storage refused with ${code ?? `the error ${errno}`}`);
    this.name = 'AttributeError';
    this.code = code ?? '';
  }
}

export class FolderAttributes {
  #worker: Worker | null = null;
  #lastId = 0;
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>();

  /**
   * @returns null when the folder has no such attribute, or its file system has none at all.
   * @throws AttributeError; Error when the storage does not answer within five seconds; ENOENT.
   */
  async get(path: string, name: string): Promise<string | null> {
    const { errno, value } = await this.#ask(path, { name });
    if (errno === ENODATA || errno === EOPNOTSUPP) return null;
    if (errno !== undefined) throw new AttributeError(errno);
    return value ?? null;
  }

  /** @throws as `get` does, also for a file system that has no such attributes. */
  async set(path: string, name: string, value: string): Promise<void> {
    const { errno } = await this.#ask(path, { name, value });
    if (errno !== undefined) throw new AttributeError(errno);
  }

  /** A call that still waits for the storage ends with this process. */
  close(): void {
    this.#worker?.terminate();
    this.#fail(new Error('the storage proxy stops'));
  }

  async #ask(path: string, question: { name: string; value?: string }): Promise<Answer> {
    if (this.#waiting.size >= MAX_WAITING) {
      throw new Error(`the storage has ${MAX_WAITING} questions to answer already`);
    }
    const opening = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    const answering = opening.then((folder) => this.#askAbout(folder, question));
    return await withinTime(answering);
  }

  /** The folder stays open until the answer: its number must not become another file's meanwhile. */
  async #askAbout(folder: FileHandle, question: { name: string; value?: string }): Promise<Answer> {
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<Answer>();
    this.#waiting.set(id, answer);
    try {
      this.#start().postMessage({ id, fd: folder.fd, libraries: LIBC_NAMES, ...question });
      return await answer.promise;
    } finally {
      this.#waiting.delete(id);
      await folder.close();
    }
  }

  #start(): Worker {
    if (this.#worker !== null) return this.#worker;
    const url = URL.createObjectURL(new Blob([program], { type: 'text/javascript' }));
    // A thread that waits for the storage must not keep the process from its end.
    const worker = new Worker(url, { ref: false });
    worker.onmessage = ({ data }) => {
      const answer = v.parse(answerOf, data);
      this.#waiting.get(answer.id)?.resolve(answer);
    };
    worker.onerror = ({ message }) => {
      this.#worker = null;
      this.#fail(new Error(`attributes of folders cannot be read: ${message}`));
    };
    this.#worker = worker;
    return worker;
  }

  #fail(reason: Error): void {
    for (const { reject } of this.#waiting.values()) reject(reason);
  }
}
