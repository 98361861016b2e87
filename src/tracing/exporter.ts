/**
 * Sends finished spans to a collector, in batches, beside the work they tell of: adding one never
 * waits. What a full queue or a collector that is away makes impossible is dropped and counted.
 */
import type { Clock, Timer } from '../common/clock.ts';
import { errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import { type FinishedSpan, otlpDocument } from './otlp.ts';

export interface ExporterOptions {
  /** Where spans are sent: `http://host:port/v1/traces`. */
  readonly url: string;
  /** Spans that wait at the most. */
  readonly maxQueued: number;
  /** Spans in one request. */
  readonly maxBatch: number;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'warn' | 'info'>;
  /** Told how many spans were sent or dropped. */
  readonly onOutcome?: (outcome: 'exported' | 'dropped', count: number) => void;
}

/** How long a span waits for others to travel with. Milliseconds. */
const GATHER_MS = 1_000;
const SEND_TIMEOUT_MS = 5_000;
/** Longest wait for the collector when the process ends. Milliseconds. */
const FAREWELL_MS = 2_000;

export class SpanExporter {
  readonly #options: ExporterOptions;
  #queue: FinishedSpan[] = [];
  #timer: Timer | null = null;
  #sending: Promise<void> | null = null;
  #isAway = false;

  constructor(options: ExporterOptions) {
    this.#options = options;
  }

  add(span: FinishedSpan): void {
    const { maxQueued, maxBatch, clock } = this.#options;
    if (this.#queue.length >= maxQueued) {
      this.#options.onOutcome?.('dropped', 1);
      return;
    }
    this.#queue.push(span);
    if (this.#sending !== null) return;
    if (this.#queue.length >= maxBatch) this.#send();
    else this.#timer ??= clock.timer(GATHER_MS, () => this.#send());
  }

  /** Sends what is left, unless the collector takes too long. */
  async close(): Promise<void> {
    const { clock } = this.#options;
    const late = Promise.withResolvers<void>();
    const timer = clock.timer(FAREWELL_MS, late.resolve);
    const drained = async () => {
      while (this.#sending !== null || this.#queue.length > 0) {
        this.#send();
        await this.#sending;
      }
    };
    await Promise.race([drained(), late.promise]);
    timer.cancel();
    this.#timer?.cancel();
  }

  #send(): void {
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#sending !== null || this.#queue.length === 0) return;
    const batch = this.#queue.splice(0, this.#options.maxBatch);
    this.#sending = this.#post(batch).finally(() => {
      this.#sending = null;
      if (this.#queue.length > 0) this.#send();
    });
  }

  /** Never rejects. */
  async #post(batch: readonly FinishedSpan[]): Promise<void> {
    const { url, log, onOutcome } = this.#options;
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(otlpDocument(batch)),
        signal: AbortSignal.timeout(SEND_TIMEOUT_MS),
      });
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`it answers ${response.status} ${response.statusText}`);
      onOutcome?.('exported', batch.length);
      if (this.#isAway) log.info('the collector of traces takes spans again', { url });
      this.#isAway = false;
    } catch (error) {
      onOutcome?.('dropped', batch.length);
      // Once per outage: batches are many, and the cause is the same.
      if (!this.#isAway) {
        log.warn('spans are dropped: the collector of traces does not take them', {
          ...{ url, error: errorMessage(error) },
          hint: 'Check endpoint in the [otel] section; it must take OTLP over HTTP.',
        });
      }
      this.#isAway = true;
    }
  }
}
