/**
 * A client's HTTP/2 connection and the one to the application that belongs to it. Each request is
 * checked and its head rewritten; all other frames pass as they are, windows and pings included, so
 * that both ends slow each other down and nothing waits here.
 */
import { errorMessage } from '../../../common/errors.ts';
import type { Refusal } from '../access.ts';
import type { Circuit } from '../circuit.ts';
import { forwardFacts, judge, NO_SESSION, noApplicationAt } from '../http/admission.ts';
import { HALF_CLOSED_MS, HEAD_MS, type HttpDoor, LINGER_MS, STALLED_MS } from '../http/door.ts';
import { HeadError, MAX_HEAD_BYTES } from '../http/head.ts';
import { refusalFor } from '../http/refuse.ts';
import { traceRequest } from '../trace.ts';
import type { Wire, WireOwner } from '../wire.ts';
import { H2App, type H2Client, MAX_STREAMS } from './app.ts';
import {
  CODE,
  creditFrame,
  FLAG,
  FRAME,
  type Frame,
  FrameReader,
  frame,
  goAwayFrame,
  H2Error,
  headFrames,
  PREFACE,
  readSettings,
  resetFrame,
  SETTING,
  SETTINGS_TAKEN,
  settingsFrame,
} from './frames.ts';
import { encodeBlock, type HeaderField, HpackDecoder, HpackError } from './hpack.ts';
import {
  type H2Refusal,
  type H2Request,
  h2Refusal,
  readRequest,
  readTrailers,
  requestFields,
} from './message.ts';
import { Outbox } from './outbox.ts';
import { Streams } from './streams.ts';

/** A connection on which nothing is asked. */
const IDLE_MS = 300_000;
/** What a client may say before its first request. */
const MAX_SETTINGS = 64;
const MAX_CREDIT_BYTES = 2 ** 31 - 1 - 65_535;
/** What fits into one frame, and into a window that nobody made smaller. Bytes. */
const MAX_BODY_BYTES = 16_384;

type State = 'preface' | 'settings' | 'open' | 'busy' | 'closing';

export class H2Connection implements WireOwner, H2Client {
  readonly wire: Wire;
  readonly out: Outbox;
  readonly streams: Streams;
  readonly #door: HttpDoor;
  readonly #reader = new FrameReader();
  readonly #decoder = new HpackDecoder();
  #state: State = 'preface';
  #circuit: Circuit | null = null;
  #app: H2App | null = null;
  /** What the client said before the application was connected. */
  readonly #settings = new Map<number, number>();
  #creditBytes = 0;
  #lastId = 0;
  #hasEnded = false;
  #resetsTable = true;
  /** Our own settings come first, and the application does not wait for their being taken. */
  #isTaken = false;
  /** When to give up, on the monotonic clock. */
  #deadlineMs: number;

  constructor(wire: Wire, door: HttpDoor) {
    this.wire = wire;
    this.out = new Outbox(wire);
    this.streams = new Streams(door.counters);
    this.#door = door;
    this.#deadlineMs = door.clock.monotonicMs() + HEAD_MS;
  }

  #expectWithin(ms: number): void {
    this.#deadlineMs = this.#door.clock.monotonicMs() + ms;
  }

  /** Breaks off what takes too long; called every few seconds. */
  checkTime(nowMs: number): void {
    if (nowMs < this.#deadlineMs) return;
    if (this.#state === 'open' && this.wire.isDrained) this.#leave(CODE.NO_ERROR);
    else if (this.#state === 'closing' && this.wire.isDrained) this.wire.close();
    else this.wire.destroy();
  }

  received(chunk: Buffer): void {
    if (this.#state === 'closing') return;
    this.#reader.push(chunk);
    this.#goOn();
  }

  /** Takes what has come, as far as that is possible now. */
  #goOn(): void {
    try {
      if (this.#state === 'preface') this.#readPreface();
      while (this.#state === 'settings' || this.#state === 'open') {
        const next = this.#reader.next();
        if (next === null) break;
        this.#take(next);
      }
    } catch (error) {
      if (error instanceof HpackError) this.#leave(CODE.COMPRESSION_ERROR, error.message);
      else if (error instanceof H2Error) this.#leave(error.code, error.message);
      else throw error;
    }
    this.settle();
  }

  #readPreface(): void {
    const { unread } = this.#reader;
    const length = Math.min(unread.length, PREFACE.length);
    if (!unread.subarray(0, length).equals(PREFACE.subarray(0, length))) {
      const message = 'This application speaks HTTP/2 only (gRPC does, too).';
      this.out.say(refusalFor(null, 'GenericBadRequest', message, 505));
      this.#door.counters.refusals += 1;
      this.#close();
    } else if (this.#reader.take(PREFACE.length) !== null) {
      this.#state = 'settings';
      this.out.say(settingsFrame(new Map([[SETTING.MAX_CONCURRENT_STREAMS, MAX_STREAMS]])));
    }
  }

  #take(next: Frame): void {
    const { type, flags, streamId, whole } = next;
    if (this.#state === 'settings' && type !== FRAME.SETTINGS) {
      throw new H2Error(CODE.PROTOCOL_ERROR, 'The first frame has to be SETTINGS.');
    }
    const isOpen = this.streams.get(streamId) !== null;
    if (type === FRAME.DATA) this.#data(next);
    else if (type === FRAME.HEADERS) this.#head(next);
    else if (type === FRAME.SETTINGS) this.#takeSettings(next);
    else if (type === FRAME.PING) {
      if (this.#app !== null) this.#app.out.pass(whole);
      else if ((flags & FLAG.ACK) === 0) this.out.say(frame(type, FLAG.ACK, 0, next.payload));
    } else if (type === FRAME.GOAWAY) this.#app?.out.pass(whole);
    else if (type === FRAME.WINDOW_UPDATE) {
      if (streamId === 0) this.#credit(next);
      else if (isOpen) this.#app?.out.pass(whole);
    } else if (type === FRAME.RST_STREAM && isOpen) {
      this.#app?.out.pass(whole);
      this.streams.remove(streamId);
    } else if (type === FRAME.PUSH_PROMISE) {
      throw new H2Error(CODE.PROTOCOL_ERROR, 'Clients push nothing.');
    }
    // Whatever else there is belongs to one connection only, or came too late.
  }

  #credit({ payload, whole }: Frame): void {
    if (this.#app !== null) {
      this.#app.out.pass(whole);
      return;
    }
    this.#creditBytes += payload.readUInt32BE(0);
    if (this.#creditBytes > MAX_CREDIT_BYTES) {
      throw new H2Error(CODE.PROTOCOL_ERROR, 'The window is larger than possible.');
    }
  }

  #takeSettings(next: Frame): void {
    if ((next.flags & FLAG.ACK) !== 0) {
      if (this.#isTaken) this.#app?.out.pass(next.whole);
      this.#isTaken = true;
      return;
    }
    const settings = readSettings(next);
    if (settings.has(SETTING.HEADER_TABLE_SIZE)) this.#resetsTable = true;
    if (this.#state === 'settings') this.#state = 'open';
    if (this.#app !== null) {
      this.#app.settings(settings);
      return;
    }
    for (const [key, value] of settings) this.#settings.set(key, value);
    if (this.#settings.size > MAX_SETTINGS) {
      throw new H2Error(CODE.ENHANCE_YOUR_CALM, 'There are too many settings.');
    }
    this.out.say(SETTINGS_TAKEN);
  }

  #data({ streamId, flags, whole, payload }: Frame): void {
    if (streamId === 0 || streamId > this.#lastId) {
      throw new H2Error(CODE.PROTOCOL_ERROR, 'Data came for a stream that was not opened.');
    }
    const stream = this.streams.get(streamId);
    if (stream === null || stream.isRequestDone) {
      // Nobody takes it: what it used up of everybody's allowance is given back.
      if (payload.length > 0) this.out.say(creditFrame(payload.length));
      return;
    }
    this.#app?.out.pass(whole);
    if ((flags & FLAG.END_STREAM) !== 0) this.streams.requestEnded(streamId);
  }

  #head({ streamId, flags, payload }: Frame): void {
    const received = this.#decoder.decode(payload, MAX_HEAD_BYTES);
    const endsStream = (flags & FLAG.END_STREAM) !== 0;
    if (streamId % 2 === 0) throw new H2Error(CODE.PROTOCOL_ERROR, 'Clients open odd streams.');
    if (streamId <= this.#lastId) {
      this.#trailers(streamId, received, endsStream);
      return;
    }
    this.#lastId = streamId;
    if (this.streams.size >= MAX_STREAMS) {
      this.out.say(resetFrame(streamId, CODE.REFUSED_STREAM));
      return;
    }
    try {
      if (received === null) throw new HeadError(431, 'The head of the request is too long.');
      this.#check(streamId, readRequest(received), endsStream);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      const refusal = { problem: 'GenericBadRequest', message: error.message } as const;
      this.#refuse(streamId, null, refusal, endsStream, error.status);
    }
  }

  /** What follows the body of a request that was let in. */
  #trailers(streamId: number, received: HeaderField[] | null, endsStream: boolean): void {
    const stream = this.streams.get(streamId);
    if (stream === null || stream.isRequestDone) return;
    try {
      if (received === null || !endsStream) throw new HeadError(400, 'The trailers are not valid.');
      this.#app?.head(streamId, readTrailers(received), true);
      this.streams.requestEnded(streamId);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      this.out.say(resetFrame(streamId, CODE.PROTOCOL_ERROR));
      this.#app?.out.pass(resetFrame(streamId, CODE.PROTOCOL_ERROR));
      this.streams.remove(streamId);
    }
  }

  #check(streamId: number, request: H2Request, endsStream: boolean): void {
    const circuit = this.#door.circuitFor(request);
    if (circuit === null) {
      this.#refuse(streamId, request, noApplicationAt(request.host), endsStream);
      return;
    }
    if (this.#circuit !== null && this.#circuit !== circuit) {
      // Browsers take one connection for all names of a certificate; told so, they open another.
      const problem = 'GenericBadRequest';
      const message = `This connection leads to another application than ${request.host}.`;
      this.#refuse(streamId, request, { problem, message }, endsStream, 421);
      return;
    }
    if (this.#circuit === null) circuit.opened(this.wire);
    this.#circuit = circuit;
    const clientAddress = this.#door.clientAddress(request);
    const judged = (refusal: Refusal | null) => {
      if (refusal !== null) this.#refuse(streamId, request, refusal, endsStream);
      else this.#admit(streamId, request, circuit, { clientAddress, endsStream });
    };
    const verdict = judge(this.#door, circuit, request, clientAddress);
    if (!(verdict instanceof Promise)) {
      judged(verdict);
      return;
    }
    void this.#later(verdict.then((refusal) => () => judged(refusal)));
  }

  /** Takes nothing until something is known that has to be known first. */
  async #later(known: Promise<() => void>): Promise<void> {
    this.#state = 'busy';
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    const act = await known;
    if (!this.wire.isOpen || this.#state !== 'busy') return;
    this.#state = 'open';
    act();
    this.#goOn();
  }

  #admit(
    streamId: number,
    request: H2Request,
    circuit: Circuit,
    { clientAddress, endsStream }: { clientAddress: string; endsStream: boolean },
  ): void {
    const { span, traceparent } = traceRequest(this.#door.tracer, circuit, request);
    this.streams.add(streamId, request, circuit, span);
    if (endsStream) this.streams.requestEnded(streamId);
    const facts = forwardFacts(this.#door, circuit, { clientAddress, traceparent });
    const fields = requestFields(request, facts);
    if (this.#app !== null) this.#app.head(streamId, fields, endsStream);
    else void this.#later(this.#connect(circuit, (app) => app.head(streamId, fields, endsStream)));
  }

  async #connect(circuit: Circuit, onConnected: (app: H2App) => void): Promise<() => void> {
    const route = circuit.chooseRoute();
    if (route === null) {
      return () => this.#unanswered(NO_SESSION);
    }
    try {
      const wire = await circuit.connect(route);
      if (!this.wire.isOpen || this.#state !== 'busy') {
        wire.destroy();
        return () => {};
      }
      // From here on the connection has an owner, which closes it.
      this.#app = new H2App(wire, this, this.#settings, this.#creditBytes);
      const app = this.#app;
      return () => onConnected(app);
    } catch (error) {
      return () => this.#unanswered(errorMessage(error));
    }
  }

  head(streamId: number, fields: readonly HeaderField[], endsStream: boolean): void {
    this.out.pass(this.#headOf(streamId, fields, endsStream));
  }

  #headOf(streamId: number, fields: readonly HeaderField[], endsStream: boolean): Buffer {
    const block = encodeBlock(fields, this.#resetsTable);
    this.#resetsTable = false;
    return headFrames(streamId, block, endsStream);
  }

  /** Refuses a request. */
  #refuse(
    streamId: number,
    request: H2Request | null,
    { problem, message }: Refusal,
    isRequestDone: boolean,
    status?: number,
  ): void {
    const hasSaid = this.#answer(streamId, h2Refusal(request, problem, message, status), {
      isRequestDone,
      hasBody: this.#app === null,
    });
    if (hasSaid) this.#leave(CODE.NO_ERROR);
  }

  /**
   * Answers in place of the application, with a body only where none is connected nor will be: the
   * client's window is the application's to fill.
   * @returns whether there was a body.
   */
  #answer(
    streamId: number,
    { fields, body }: H2Refusal,
    { isRequestDone, hasBody }: { isRequestDone: boolean; hasBody: boolean },
  ): boolean {
    this.#door.counters.refusals += 1;
    const windowBytes = this.#settings.get(SETTING.INITIAL_WINDOW_SIZE) ?? MAX_BODY_BYTES;
    const fits = body.length <= Math.min(windowBytes, MAX_BODY_BYTES);
    const isSaid = hasBody && body.length > 0 && fits;
    this.out.say(this.#headOf(streamId, fields, !isSaid));
    if (isSaid) this.out.pass(frame(FRAME.DATA, FLAG.END_STREAM, streamId, body));
    if (!isRequestDone) this.out.say(resetFrame(streamId, CODE.NO_ERROR));
    return isSaid;
  }

  /** No request got an answer, and none will. */
  #unanswered(message: string): void {
    for (const [at, [id, { unanswered, isRequestDone }]] of this.streams.removeAll().entries()) {
      const refusal = h2Refusal(unanswered, 'ContainerConnectionRefused', message);
      this.#answer(id, refusal, { isRequestDone, hasBody: at === 0 });
    }
    this.#leave(CODE.NO_ERROR);
  }

  broken(message: string): void {
    if (this.#state === 'closing') return;
    if (this.#app?.hasSpoken) this.#close();
    else this.#unanswered(message);
  }

  /** Tells the client that nothing more is taken, and why. */
  #leave(code: number, message?: string): void {
    if (this.#state === 'closing') return;
    this.out.say(goAwayFrame(this.#lastId, code, message));
    this.#close();
  }

  /** Ends the connection gently: what the client still sends is dropped, so that it gets the rest. */
  #close(): void {
    this.#state = 'closing';
    this.out.flush();
    this.#app?.out.wire.abandon();
    this.#app = null;
    this.#expectWithin(this.wire.isDrained ? LINGER_MS : STALLED_MS);
    this.wire.end();
    this.wire.resume();
  }

  settle(): void {
    if (this.#state === 'closing') return;
    const app = this.#app?.out ?? null;
    this.out.flush();
    app?.flush();
    const isClientHeld =
      this.#state === 'busy' || this.out.isOverdue || !(app?.wire.isDrained ?? true);
    if (isClientHeld) this.wire.pause();
    else this.wire.resume();
    if (!this.wire.isDrained || app?.isOverdue) app?.wire.pause();
    else app?.wire.resume();
    if (this.#state !== 'open') return;
    if (this.#hasEnded) this.#passEnd();
    if (!this.wire.isDrained) this.#expectWithin(STALLED_MS);
    else if (this.#hasEnded) this.#expectWithin(HALF_CLOSED_MS);
    else if (this.streams.size === 0) this.#expectWithin(IDLE_MS);
    else this.#deadlineMs = Number.POSITIVE_INFINITY;
  }

  drained(): void {
    this.out.drained();
    this.settle();
  }

  ended(): void {
    if (this.#state !== 'open' && this.#state !== 'busy') {
      this.wire.close();
      return;
    }
    // It may still read the answers, also to what is not passed on yet.
    this.#hasEnded = true;
    this.settle();
  }

  /** Passes on that the client sends nothing more, once all that it sent is taken. */
  #passEnd(): void {
    if (this.#app === null) this.wire.close();
    else this.#app.out.wire.end();
  }

  closed(): void {
    this.#state = 'closing';
    this.#app?.out.wire.abandon();
    this.#app = null;
    this.streams.removeAll();
    this.#circuit?.closed(this.wire);
    this.#door.closed(this);
  }
}
