/** One client's connection together with the one behind it to the server that answers. */
import type { Socket } from 'bun';
import { FramingError, RequestFraming, type RequestHead } from './framing.ts';
import { Outbox } from './outbox.ts';

/** Connections to the server behind that are being opened at once; its queue holds some more. */
const MAX_CONNECTING = 128;
const SWITCHED = Buffer.from('HTTP/1.1 101');

const REASONS = { 400: 'Bad Request', 431: 'Request Header Fields Too Large' } as const;

function refusal({ status, message }: FramingError): Buffer {
  return Buffer.from(
    `HTTP/1.1 ${status} ${REASONS[status]}\r\nConnection: close\r\nContent-Type: text/plain\r\n` +
      `Content-Length: ${Buffer.byteLength(message)}\r\n\r\n${message}`,
  );
}

export interface PassageOptions {
  /** The connection is closed after this long without traffic. Seconds. */
  readonly idleSec: number;
  /** What is passed on in place of a request's head. */
  rewrite(head: RequestHead): Buffer;
  /** Told once when the client has left. */
  onEnd(): void;
}

export class Passage {
  readonly #framing: RequestFraming;
  readonly #client: Socket<Passage>;
  readonly #options: PassageOptions;
  #server: Socket<undefined> | null = null;
  /** An upgrade was asked for: the next answer tells whether it was granted. */
  #switching = false;
  #idleSec: number;
  /** The client's address. */
  readonly peer: string;
  readonly toServer: Outbox;
  readonly toClient: Outbox;

  constructor(client: Socket<Passage>, options: PassageOptions) {
    this.#client = client;
    this.#options = options;
    this.peer = client.remoteAddress;
    this.toServer = new Outbox(() => client);
    this.toClient = new Outbox(() => this.#server);
    this.toClient.open(client);
    this.#framing = new RequestFraming((head) => {
      if (head.upgrades) this.#switching = true;
      return options.rewrite(head);
    });
    this.#idleSec = options.idleSec;
    client.timeout(this.#idleSec);
  }

  /** Sets how long it may be idle from here on. Seconds; 0 is without limit. */
  allowIdle(seconds: number): void {
    this.#idleSec = seconds;
    this.#client.timeout(seconds);
  }

  connected(server: Socket<undefined>): void {
    this.#server = server;
    this.toServer.open(server);
  }

  /** Bytes of the client. */
  received(bytes: Buffer): void {
    this.#client.timeout(this.#idleSec);
    try {
      for (const part of this.#framing.push(bytes)) this.toServer.write(part);
    } catch (error) {
      if (!(error instanceof FramingError)) throw error;
      this.toClient.write(refusal(error));
      this.toClient.end();
    }
  }

  /** Bytes of the server. */
  answered(bytes: Buffer): void {
    if (this.#switching) {
      this.#switching = false;
      if (bytes.subarray(0, SWITCHED.length).equals(SWITCHED)) {
        this.#framing.release();
        // The protocol that is spoken from here on looks after itself.
        this.#idleSec = 0;
      }
    }
    this.#client.timeout(this.#idleSec);
    this.toClient.write(bytes);
  }

  /** The client has left. */
  ended(): void {
    this.#options.onEnd();
    this.toServer.end();
  }
}

/** Opens the connections behind, a bounded number at a time. */
export class Connector {
  readonly #path: string;
  readonly #queue: Passage[] = [];
  #opening = 0;

  /** @param path the Unix socket of the server behind. */
  constructor(path: string) {
    this.#path = path;
  }

  connect(passage: Passage): void {
    this.#queue.push(passage);
    this.#next();
  }

  #next(): void {
    if (this.#opening >= MAX_CONNECTING) return;
    const passage = this.#queue.shift();
    if (passage === undefined) return;
    this.#opening += 1;
    const done = () => {
      this.#opening -= 1;
      this.#next();
    };
    // A client whose connection behind breaks sees its own break, as if the server had closed it.
    const gone = () => passage.toClient.end();
    Bun.connect({
      unix: this.#path,
      socket: {
        open: (server) => passage.connected(server),
        data: (_, bytes) => passage.answered(bytes),
        drain: () => passage.toServer.drained(),
        close: gone,
        error: gone,
      },
    }).then(done, () => {
      done();
      gone();
    });
  }
}
