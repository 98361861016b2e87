/** The streams of a client's connection that were let in and are not over. */
import type { OpenSpan } from '../../../common/tracing.ts';
import type { Circuit } from '../circuit.ts';
import type { Counters } from '../counters.ts';
import type { H2Request } from './message.ts';

export interface Stream {
  /** Until the application has begun to answer. */
  unanswered: H2Request | null;
  isRequestDone: boolean;
  isAnswerDone: boolean;
  /** null: nothing is told of it. */
  readonly span: OpenSpan | null;
}

export class Streams {
  readonly #counters: Counters;
  readonly #open = new Map<number, Stream>();
  #circuit: Circuit | null = null;

  constructor(counters: Counters) {
    this.#counters = counters;
  }

  get size(): number {
    return this.#open.size;
  }

  get(id: number): Stream | null {
    return this.#open.get(id) ?? null;
  }

  add(id: number, request: H2Request, circuit: Circuit, span: OpenSpan | null): void {
    const stream = { unanswered: request, isRequestDone: false, isAnswerDone: false, span };
    this.#open.set(id, stream);
    this.#circuit = circuit;
    circuit.used();
    circuit.held += 1;
    this.#counters.requests += 1;
    this.#counters.pending += 1;
  }

  /** The client said all that it has to say. */
  requestEnded(id: number): void {
    const stream = this.get(id);
    if (stream?.isAnswerDone) this.remove(id, null);
    else if (stream) stream.isRequestDone = true;
  }

  /** So did the application; the client may go on nevertheless. */
  answerEnded(id: number): void {
    const stream = this.get(id);
    if (stream?.isRequestDone) this.remove(id, null);
    else if (stream) stream.isAnswerDone = true;
  }

  /** Both sides are done, or one of them broke it off. @param error null when they are done. */
  remove(id: number, error: string | null = 'It was broken off.'): Stream | null {
    const stream = this.get(id);
    if (stream === null) return null;
    this.#open.delete(id);
    stream.span?.end(error);
    if (this.#circuit !== null) this.#circuit.held -= 1;
    this.#counters.pending -= 1;
    if (stream.unanswered === null) this.#counters.answers += 1;
    return stream;
  }

  /** @returns those that were open. */
  removeAll(): [id: number, stream: Stream][] {
    const all = [...this.#open];
    for (const [id] of all) this.remove(id);
    return all;
  }
}
