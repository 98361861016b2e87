/** A client's HTTP connection: its requests one after the other, each checked and passed on. */
import type { ProblemName } from '../../../common/problems.ts';
import type { OpenSpan } from '../../../common/tracing.ts';
import type { Refusal } from '../access.ts';
import type { Circuit } from '../circuit.ts';
import { splice } from '../splice.ts';
import { traceRequest } from '../trace.ts';
import type { Wire, WireOwner } from '../wire.ts';
import { forwardFacts, judge, noApplicationAt } from './admission.ts';
import {
  type ClientConnection,
  HALF_CLOSED_MS,
  HEAD_MS,
  type HttpDoor,
  LINGER_MS,
  STALLED_MS,
} from './door.ts';
import { Exchange, type ExchangeClient } from './exchange.ts';
import { requestHeadFor } from './forward.ts';
import { HEAD_END, HeadError, MAX_HEAD_BYTES, parseRequestHead, type RequestHead } from './head.ts';
import { refusalFor } from './refuse.ts';

/** The next piece of a body has to come so soon. */
const BODY_MS = 60_000;
/** A client that waits for its next request. */
const IDLE_MS = 75_000;

const SWITCHING_PROTOCOLS = 101;
const CLIENT_IS_GONE = 'The client left before the answer was complete.';

type State = 'head' | 'checking' | 'exchange' | 'tunnel' | 'closing';

export class HttpConnection implements WireOwner, ExchangeClient, ClientConnection {
  readonly wire: Wire;
  readonly #door: HttpDoor;
  #state: State = 'head';
  #unread: Buffer | null = null;
  #exchange: Exchange | null = null;
  /** Of the exchange. */
  #span: OpenSpan | null = null;
  #circuit: Circuit | null = null;
  #hasEnded = false;
  /** When to give up, on the monotonic clock. */
  #deadlineMs: number;

  constructor(wire: Wire, door: HttpDoor) {
    this.wire = wire;
    this.#door = door;
    this.#deadlineMs = door.clock.monotonicMs() + HEAD_MS;
  }

  #expectWithin(ms: number): void {
    this.#deadlineMs = this.#door.clock.monotonicMs() + ms;
  }

  /** Breaks off what takes too long; called every few seconds. */
  checkTime(nowMs: number): void {
    if (nowMs < this.#deadlineMs) return;
    this.#exchange?.abort();
    // What the system still has to deliver survives a close.
    if (this.#state === 'closing' && this.wire.isDrained) this.wire.close();
    else this.wire.destroy();
  }

  received(chunk: Buffer): void {
    if (this.#state === 'head') {
      if (this.#unread === null) this.#expectWithin(HEAD_MS);
      this.#keep(chunk);
      this.#readHead();
    } else if (this.#state === 'exchange' && this.#exchange?.isReady) this.#giveBody(chunk);
    else if (this.#state !== 'closing') {
      this.#keep(chunk);
      this.wire.pause();
    }
  }

  #keep(chunk: Buffer): void {
    this.#unread = this.#unread === null ? chunk : Buffer.concat([this.#unread, chunk]);
  }

  #giveBody(chunk: Buffer): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    const bytes = exchange.give(chunk);
    if (this.#exchange !== exchange) return;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    if (!exchange.isRequestDone) this.#expectWithin(BODY_MS);
    if (bytes < chunk.length) {
      this.#keep(chunk.subarray(bytes));
      this.wire.pause();
    }
  }

  #readHead(): void {
    let unread = this.#unread;
    if (unread === null) return;
    // An empty line before a request is tolerated, as RFC 9112 asks for.
    if (unread[0] === 13 && unread[1] === 10) unread = unread.subarray(2);
    const end = unread.indexOf(HEAD_END);
    if (end === -1 ? unread.length > MAX_HEAD_BYTES : end > MAX_HEAD_BYTES) {
      this.#refuse(null, 'GenericBadRequest', 'The head of the request is too long.', 431);
      return;
    }
    if (end === -1) {
      if (this.#hasEnded) this.wire.close();
      return;
    }
    const rest = unread.subarray(end + HEAD_END.length);
    this.#unread = rest.length === 0 ? null : rest;
    let head: RequestHead;
    try {
      head = parseRequestHead(unread.toString('latin1', 0, end));
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      this.#refuse(null, 'GenericBadRequest', error.message, error.status);
      return;
    }
    this.#check(head);
  }

  #check(head: RequestHead): void {
    const circuit = this.#door.circuitFor(head);
    if (circuit === null) {
      const { problem, message } = noApplicationAt(head.host);
      this.#refuse(head, problem, message);
      return;
    }
    if (this.#circuit !== circuit) {
      this.#circuit?.closed(this.wire);
      circuit.opened(this.wire);
      this.#circuit = circuit;
    }
    const clientAddress = this.#door.clientAddress(head);
    const verdict = judge(this.#door, circuit, head, clientAddress);
    if (!(verdict instanceof Promise)) {
      this.#judged(circuit, head, clientAddress, verdict);
      return;
    }
    this.#state = 'checking';
    void verdict.then((refusal) => this.#judged(circuit, head, clientAddress, refusal));
  }

  #judged(
    circuit: Circuit,
    head: RequestHead,
    clientAddress: string,
    refusal: Refusal | null,
  ): void {
    if (!this.wire.isOpen) return;
    if (refusal !== null) {
      this.#refuse(head, refusal.problem, refusal.message);
      return;
    }
    circuit.used();
    this.#door.counters.requests += 1;
    const { span, traceparent } = traceRequest(this.#door.tracer, circuit, head);
    this.#span = span;
    const facts = forwardFacts(this.#door, circuit, { clientAddress, traceparent });
    const exchange = new Exchange(this, circuit, head, requestHeadFor(head, facts));
    this.#exchange = exchange;
    this.#state = 'exchange';
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    this.#door.counters.pending += 1;
    exchange.start(() => this.#exchangeIsReady(exchange));
  }

  /** The application is connected: give it what has come of the body. */
  #exchangeIsReady(exchange: Exchange): void {
    if (this.#exchange !== exchange || exchange.isRequestDone) return;
    this.#expectWithin(BODY_MS);
    const unread = this.#unread;
    this.#unread = null;
    if (unread !== null) this.#giveBody(unread);
    if (this.#unread === null) this.wire.resume();
  }

  /** @param error why it failed. */
  #exchangeIsOver(error: string | null = null, status = this.#exchange?.status ?? null): void {
    if (this.#exchange === null) return;
    this.#span?.end(error, status === null ? {} : { 'http.response.status_code': status });
    this.#span = null;
    this.#exchange = null;
    this.#door.counters.pending -= 1;
  }

  answered(goesOn: boolean): void {
    this.#exchangeIsOver();
    this.#door.counters.answers += 1;
    if (!goesOn || this.#hasEnded) {
      this.#close();
      return;
    }
    this.#state = 'head';
    this.#expectWithin(IDLE_MS);
    if (!this.wire.isDrained) {
      // The next request has to wait until this answer is taken.
      this.#expectWithin(STALLED_MS);
      this.wire.pause();
      return;
    }
    this.#next();
  }

  /** Goes on with what has come since. */
  #next(): void {
    this.wire.resume();
    if (this.#unread !== null) this.#readHead();
  }

  malformed(message: string): void {
    this.#exchangeIsOver(message);
    this.#refuse(null, 'GenericBadRequest', message);
  }

  unanswered(message: string): void {
    const head = this.#exchange?.head ?? null;
    this.#exchangeIsOver(message);
    this.#refuse(head, 'ContainerConnectionRefused', message);
  }

  broken(): void {
    this.#exchangeIsOver('The application broke its answer off.');
    this.wire.destroy();
  }

  upgraded(app: Wire): void {
    this.#exchangeIsOver(null, SWITCHING_PROTOCOLS);
    this.#state = 'tunnel';
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    const [circuit, { counters, clock }] = [this.#circuit, this.#door];
    if (circuit === null) return;
    circuit.held += 1;
    counters.webSocketsOpened += 1;
    const early = this.#unread;
    this.#unread = null;
    if (early !== null) app.write(early);
    splice(this.wire, app, {
      clock,
      traffic: counters.webSocketTraffic,
      onClosed: () => {
        circuit.held -= 1;
        counters.webSocketsClosed += 1;
        this.#leave();
      },
    });
  }

  #refuse(head: RequestHead | null, problem: ProblemName, message: string, status?: number): void {
    this.wire.write(refusalFor(head, problem, message, status));
    this.#door.counters.refusals += 1;
    this.#close();
  }

  /** Ends the connection gently: what the client still sends is dropped, so that it gets the answer. */
  #close(): void {
    this.#state = 'closing';
    this.#unread = null;
    this.#expectWithin(this.wire.isDrained ? LINGER_MS : STALLED_MS);
    if (this.#hasEnded) this.wire.close();
    else this.wire.end();
    this.wire.resume();
  }

  stalled(): void {
    this.#expectWithin(STALLED_MS);
  }

  drained(): void {
    if (this.#exchange !== null) {
      this.#deadlineMs = Number.POSITIVE_INFINITY;
      this.#exchange.clientDrained();
    } else if (this.#state === 'head') {
      this.#expectWithin(IDLE_MS);
      this.#next();
    }
  }

  ended(): void {
    this.#hasEnded = true;
    if (this.#exchange === null && this.#state !== 'checking') this.wire.close();
    else if (this.#exchange?.isRequestDone) this.#expectWithin(HALF_CLOSED_MS);
    else if (this.#exchange?.isReady) {
      this.#exchange.abort();
      this.#exchangeIsOver(CLIENT_IS_GONE);
      this.wire.destroy();
    }
  }

  closed(): void {
    this.#exchange?.abort();
    this.#exchangeIsOver(CLIENT_IS_GONE);
    this.#leave();
  }

  #leave(): void {
    this.#circuit?.closed(this.wire);
    this.#door.closed(this);
  }
}
