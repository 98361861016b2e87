/**
 * Follows what happens on the daemon. The stream is opened again whenever it breaks, and whoever
 * listens is told, since events were missed meanwhile.
 */
import type { Readable } from 'node:stream';
import * as v from 'valibot';
import type { Clock } from '../../../common/clock.ts';
import { answerStream, type DockerEngine } from '../../../common/docker/engine.ts';
import { errorMessage } from '../../../common/errors.ts';
import type { Logger } from '../../../common/logger.ts';

const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 2000;
const OPEN_TIMEOUT_MS = 10_000;
const MAX_LINE_CHARACTERS = 1024 * 1024;
const CONTAINER_EVENTS = ['die', 'oom'];
/** Names differ between versions of the daemon. */
const IMAGE_EVENTS = [
  ...['pull', 'tag', 'untag', 'delete', 'import', 'load'],
  ...['create', 'build', 'remove', 'prune', 'loadfromarchive'],
];

const daemonEvent = v.object({
  Type: v.string(),
  Action: v.string(),
  Actor: v.object({ ID: v.string(), Attributes: v.record(v.string(), v.string()) }),
});

export interface EventListener {
  /** A container's main process ended. */
  died(containerId: string, attributes: Readonly<Record<string, string>>): void;
  /** A process of a container was killed for want of memory. */
  outOfMemory(attributes: Readonly<Record<string, string>>): void;
  /** The set of images changed. */
  imagesChanged(): void;
  /** The stream was broken and is open again: anything may have happened. */
  resumed(): void;
}

export class EventStream {
  readonly #engine: DockerEngine;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #listener: EventListener;
  readonly #closing = new AbortController();
  /** Whether events arrive at present. */
  isOpen = false;

  constructor(engine: DockerEngine, clock: Clock, log: Logger, listener: EventListener) {
    this.#engine = engine;
    this.#clock = clock;
    this.#log = log;
    this.#listener = listener;
  }

  /** Opens the stream. @throws BackendError ServiceUnavailable when the daemon is away. */
  async open(): Promise<void> {
    const stream = await this.#connect();
    void this.#follow(stream);
  }

  close(): void {
    this.#closing.abort(new Error('the agent stops'));
  }

  async #connect(): Promise<Readable> {
    const event = [...CONTAINER_EVENTS, ...IMAGE_EVENTS];
    const answer = await this.#engine.call(
      (docker) => docker.getEvents({ filters: { type: ['container', 'image'], event } }),
      { timeoutMs: OPEN_TIMEOUT_MS, signal: this.#closing.signal },
    );
    const stream = v.parse(answerStream, answer);
    this.#closing.signal.addEventListener('abort', () => stream.destroy(), { once: true });
    this.isOpen = true;
    return stream;
  }

  async #follow(first: Readable): Promise<void> {
    let stream: Readable | null = first;
    let retryMs = FIRST_RETRY_MS;
    while (!this.#closing.signal.aborted) {
      if (stream !== null) {
        await this.#read(stream);
        this.isOpen = false;
        if (this.#closing.signal.aborted) return;
        this.#log.warn('The connection to Docker was lost; trying again');
        stream = null;
      }
      try {
        await this.#clock.sleep(retryMs, this.#closing.signal);
        stream = await this.#connect();
        retryMs = FIRST_RETRY_MS;
        this.#log.info('The connection to Docker is back');
        this.#listener.resumed();
      } catch (error) {
        this.#log.debug('Docker is still away', { error: errorMessage(error) });
        retryMs = Math.min(LAST_RETRY_MS, retryMs * 2);
      }
    }
  }

  /** Reads to the end of the stream, however it ends. */
  async #read(stream: Readable): Promise<void> {
    let rest = '';
    try {
      for await (const chunk of stream) {
        const lines = (rest + chunk.toString()).split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > MAX_LINE_CHARACTERS) throw new Error('an event is too long');
        for (const line of lines) this.#handle(line);
      }
    } catch (error) {
      this.#log.debug('The event stream of Docker broke', { error: errorMessage(error) });
    }
  }

  #handle(line: string): void {
    if (line.trim() === '') return;
    const parsed = v.safeParse(daemonEvent, JSON.parse(line));
    if (!parsed.success) return;
    const { Type: type, Action: action, Actor: actor } = parsed.output;
    if (type === 'image') this.#listener.imagesChanged();
    else if (action === 'die') this.#listener.died(actor.ID, actor.Attributes);
    else if (action === 'oom') this.#listener.outOfMemory(actor.Attributes);
  }
}
