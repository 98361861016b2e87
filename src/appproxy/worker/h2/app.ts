/**
 * The application's side of a client's HTTP/2 connection: its frames go to the client as they are, but
 * for heads, which are rewritten, and settings, of which some are the proxy's to say.
 */
import { HeadError, MAX_HEAD_BYTES } from '../http/head.ts';
import type { Wire, WireOwner } from '../wire.ts';
import {
  CODE,
  creditFrame,
  FLAG,
  FRAME,
  type Frame,
  FrameReader,
  H2Error,
  headFrames,
  PREFACE,
  readSettings,
  resetFrame,
  SETTING,
  type Settings,
  settingsFrame,
} from './frames.ts';
import { encodeBlock, type HeaderField, HpackDecoder, HpackError } from './hpack.ts';
import { answerFields, readAnswer, readTrailers } from './message.ts';
import { Outbox } from './outbox.ts';
import type { Streams } from './streams.ts';

/** Streams that a client may have at once; an application may allow fewer. */
export const MAX_STREAMS = 1_000;

/** The client's side. */
export interface H2Client {
  readonly out: Outbox;
  readonly streams: Streams;
  /** Sends a head to the client. */
  head(streamId: number, fields: readonly HeaderField[], endsStream: boolean): void;
  /** Sends what waits, and slows down who is too fast. */
  settle(): void;
  /** The application is gone, or talks nonsense. */
  broken(message: string): void;
}

export class H2App implements WireOwner {
  readonly out: Outbox;
  readonly #client: H2Client;
  readonly #reader = new FrameReader();
  readonly #decoder = new HpackDecoder();
  #resetsTable = true;
  #hasSpoken = false;
  /** Our own settings come first, and nobody else waits for their being taken. */
  #isTaken = false;

  /** @param settings of the client; @param credit that it gave for all streams. Bytes. */
  constructor(wire: Wire, client: H2Client, settings: Settings, credit: number) {
    this.out = new Outbox(wire);
    this.#client = client;
    wire.owner = this;
    this.out.pass(PREFACE);
    this.settings(settings);
    if (credit > 0) this.out.pass(creditFrame(credit));
  }

  /** Whether it has answered anything at all. */
  get hasSpoken(): boolean {
    return this.#hasSpoken;
  }

  settings(settings: Settings): void {
    const passed = passedSettings(settings);
    passed.delete(SETTING.MAX_CONCURRENT_STREAMS);
    passed.set(SETTING.ENABLE_PUSH, 0);
    this.out.pass(settingsFrame(passed));
  }

  head(streamId: number, fields: readonly HeaderField[], endsStream: boolean): void {
    this.out.pass(headFrames(streamId, encodeBlock(fields, this.#resetsTable), endsStream));
    this.#resetsTable = false;
  }

  received(chunk: Buffer): void {
    this.#reader.push(chunk);
    try {
      for (let next = this.#reader.next(); next !== null; next = this.#reader.next()) {
        this.#take(next);
      }
    } catch (error) {
      if (!(error instanceof H2Error || error instanceof HpackError)) throw error;
      this.#client.broken(
        this.#hasSpoken ? error.message : 'The application did not answer with valid HTTP/2.',
      );
      return;
    }
    this.#client.settle();
  }

  #take(next: Frame): void {
    const { type, flags, streamId, whole } = next;
    const { out } = this.#client;
    if (!this.#hasSpoken && type !== FRAME.SETTINGS) {
      throw new H2Error(CODE.PROTOCOL_ERROR, 'The first frame has to be SETTINGS.');
    }
    this.#hasSpoken = true;
    const isOpen = this.#client.streams.get(streamId) !== null;
    if (type === FRAME.DATA) this.#data(next);
    else if (type === FRAME.HEADERS) this.#head(next);
    else if (type === FRAME.SETTINGS) this.#settings(next);
    else if (type === FRAME.PING || type === FRAME.GOAWAY) out.pass(whole);
    else if (type === FRAME.WINDOW_UPDATE && (streamId === 0 || isOpen)) out.pass(whole);
    else if (type === FRAME.RST_STREAM && isOpen) {
      out.pass(whole);
      this.#client.streams.remove(streamId);
    } else if (type === FRAME.PUSH_PROMISE) {
      throw new H2Error(CODE.PROTOCOL_ERROR, 'Nobody takes what the application pushes.');
    }
    // Whatever else there is belongs to one connection only, or came too late.
    if ((flags & FLAG.END_STREAM) !== 0 && (type === FRAME.DATA || type === FRAME.HEADERS)) {
      this.#client.streams.answerEnded(streamId);
    }
  }

  #data({ streamId, whole, payload }: Frame): void {
    const stream = this.#client.streams.get(streamId);
    if (stream !== null && stream.unanswered === null && !stream.isAnswerDone) {
      this.#client.out.pass(whole);
      return;
    }
    // Nobody takes it: what it used up of everybody's allowance is given back.
    if (payload.length > 0) this.out.say(creditFrame(payload.length));
    // A body without a head is no answer, and none can follow.
    if (stream !== null && stream.unanswered !== null) this.#breakOff(streamId);
  }

  /** Ends a stream of which the application made nonsense. */
  #breakOff(streamId: number): void {
    this.out.say(resetFrame(streamId, CODE.PROTOCOL_ERROR));
    this.#client.out.pass(resetFrame(streamId, CODE.INTERNAL_ERROR));
    this.#client.streams.remove(streamId);
  }

  #head({ streamId, flags, payload }: Frame): void {
    const received = this.#decoder.decode(payload, MAX_HEAD_BYTES);
    const stream = this.#client.streams.get(streamId);
    if (stream === null || stream.isAnswerDone) return;
    const endsStream = (flags & FLAG.END_STREAM) !== 0;
    try {
      if (received === null) throw new HeadError(502, 'The head of the answer is too long.');
      if (stream.unanswered === null) {
        if (!endsStream) throw new HeadError(502, 'What follows an answer has to be its end.');
        this.#client.head(streamId, readTrailers(received), true);
        return;
      }
      const answer = readAnswer(received);
      if (answer.status >= 200) stream.unanswered = null;
      else if (endsStream) throw new HeadError(502, 'The answer ends before it begins.');
      this.#client.head(streamId, answerFields(answer), endsStream);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      this.#breakOff(streamId);
    }
  }

  #settings(next: Frame): void {
    const { out } = this.#client;
    if ((next.flags & FLAG.ACK) !== 0) {
      if (this.#isTaken) out.pass(next.whole);
      this.#isTaken = true;
      return;
    }
    const settings = readSettings(next);
    if (settings.has(SETTING.HEADER_TABLE_SIZE)) this.#resetsTable = true;
    const passed = passedSettings(settings);
    passed.delete(SETTING.ENABLE_PUSH);
    const streams = passed.get(SETTING.MAX_CONCURRENT_STREAMS);
    if (streams !== undefined) {
      passed.set(SETTING.MAX_CONCURRENT_STREAMS, Math.min(streams, MAX_STREAMS));
    }
    out.pass(settingsFrame(passed));
  }

  drained(): void {
    this.out.drained();
    this.#client.settle();
  }

  ended(): void {
    this.#client.broken('The application ended the connection without an answer.');
  }

  closed(): void {
    this.#client.broken('The application ended the connection without an answer.');
  }
}

/** Sizes of tables and frames are agreed on for each connection, and stay as they are at first. */
function passedSettings(settings: Settings): Map<number, number> {
  const passed = new Map(settings);
  passed.delete(SETTING.HEADER_TABLE_SIZE);
  passed.delete(SETTING.MAX_FRAME_SIZE);
  return passed;
}
