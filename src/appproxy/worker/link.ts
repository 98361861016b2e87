/**
 * A worker's side of its bond with the coordinator: it registers, takes up its circuits whenever
 * they change, and tells that it lives. While the coordinator is away everything goes on as it was.
 */
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import {
  type CircuitUse,
  type SyncReply,
  syncReply,
  TOKEN_HEADER,
  type WorkerRegistration,
  workerReply,
} from '../shared/protocol.ts';
import type { FailedCircuit, Frontend } from './frontend.ts';
import type { WorkerSettings } from './settings.ts';

const TIMEOUT_MS = 10_000;
/** How long one question for changes waits. Seconds. */
const WAIT_SEC = 25;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;

/** The coordinator does not know this worker (any more). */
class UnknownWorker extends Error {}

export interface LinkOptions {
  readonly settings: WorkerSettings;
  readonly registration: WorkerRegistration;
  readonly frontend: Frontend;
  readonly clock: Clock;
  readonly log: Logger;
}

export class CoordinatorLink {
  readonly #options: LinkOptions;
  readonly #stopping = new AbortController();
  readonly #ready = Promise.withResolvers<void>();
  #id: string | null = null;
  #version = 0;
  #failed: FailedCircuit[] = [];
  /** The last use that the coordinator was told of, by circuit. */
  readonly #told = new Map<string, number>();
  #running: Promise<unknown> = Promise.resolve();
  isConnected = false;

  constructor(options: LinkOptions) {
    this.#options = options;
    const goOn = () => this.#ready.resolve();
    this.#stopping.signal.addEventListener('abort', goOn, { once: true });
  }

  /** Begins; it goes on trying until `stop`. */
  start(): void {
    this.#running = Promise.all([this.#syncForever(), this.#beatForever()]);
  }

  /** Resolves once the circuits that the coordinator has for this worker are served. */
  ready(): Promise<void> {
    return this.#ready.promise;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the worker is stopping'));
    await this.#running;
    if (this.#id === null) return;
    try {
      await this.#call('DELETE', `/api/worker/${this.#id}`, undefined, TIMEOUT_MS);
    } catch (error) {
      // It finds out by itself when heartbeats stay away.
      this.#options.log.info('the coordinator was not told', { error: errorMessage(error) });
    }
  }

  async #call(
    method: string,
    path: string,
    body: unknown,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const { settings, clock } = this.#options;
    const late = new AbortController();
    const timer = clock.timer(timeoutMs, () => late.abort(new Error('no answer in time')));
    try {
      const response = await fetch(new URL(path, settings.coordinator), {
        method,
        headers: { 'Content-Type': 'application/json', [TOKEN_HEADER]: settings.apiSecret },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: signal ? AbortSignal.any([late.signal, signal]) : late.signal,
        redirect: 'error',
        tls: { rejectUnauthorized: settings.verifiesCoordinator },
      });
      const text = await response.text();
      if (response.status === 404) throw new UnknownWorker('the coordinator does not know it');
      if (!response.ok) throw new Error(`${response.status} ${text.slice(0, 500)}`);
      return JSON.parse(text);
    } finally {
      timer.cancel();
    }
  }

  async #syncForever(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#stopping;
    let pauseMs = FIRST_PAUSE_MS;
    while (!signal.aborted) {
      try {
        await this.#syncOnce();
        if (!this.isConnected) log.info('in touch with the coordinator');
        this.isConnected = true;
        pauseMs = FIRST_PAUSE_MS;
        continue;
      } catch (error) {
        if (signal.aborted) break;
        if (error instanceof UnknownWorker) this.#id = null;
        if (this.isConnected || pauseMs === LONGEST_PAUSE_MS / 2) {
          log.warn('the coordinator cannot be reached; what is open goes on', {
            ...{ coordinator: this.#options.settings.coordinator, error: errorMessage(error) },
          });
        }
        this.isConnected = false;
      }
      await clock.sleep(pauseMs, signal).catch(() => {});
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
  }

  async #syncOnce(): Promise<void> {
    const { signal } = this.#stopping;
    if (this.#id === null) {
      const { registration } = this.#options;
      const reply = await this.#call('PUT', '/api/worker', registration, TIMEOUT_MS, signal);
      this.#id = v.parse(workerReply, reply).id;
      this.#version = 0;
    }
    const body = { version: this.#version, failed: this.#failed, wait_sec: WAIT_SEC };
    const path = `/api/worker/${this.#id}/sync`;
    const timeoutMs = WAIT_SEC * 1000 + TIMEOUT_MS;
    this.#apply(v.parse(syncReply, await this.#call('POST', path, body, timeoutMs, signal)));
  }

  #apply({ version, circuits }: SyncReply): void {
    const { frontend } = this.#options;
    this.#failed = frontend.apply(circuits);
    this.#version = version;
    for (const id of this.#told.keys()) if (frontend.circuit(id) === null) this.#told.delete(id);
    this.#ready.resolve();
  }

  /** What was used since the coordinator was last told. */
  #uses(): CircuitUse[] {
    return this.#options.frontend
      .circuits()
      .map((circuit) => ({
        circuit_id: circuit.info.id,
        last_access: circuit.lastAccessMs,
        requests: circuit.requests,
      }))
      .filter(({ circuit_id, last_access }) => last_access > (this.#told.get(circuit_id) ?? 0));
  }

  async #beatForever(): Promise<void> {
    const { clock, settings, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await clock.sleep(settings.heartbeatMs, signal).catch(() => {});
      if (signal.aborted || this.#id === null) continue;
      const uses = this.#uses();
      try {
        await this.#call('PATCH', `/api/worker/${this.#id}`, { uses }, TIMEOUT_MS, signal);
        for (const { circuit_id, last_access } of uses) this.#told.set(circuit_id, last_access);
      } catch (error) {
        // `#syncForever` notices too, and mends it.
        log.debug('a heartbeat did not arrive', { error: errorMessage(error) });
      }
    }
  }
}
