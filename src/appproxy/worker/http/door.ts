/** What connections of clients share, in whichever version of HTTP, and how long each may take. */
import type { Clock } from '../../../common/clock.ts';
import type { Tracer } from '../../../common/tracing.ts';
import type { Access } from '../access.ts';
import type { Circuit } from '../circuit.ts';
import type { Counters } from '../counters.ts';
import type { AskedFor } from './head.ts';

/** A head has to be complete so long after its first byte. Milliseconds, as all of these. */
export const HEAD_MS = 20_000;
/** A client that takes nothing of its answer, or said that it sends nothing more. */
export const STALLED_MS = 300_000;
export const HALF_CLOSED_MS = 60_000;
/** How long a refused client may take to read why. */
export const LINGER_MS = 5_000;

/** A client's connection. */
export interface ClientConnection {
  /** Breaks off what takes too long; called every few seconds. */
  checkTime(nowMs: number): void;
}

/** What connections of one listener share. */
export interface HttpDoor {
  /** The circuit that a request is for, or null when there is none. */
  circuitFor(head: AskedFor): Circuit | null;
  /** How the client got here: what the application is told. */
  readonly scheme: 'http' | 'https';
  readonly access: Access;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly tracer: Tracer;
  clientAddress(head: AskedFor): string;
  /** Told once, when the connection is over. */
  closed(connection: ClientConnection): void;
}
