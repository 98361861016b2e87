/** Speaks with the app proxy of a resource group: its coordinator. */
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import { BackendError, errorMessage } from '../../common/errors.ts';
import { traceHeaders } from '../../common/tracing.ts';

/** Longest wait for its answer. Milliseconds. */
const TIMEOUT_MS = 5_000;
const NOT_FOUND = 404;
/** Longest answer. Bytes. */
const MAX_BYTES = 8 * 1024 * 1024;

const status = v.object({
  api_version: v.pipe(v.string(), v.maxLength(16)),
  advertise_address: v.nullish(v.string()),
});
const configured = v.object({ token: v.pipe(v.string(), v.maxLength(128)) });
const uuid = v.pipe(v.string(), v.uuid());
const sessionList = v.object({
  session_ids: v.array(uuid),
  /** Coordinators of before do not say. */
  places: v.optional(
    v.array(v.object({ session_id: uuid, kernel_hosts: v.array(v.string()) })),
    [],
  ),
});
const circuitList = v.object({ circuit_ids: v.array(uuid) });
/** How many sessions a call moves at most. */
const MAX_MOVES = 1_000;

/** What is meant by a group without an app proxy: clients use their own. */
export const LOCAL_PROXY_VERSION = 'v1';

/** Where an application of a session is, and whose it is. */
export interface AppPlace {
  readonly login_session_token: string | null;
  readonly kernel_host: string;
  readonly kernel_port: number;
  readonly session: {
    readonly id: string;
    readonly user_uuid: string;
    /** Of the project. */
    readonly group_id: string;
    readonly access_key: string;
    readonly domain_name: string;
  };
}

export interface MovedSession {
  readonly session_id: string;
  readonly kernel_host: string;
}

export interface AppProxyAddress {
  /** Its coordinator's URL: `wsproxy_addr` of the resource group. */
  readonly url: string;
  /** `wsproxy_api_token`: what managers prove themselves with. */
  readonly token: string | null;
}

/** Every call throws BackendError AppProxyConnectionError or AppProxyResponseError when it fails. */
export class AppProxyClient {
  readonly #clock: Clock;
  readonly #address: AppProxyAddress;

  constructor(clock: Clock, address: AppProxyAddress) {
    this.#clock = clock;
    this.#address = address;
  }

  /** The version of its API, such as `v2`, and where browsers reach it. */
  async status(): Promise<{ version: string; advertisedUrl: string }> {
    const { api_version, advertise_address } = await this.#call(status, 'GET', '/status');
    return { version: api_version, advertisedUrl: advertise_address || this.#address.url };
  }

  /** @returns a token with which clients open the application. */
  async configure(place: AppPlace): Promise<string> {
    return (await this.#call(configured, 'POST', '/v2/conf', place)).token;
  }

  /**
   * The sessions that something there leads to, with the hosts where it does; none where the app proxy
   * cannot tell.
   */
  async sessions(): Promise<ReadonlyMap<string, readonly string[]>> {
    try {
      const { session_ids, places } = await this.#call(sessionList, 'GET', '/api/session');
      const hosts = new Map(places.map((place) => [place.session_id, place.kernel_hosts]));
      return new Map(session_ids.map((id) => [id, hosts.get(id) ?? []]));
    } catch (error) {
      if (error instanceof BackendError && error.data === NOT_FOUND) return new Map();
      throw error;
    }
  }

  /** Nothing leads to these sessions any more. */
  async endSessions(ids: readonly string[]): Promise<void> {
    await this.#call(circuitList, 'POST', '/api/session/_/ended', { session_ids: [...ids] });
  }

  /** What leads to these sessions leads to another host from now on, at the same ports. */
  async moveSessions(moved: readonly MovedSession[]): Promise<void> {
    for (let at = 0; at < moved.length; at += MAX_MOVES) {
      const sessions = moved.slice(at, at + MAX_MOVES);
      await this.#call(circuitList, 'POST', '/api/session/_/moved', { sessions });
    }
  }

  async #call<S extends v.GenericSchema>(
    schema: S,
    method: 'GET' | 'POST',
    path: string,
    body?: unknown,
  ): Promise<v.InferOutput<S>> {
    const { url } = this.#address;
    const text = await this.#ask(method, path, body);
    const parsed = v.safeParse(
      v.pipe(v.string(), v.maxBytes(MAX_BYTES), v.parseJson(), schema),
      text,
    );
    if (parsed.success) return parsed.output;
    throw new BackendError(
      'AppProxyResponseError',
      `What answers at ${url} is no app proxy. Correct wsproxy_addr of the resource group.`,
    );
  }

  async #ask(method: 'GET' | 'POST', path: string, body: unknown): Promise<string> {
    const { url, token } = this.#address;
    const late = new AbortController();
    const timer = this.#clock.timer(TIMEOUT_MS, () => late.abort(new Error('no answer in time')));
    try {
      const response = await fetch(new URL(path, url), {
        method,
        headers: {
          ...traceHeaders(),
          'Content-Type': 'application/json',
          ...(token ? { 'X-BackendAI-Token': token } : {}),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: late.signal,
        redirect: 'error',
      });
      if (response.ok) return await response.text();
      const hint =
        response.status === 401
          ? ' Correct wsproxy_api_token of the resource group: it is api_secret of the app proxy.'
          : '';
      throw new BackendError(
        'AppProxyResponseError',
        `The app proxy at ${url} answers with ${response.status}.${hint}`,
        { data: response.status },
      );
    } catch (error) {
      if (error instanceof BackendError) throw error;
      throw new BackendError(
        'AppProxyConnectionError',
        `The app proxy at ${url} cannot be reached: ${errorMessage(error)}`,
        { cause: error },
      );
    } finally {
      timer.cancel();
    }
  }
}
