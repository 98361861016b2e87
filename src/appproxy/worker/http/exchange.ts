/**
 * One request and its answer between a client's connection and the application: heads are rewritten,
 * bodies pass as they are, each side is slowed down to what the other one takes.
 */
import { errorMessage } from '../../../common/errors.ts';
import type { RouteInfo } from '../../shared/protocol.ts';
import type { Circuit } from '../circuit.ts';
import { BULK_BYTES, type Wire, type WireOwner } from '../wire.ts';
import { NO_SESSION } from './admission.ts';
import { type BodyReader, bodyReader, ChunkError } from './body.ts';
import { responseHeadFor } from './forward.ts';
import {
  HEAD_END,
  HeadError,
  MAX_HEAD_BYTES,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from './head.ts';

/** Up to here the rest of a piece is sent together with the head. Bytes. */
const JOINED_BYTES = 64 * 1024;
/** Sent again, when an idle connection turns out to be over, without doing anything twice. */
const REPEATABLE = new Set(['GET', 'HEAD', 'OPTIONS']);

/** The client's side of an exchange. */
export interface ExchangeClient {
  readonly wire: Wire;
  /** The request's body was not valid: the connection has to end. */
  malformed(message: string): void;
  /** Nothing was answered yet, and the application cannot be asked. */
  unanswered(message: string): void;
  /** The client takes nothing of the answer at present. */
  stalled(): void;
  /** The answer cannot be completed. */
  broken(): void;
  /** @param goesOn whether the connection can take the next request. */
  answered(goesOn: boolean): void;
  /** The application took up the WebSocket; `app` is the connection to it. */
  upgraded(app: Wire): void;
}

export class Exchange implements WireOwner {
  readonly #client: ExchangeClient;
  readonly #circuit: Circuit;
  readonly #head: RequestHead;
  readonly #headBytes: Buffer;
  readonly #requestBody: BodyReader | null;
  #isRequestDone: boolean;
  #app: Wire | null = null;
  #route: RouteInfo | null = null;
  #isReused = false;
  /** What came before the whole head of the answer was there. */
  #unread: Buffer | null = null;
  #answer: ResponseHead | null = null;
  #answerBody: BodyReader | null = null;
  #goesOn = false;
  #isOver = false;

  constructor(client: ExchangeClient, circuit: Circuit, head: RequestHead, forwarded: string) {
    this.#client = client;
    this.#circuit = circuit;
    this.#head = head;
    this.#headBytes = Buffer.from(forwarded, 'latin1');
    this.#isRequestDone = head.length === 0;
    this.#requestBody = this.#isRequestDone ? null : bodyReader(head.length);
  }

  get head(): RequestHead {
    return this.#head;
  }

  /** Of the answer, once its head is there. */
  get status(): number | null {
    return this.#answer?.status ?? null;
  }

  get isRequestDone(): boolean {
    return this.#isRequestDone;
  }

  /** Whether body bytes can be given: the application is connected. */
  get isReady(): boolean {
    return this.#app !== null;
  }

  /** Asks the application. @param onReady called when body bytes can be given. */
  start(onReady: () => void): void {
    const route = this.#circuit.chooseRoute();
    if (route === null) {
      this.#fail(NO_SESSION);
      return;
    }
    this.#route = route;
    const isRepeatable = REPEATABLE.has(this.#head.method) && this.#isRequestDone;
    const idle = isRepeatable && !this.#head.isWebSocket ? this.#circuit.idle.take(route) : null;
    if (idle !== null) {
      this.#isReused = true;
      this.#connected(idle);
      onReady();
      return;
    }
    void this.#connect(route, onReady);
  }

  async #connect(route: RouteInfo, onReady: () => void): Promise<void> {
    try {
      const wire = await this.#circuit.connect(route);
      if (this.#isOver) {
        wire.destroy();
        return;
      }
      this.#connected(wire);
      onReady();
    } catch (error) {
      this.#fail(errorMessage(error));
    }
  }

  #connected(wire: Wire): void {
    this.#app = wire;
    wire.owner = this;
    wire.write(this.#headBytes);
  }

  /** Passes body bytes on. @returns how many of them belong to this request. */
  give(chunk: Buffer): number {
    if (this.#requestBody === null || this.#app === null || this.#isRequestDone) return 0;
    try {
      const body = this.#requestBody;
      const { bytes, isComplete } = body.read(chunk);
      let isTaken = this.#app.write(bytes === chunk.length ? chunk : chunk.subarray(0, bytes));
      this.#isRequestDone = isComplete;
      if (isTaken && bytes >= BULK_BYTES && body.certain > 0) {
        const relayed = this.#client.wire.relayTo(this.#app, body.certain);
        isTaken = relayed.isTaken;
        if (relayed.bytes > 0) this.#isRequestDone = body.passed(relayed.bytes);
      }
      if (!isTaken) this.#client.wire.pause();
      return bytes;
    } catch (error) {
      if (!(error instanceof ChunkError)) throw error;
      this.abort();
      this.#client.malformed(error.message);
      return chunk.length;
    }
  }

  /** The client has room again. */
  clientDrained(): void {
    this.#app?.resume();
  }

  /** The client is gone, or its request is no good. */
  abort(): void {
    this.#isOver = true;
    this.#app?.destroy();
  }

  received(chunk: Buffer): void {
    if (this.#isOver) return;
    if (this.#answerBody === null) this.#readHead(chunk);
    else this.#passBody(this.#answerBody, chunk, null);
  }

  #readHead(chunk: Buffer): void {
    let unread = this.#unread === null ? chunk : Buffer.concat([this.#unread, chunk]);
    for (;;) {
      const end = unread.indexOf(HEAD_END);
      if (end === -1 ? unread.length > MAX_HEAD_BYTES : end > MAX_HEAD_BYTES) {
        this.#fail('The head of the answer is too long.');
        return;
      }
      if (end === -1) {
        this.#unread = unread;
        return;
      }
      const rest = unread.subarray(end + HEAD_END.length);
      const answer = this.#parse(unread.toString('latin1', 0, end));
      if (answer === null) return;
      if (answer.status >= 200 || answer.status === 101) {
        this.#unread = null;
        this.#begin(answer, rest);
        return;
      }
      if (this.#head.minorVersion === 1) {
        const hint = Buffer.from(responseHeadFor(answer, 'keep-alive'), 'latin1');
        if (!this.#client.wire.write(hint)) this.#hold();
      }
      unread = rest;
    }
  }

  #parse(text: string): ResponseHead | null {
    try {
      return parseResponseHead(text, this.#head.method);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      this.#fail(error.message);
      return null;
    }
  }

  /** The whole head of the answer is there. */
  #begin(answer: ResponseHead, rest: Buffer): void {
    if (answer.status === 101) {
      this.#upgrade(answer, rest);
      return;
    }
    this.#answer = answer;
    this.#goesOn = this.#head.keepsAlive && this.#isRequestDone && answer.length !== 'until-close';
    const head = responseHeadFor(answer, this.#goesOn ? 'keep-alive' : 'close');
    this.#answerBody = bodyReader(answer.length);
    this.#passBody(this.#answerBody, rest, Buffer.from(head, 'latin1'));
  }

  #upgrade(answer: ResponseHead, rest: Buffer): void {
    const app = this.#app;
    if (!this.#head.isWebSocket || app === null) {
      this.#fail('The application changed the protocol without being asked.');
      return;
    }
    this.#isOver = true;
    const head = Buffer.from(responseHeadFor(answer, 'keep-alive'), 'latin1');
    this.#client.wire.write(rest.length === 0 ? head : Buffer.concat([head, rest]));
    this.#client.upgraded(app);
  }

  #passBody(body: BodyReader, chunk: Buffer, head: Buffer | null): void {
    let progress: { bytes: number; isComplete: boolean };
    try {
      progress = body.read(chunk);
    } catch (error) {
      if (!(error instanceof ChunkError)) throw error;
      this.#break();
      return;
    }
    const { bytes } = progress;
    let { isComplete } = progress;
    const part = bytes === chunk.length ? chunk : chunk.subarray(0, bytes);
    let isTaken = this.#send(head, part);
    if (isTaken && this.#app !== null && bytes >= BULK_BYTES && body.certain > 0) {
      const relayed = this.#app.relayTo(this.#client.wire, body.certain);
      isTaken = relayed.isTaken;
      if (relayed.bytes > 0) isComplete = body.passed(relayed.bytes);
    }
    if (!isTaken) this.#hold();
    if (isComplete) this.#finish(bytes === chunk.length);
  }

  #send(head: Buffer | null, part: Buffer): boolean {
    const { wire } = this.#client;
    if (head === null) return part.length === 0 || wire.write(part);
    if (part.length === 0) return wire.write(head);
    if (part.length <= JOINED_BYTES) return wire.write(Buffer.concat([head, part]));
    // What a client takes late is kept, so the part has to follow either way.
    const isHeadTaken = wire.write(head);
    return wire.write(part) && isHeadTaken;
  }

  /** The client has to take first what waits for it. */
  #hold(): void {
    this.#app?.pause();
    this.#client.stalled();
  }

  /** @param isClean whether the application sent not more than the answer. */
  #finish(isClean: boolean): void {
    this.#isOver = true;
    const [app, route] = [this.#app, this.#route];
    this.#app = null;
    if (
      app !== null &&
      route !== null &&
      isClean &&
      this.#isRequestDone &&
      this.#answer?.keepsAlive
    ) {
      this.#circuit.idle.give(route, app);
    } else app?.destroy();
    this.#client.answered(this.#goesOn && this.#isRequestDone);
  }

  drained(): void {
    if (!this.#isOver) this.#client.wire.resume();
  }

  ended(): void {
    this.#appIsGone();
  }

  closed(isBroken: boolean): void {
    this.#appIsGone(isBroken);
  }

  /** The application sends nothing more. @param isBroken whether there might have been more. */
  #appIsGone(isBroken = false): void {
    if (this.#isOver) return;
    if (this.#answer === null) {
      if (!this.#isReused || this.#unread !== null || this.#route === null) {
        this.#fail('The application ended the connection without an answer.');
        return;
      }
      // It closed the idle connection while the request was on its way.
      this.#isReused = false;
      this.#app?.abandon();
      this.#app = null;
      void this.#connect(this.#route, () => {});
    } else if (this.#answer.length === 'until-close' && !isBroken) this.#finish(false);
    else this.#break();
  }

  #break(): void {
    this.abort();
    this.#client.broken();
  }

  #fail(message: string): void {
    if (this.#isOver) return;
    this.abort();
    this.#client.unanswered(message);
  }
}
