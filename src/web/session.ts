/** The browser's sign-in: found by header or cookie, kept in the live store in the shared form. */
import type { Clock } from '../common/clock.ts';
import {
  decodeWebSession,
  encodeWebSession,
  isWebSessionId,
  SESSION_COOKIE,
  type WebSessionToken,
  webSessionKey,
} from '../common/web-session.ts';
import type { LiveStore } from '../stores/live/port.ts';

const HEADER = 'x-backendai-sessionid';

export interface BrowserSession {
  /** What the browser named, whether or not it is signed in; null when it named nothing. */
  readonly id: string | null;
  readonly token: WebSessionToken | null;
}

export interface SessionSettings {
  readonly maxAgeSec: number;
  readonly extensionSec: number;
  readonly cookieSecure: boolean;
}

/** The value of a cookie; null when the browser did not send it. */
export function cookieOf(request: Request, wanted: string): string | null {
  for (const part of (request.headers.get('cookie') ?? '').split(';')) {
    const [name, value] = part.trim().split('=', 2);
    if (name === wanted && value !== undefined) return value;
  }
  return null;
}

/** Whether an origin is at the host that a request was sent to, but at another port of it. */
function isAtOtherPort(origin: string, host: string | null): boolean {
  if (host === null || !URL.canParse(origin) || !URL.canParse(`http://${host}`)) return false;
  const [page, server] = [new URL(origin), new URL(`http://${host}`)];
  // A proxy in front may have left the port out.
  return page.hostname === server.hostname && server.port !== '' && page.port !== server.port;
}

/**
 * Whether the cookie that comes with a request speaks for its user: not when a page of somebody else
 * sent it. Applications of sessions are served at other ports or names of the same site, which is
 * one for `SameSite`.
 */
function isCookieMeant({ method, headers }: Request): boolean {
  const site = headers.get('sec-fetch-site');
  if (site === null) {
    const origin = headers.get('origin');
    return origin === null || !isAtOtherPort(origin, headers.get('host'));
  }
  const isLink = headers.get('sec-fetch-mode') === 'navigate' && method === 'GET';
  return site === 'same-origin' || site === 'none' || isLink;
}

export class BrowserSessions {
  readonly #live: LiveStore;
  readonly #clock: Clock;
  readonly #settings: SessionSettings;

  constructor(live: LiveStore, clock: Clock, settings: SessionSettings) {
    this.#live = live;
    this.#clock = clock;
    this.#settings = settings;
  }

  #nowSec(): number {
    return Math.floor(this.#clock.now().getTime() / 1000);
  }

  /** The header wins over the cookie, for browsers that block cookies. */
  async load(request: Request): Promise<BrowserSession> {
    const fromCookie = () => (isCookieMeant(request) ? cookieOf(request, SESSION_COOKIE) : null);
    const id = request.headers.get(HEADER) || fromCookie();
    if (id === null || !isWebSessionId(id)) return { id: null, token: null };
    const stored = decodeWebSession((await this.#live.get(webSessionKey(id))) ?? '{}');
    if (stored === null) return { id, token: null };
    const isOver = stored.expiresSec !== null && this.#nowSec() > stored.expiresSec;
    return { id, token: isOver ? null : stored.token };
  }

  /** Keeps a new sign-in and tells the browser. @returns the headers that do. */
  async open(id: string, token: WebSessionToken): Promise<Headers> {
    return this.#save(id, token, this.#nowSec() + this.#settings.maxAgeSec);
  }

  /** Lets a sign-in last longer. @returns the response headers, and until when it lasts. */
  async extend(id: string, token: WebSessionToken): Promise<{ headers: Headers; expires: Date }> {
    const expiresSec = this.#nowSec() + this.#settings.extensionSec;
    const headers = await this.#save(id, token, expiresSec);
    return { headers, expires: new Date(expiresSec * 1000) };
  }

  /** @returns the headers that make the browser forget it. */
  async close(id: string | null): Promise<Headers> {
    if (id !== null) await this.#live.delete(webSessionKey(id));
    return new Headers({ 'Set-Cookie': `${SESSION_COOKIE}=; HttpOnly; Path=/; Max-Age=0` });
  }

  async #save(id: string, token: WebSessionToken, expiresSec: number): Promise<Headers> {
    const { maxAgeSec, cookieSecure } = this.#settings;
    const text = encodeWebSession({ createdSec: this.#nowSec(), token, expiresSec });
    const lifetimeSec = Math.max(maxAgeSec, expiresSec - this.#nowSec());
    await this.#live.set(webSessionKey(id), text, { ttlMs: lifetimeSec * 1000 });
    // Lax: other sites can't act in the browser's name, and links to this one still work.
    const cookie = [
      `${SESSION_COOKIE}=${id}`,
      'HttpOnly',
      'SameSite=Lax',
      'Path=/',
      `Max-Age=${lifetimeSec}`,
      `Expires=${new Date(expiresSec * 1000).toUTCString()}`,
      ...(cookieSecure ? ['Secure'] : []),
    ];
    return new Headers({ 'X-BackendAI-SessionID': id, 'Set-Cookie': cookie.join('; ') });
  }
}
