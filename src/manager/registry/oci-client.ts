/**
 * Reads a container registry over the OCI distribution protocol (Docker Registry HTTP API v2): lists
 * of repositories and tags, manifests and configurations. Signs in as the registry asks: with the
 * password itself, or with a token that it sells for it.
 */
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';

const TIMEOUT_MS = 20_000;
/** Largest answer: manifests are limited to 4 MiB by registries themselves. Bytes. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const MAX_PAGES = 200;
const PAGE_SIZE = 100;
/** Bounds what a client that lives long keeps. */
const MAX_TOKENS = 1000;

const MANIFEST_TYPES = [
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
];

export interface RegistryAccess {
  /** Where it answers, such as `https://registry.example`. */
  readonly url: string;
  readonly username: string | null;
  readonly password: string | null;
  /** Whether its certificate must be valid. */
  readonly sslVerify: boolean;
}

/** The registry cannot be reached, or answers what it should not; the message says where and what. */
export class RegistryFailure extends Error {
  /** Status of the answer; null when there was none. */
  readonly status: number | null;

  constructor(message: string, options: { status?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'RegistryFailure';
    this.status = options.status ?? null;
  }
}

const catalog = v.object({ repositories: v.nullish(v.array(v.string()), []) });
const tagList = v.object({ tags: v.nullish(v.array(v.string()), []) });
const token = v.object({ token: v.optional(v.string()), access_token: v.optional(v.string()) });

interface Answer {
  readonly headers: Headers;
  readonly json: unknown;
}

/** `Bearer realm="…",service="…"` → its parts by lower-case name. */
function parseChallenge(header: string): { scheme: string; parameters: Map<string, string> } {
  const [scheme = ''] = header.split(/\s/, 1);
  const parameters = new Map<string, string>();
  for (const [, name = '', quoted, bare] of header
    .slice(scheme.length)
    .matchAll(/([\w-]+)=(?:"([^"]*)"|([^\s,]+))/g)) {
    parameters.set(name.toLowerCase(), quoted ?? bare ?? '');
  }
  return { scheme: scheme.toLowerCase(), parameters };
}

/** The text of an answer. @throws RegistryFailure when it is too large. */
async function boundedText(response: Response, url: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_ANSWER_BYTES) {
      throw new RegistryFailure(`${url} answered with more than ${MAX_ANSWER_BYTES} bytes.`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

export class OciClient {
  readonly #access: RegistryAccess;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #base: string;
  /** By scope; valid for at least as long as one scan of a repository takes. */
  readonly #authorizations = new Map<string, { header: string; untilMs: number }>();

  /** @param signal breaks off everything under way. */
  constructor(access: RegistryAccess, clock: Clock, signal: AbortSignal) {
    this.#access = access;
    this.#clock = clock;
    this.#signal = signal;
    this.#base = access.url.replace(/\/+$/, '');
  }

  /** Names of all repositories, such as `stable/python`; in the registry's order. */
  async repositories(): Promise<string[]> {
    const pages = await this.#pages(`/v2/_catalog?n=${PAGE_SIZE}`, 'registry:catalog:*');
    return pages.flatMap((page) => this.#parse(catalog, page).repositories ?? []);
  }

  /** Tags of a repository; none for one that is gone. */
  async tags(repository: string): Promise<string[]> {
    try {
      const path = `/v2/${repository}/tags/list?n=${PAGE_SIZE}`;
      const pages = await this.#pages(path, pullScope(repository));
      return pages.flatMap((page) => this.#parse(tagList, page).tags ?? []);
    } catch (error) {
      if (error instanceof RegistryFailure && error.status === 404) return [];
      throw error;
    }
  }

  /** A manifest or index, by tag or digest, as it is. */
  async manifest(repository: string, reference: string): Promise<unknown> {
    const path = `/v2/${repository}/manifests/${reference}`;
    const accept = MANIFEST_TYPES.join(', ');
    return (await this.#get(path, pullScope(repository), accept)).json;
  }

  /** A JSON blob, such as an image's configuration. */
  async blob(repository: string, digest: string): Promise<unknown> {
    return (await this.#get(`/v2/${repository}/blobs/${digest}`, pullScope(repository))).json;
  }

  /** Any other JSON that the registry's own API serves, all pages of it. */
  async pagesOf(path: string): Promise<unknown[]> {
    return this.#pages(path, '');
  }

  /** Sends JSON to the registry's own API; its answer is not looked at. @throws RegistryFailure. */
  async put(path: string, json: unknown): Promise<void> {
    const headers = { 'Content-Type': 'application/json' };
    const init = { method: 'PUT', headers, body: JSON.stringify(json) };
    const response = await this.#send(path, '', init);
    const text = await boundedText(response, `${this.#base}${path}`);
    if (!response.ok) throw this.#refusal(path, response.status, text);
  }

  /** Takes a tag away. @throws RegistryFailure also when the registry does not let anybody delete. */
  async untag(repository: string, tag: string): Promise<void> {
    const scope = `repository:${repository}:pull,push,delete`;
    const path = `/v2/${repository}/manifests/`;
    const accept = { Accept: MANIFEST_TYPES.join(', ') };
    const found = await this.#send(`${path}${tag}`, scope, { method: 'HEAD', headers: accept });
    const digest = found.headers.get('docker-content-digest');
    await found.body?.cancel();
    if (!found.ok || digest === null) throw this.#refusal(`${path}${tag}`, found.status, '');
    const deleted = await this.#send(`${path}${digest}`, scope, { method: 'DELETE' });
    if (!deleted.ok) {
      const text = await boundedText(deleted, path);
      throw this.#refusal(`${path}${digest}`, deleted.status, text);
    }
    await deleted.body?.cancel();
  }

  async #pages(first: string, scope: string): Promise<unknown[]> {
    const pages: unknown[] = [];
    let path: string | null = first;
    while (path !== null) {
      if (pages.length >= MAX_PAGES) {
        throw new RegistryFailure(`${this.#base}${first} has more than ${MAX_PAGES} pages.`);
      }
      const answer: Answer = await this.#get(path, scope);
      pages.push(answer.json);
      path = this.#nextOf(answer.headers.get('link'), path);
    }
    return pages;
  }

  /** Path of the next page: never another server's, whatever the registry says. */
  #nextOf(link: string | null, current: string): string | null {
    const target = /<([^>]+)>\s*;[^,]*\brel="?next"?/.exec(link ?? '')?.[1];
    if (target === undefined) return null;
    const base = new URL(this.#base);
    const next = new URL(target, `${this.#base}${current}`);
    const prefix = base.pathname.replace(/\/$/, '');
    const path = next.pathname.startsWith(prefix) ? next.pathname.slice(prefix.length) : null;
    return path === null || path === '' ? null : `${path}${next.search}`;
  }

  async #get(path: string, scope: string, accept = 'application/json'): Promise<Answer> {
    const response = await this.#send(path, scope, { headers: { Accept: accept } });
    const text = await boundedText(response, `${this.#base}${path}`);
    if (!response.ok) throw this.#refusal(path, response.status, text);
    try {
      return { headers: response.headers, json: JSON.parse(text) };
    } catch (cause) {
      throw new RegistryFailure(`${this.#base}${path} did not answer with JSON.`, { cause });
    }
  }

  /** Sends a request, signing in first when the registry asks for it. */
  async #send(path: string, scope: string, init: RequestInit): Promise<Response> {
    const known = this.#authorizations.get(scope);
    const usable = known !== undefined && known.untilMs > this.#clock.monotonicMs();
    const first = await this.#fetch(path, init, usable ? known.header : null);
    if (first.status !== 401) return first;
    const challenge = first.headers.get('www-authenticate');
    await first.body?.cancel();
    const header = challenge === null ? null : await this.#signIn(challenge, scope);
    if (header === null) throw this.#refusal(path, 401, '');
    return this.#fetch(path, init, header);
  }

  async #signIn(challenge: string, scope: string): Promise<string | null> {
    const { username, password } = this.#access;
    const basic =
      username === null
        ? null
        : `Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}`;
    const { scheme, parameters } = parseChallenge(challenge);
    if (scheme === 'basic') return basic === null ? null : this.#remember(scope, basic, 3600);
    const realm = parameters.get('realm');
    if (scheme !== 'bearer' || realm === undefined) return null;
    const url = new URL(realm);
    const service = parameters.get('service');
    if (service !== undefined) url.searchParams.set('service', service);
    const wanted = parameters.get('scope') ?? scope;
    if (wanted !== '') url.searchParams.set('scope', wanted);
    const headers = basic === null ? undefined : { Authorization: basic };
    const response = await this.#fetchUrl(url.href, { headers });
    const text = await boundedText(response, url.href);
    if (!response.ok) throw this.#refusal(url.pathname, response.status, text);
    const sold = v.safeParse(v.pipe(v.string(), v.parseJson(), token), text);
    const value = sold.success ? (sold.output.token ?? sold.output.access_token) : undefined;
    if (value === undefined) throw new RegistryFailure(`${url.origin} gave no token.`);
    // Tokens live for at least a minute.
    return this.#remember(scope, `Bearer ${value}`, 50);
  }

  #remember(scope: string, header: string, seconds: number): string {
    if (this.#authorizations.size >= MAX_TOKENS) this.#authorizations.clear();
    const untilMs = this.#clock.monotonicMs() + seconds * 1000;
    this.#authorizations.set(scope, { header, untilMs });
    return header;
  }

  #fetch(path: string, init: RequestInit, authorization: string | null): Promise<Response> {
    const headers = new Headers(init.headers);
    if (authorization !== null) headers.set('Authorization', authorization);
    return this.#fetchUrl(`${this.#base}${path}`, { ...init, headers });
  }

  async #fetchUrl(url: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(url, {
        ...init,
        signal: AbortSignal.any([this.#signal, AbortSignal.timeout(TIMEOUT_MS)]),
        tls: { rejectUnauthorized: this.#access.sslVerify },
      });
    } catch (cause) {
      this.#signal.throwIfAborted();
      throw new RegistryFailure(
        `Registry ${this.#base} can't be reached (${errorMessage(cause)}). Check its URL, and that it is up.`,
        { cause },
      );
    }
  }

  #parse<S extends v.GenericSchema>(schema: S, value: unknown): v.InferOutput<S> {
    const parsed = v.safeParse(schema, value);
    if (parsed.success) return parsed.output;
    throw new RegistryFailure(
      `${this.#base} answered with something that is no registry's answer.`,
    );
  }

  #refusal(path: string, status: number, text: string): RegistryFailure {
    const url = `${this.#base}${path.replace(/\?.*$/, '')}`;
    const advice =
      status === 401 || status === 403
        ? " Check the registry's user name and password, and what that user may do."
        : '';
    const detail = text === '' ? '' : `: ${text.slice(0, 200)}`;
    return new RegistryFailure(`${url} answered ${status}${detail}.${advice}`, { status });
  }
}

const pullScope = (repository: string): string => `repository:${repository}:pull`;
