/**
 * Extended attributes of folders, which CephFS has for quotas and statistics. Neither Bun nor Node can
 * read them, so the C library is called, in a thread of its own since such a call, and the opening of
 * the folder before it, waits for the storage's servers. Those of the process are for everybody.
 */
import { constants as system } from 'node:os';
import { Worker } from 'node:worker_threads';
import * as v from 'valibot';
import { errorMessage } from '../../../common/errors.ts';
import { isCompiled } from '../../../common/executable.ts';
import { withinTime } from '../backend.ts';
import { type Answer, answer, type Question } from './messages.ts';

/** Questions that wait for an answer; more are refused. */
const MAX_WAITING = 1_000;
const { ENODATA, EOPNOTSUPP } = system.errno;

type Asked = Pick<Question, 'name' | 'value'>;

const newWorker = (): Worker =>
  isCompiled
    ? new Worker('/$bunfs/root/attributes-worker.js')
    : new Worker(new URL('worker.ts', import.meta.url));

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
   * @throws AttributeError, also when there is no such folder; Error when the storage does not answer
   * within five seconds.
   */
  async get(path: string, name: string): Promise<string | null> {
    const told = await this.#ask(path, { name });
    if ('value' in told) return told.value;
    if (told.errno === ENODATA || told.errno === EOPNOTSUPP) return null;
    throw new AttributeError(told.errno);
  }

  /** @throws as `get` does, also for a file system that has no such attributes. */
  async set(path: string, name: string, value: string): Promise<void> {
    const told = await this.#ask(path, { name, value });
    if ('errno' in told) throw new AttributeError(told.errno);
  }

  /** A call that still waits for the storage ends with this process. */
  close(): void {
    void this.#worker?.terminate();
    this.#worker = null;
    this.#fail(new Error('the storage proxy stops'));
  }

  async #ask(path: string, asked: Asked): Promise<Answer> {
    if (this.#waiting.size >= MAX_WAITING) {
      throw new Error(`the storage has ${MAX_WAITING} questions to answer already`);
    }
    return await withinTime(this.#answerAbout(path, asked));
  }

  async #answerAbout(path: string, asked: Asked): Promise<Answer> {
    const id = ++this.#lastId;
    const told = Promise.withResolvers<Answer>();
    this.#waiting.set(id, told);
    try {
      const question: Question = { id, path, ...asked };
      this.#start().postMessage(question);
      return await told.promise;
    } finally {
      this.#waiting.delete(id);
    }
  }

  #start(): Worker {
    if (this.#worker !== null) return this.#worker;
    const worker = newWorker();
    // A thread that waits for the storage must not keep the process from its end.
    worker.unref();
    worker.on('message', (data: unknown) => {
      const told = v.parse(answer, data);
      this.#waiting.get(told.id)?.resolve(told);
    });
    worker.on('error', (error) => {
      this.#worker = null;
      this.#fail(new Error(`Attributes of folders cannot be read: ${errorMessage(error)}`));
    });
    this.#worker = worker;
    return worker;
  }

  #fail(reason: Error): void {
    for (const { reject } of this.#waiting.values()) reject(reason);
  }
}
