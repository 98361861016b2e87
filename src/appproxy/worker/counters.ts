/** What a worker counts, for `/metrics`. */
import type { Traffic } from './splice.ts';

export class Counters {
  requests = 0;
  answers = 0;
  refusals = 0;
  /** Requests that wait for their answer. */
  pending = 0;
  webSocketsOpened = 0;
  webSocketsClosed = 0;
  /** Bytes through WebSockets, and through TCP connections. */
  webSocketBytes = 0;
  tcpBytes = 0;
  tcpOpened = 0;
  tcpClosed = 0;
  circuitsCreated = 0;

  readonly webSocketTraffic: Traffic = {
    fromClient: (bytes) => {
      this.webSocketBytes += bytes;
    },
    fromApp: (bytes) => {
      this.webSocketBytes += bytes;
    },
  };
  readonly tcpTraffic: Traffic = {
    fromClient: (bytes) => {
      this.tcpBytes += bytes;
    },
    fromApp: (bytes) => {
      this.tcpBytes += bytes;
    },
  };
}
