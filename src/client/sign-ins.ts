/**
 * Sign-ins at web servers: the cookies that each of them gave, by its address. They are kept in a
 * file between programs when the client is told where.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import * as v from 'valibot';

const stored = v.record(v.string(), v.record(v.string(), v.string()));

/** A server that sends more than this keeps no more. Cookies per server. */
const MAX_COOKIES = 32;

const isExpired = (attributes: readonly string[], now: Date): boolean =>
  attributes.some((attribute) => {
    const [name = '', value = ''] = attribute.split('=', 2).map((part) => part.trim());
    if (name.toLowerCase() === 'max-age') return Number(value) <= 0;
    return name.toLowerCase() === 'expires' && Date.parse(value) <= now.getTime();
  });

export class SignIns {
  readonly #byEndpoint: Map<string, Map<string, string>>;

  constructor(entries: Readonly<Record<string, Readonly<Record<string, string>>>> = {}) {
    this.#byEndpoint = new Map(
      Object.entries(entries).map(([endpoint, jar]) => [endpoint, new Map(Object.entries(jar))]),
    );
  }

  /** Reads a file that `save` wrote; one that is missing or damaged means: not signed in. */
  static load(path: string): SignIns {
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch {
      return new SignIns();
    }
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), stored), text);
    return new SignIns(parsed.success ? parsed.output : {});
  }

  /**
   * Writes the file, readable by its owner only; without sign-ins there is none.
   * @throws the file system's error.
   */
  save(path: string): void {
    const entries = [...this.#byEndpoint].map(([endpoint, jar]) => [
      endpoint,
      Object.fromEntries(jar),
    ]);
    if (entries.length === 0) {
      rmSync(path, { force: true });
      return;
    }
    mkdirSync(dirname(path), { recursive: true });
    const staging = `${path}.${process.pid}`;
    writeFileSync(staging, JSON.stringify(Object.fromEntries(entries), null, 2), { mode: 0o600 });
    renameSync(staging, path);
  }

  has(endpoint: string): boolean {
    return this.#byEndpoint.has(endpoint);
  }

  /** The `Cookie` header for a server; null when it gave none. */
  header(endpoint: string): string | null {
    const jar = this.#byEndpoint.get(endpoint);
    if (jar === undefined) return null;
    return [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  /**
   * Keeps what a server asks to keep. Cookies go back to that very address only, so `Secure` and
   * paths, which guard against other addresses, have nothing to add.
   */
  update(endpoint: string, setCookies: readonly string[], now: Date): void {
    const jar = this.#byEndpoint.get(endpoint) ?? new Map<string, string>();
    for (const text of setCookies) {
      const [pair = '', ...attributes] = text.split(';');
      const at = pair.indexOf('=');
      if (at <= 0) continue;
      const name = pair.slice(0, at).trim();
      const value = pair.slice(at + 1).trim();
      if (value === '' || isExpired(attributes, now)) jar.delete(name);
      else if (jar.has(name) || jar.size < MAX_COOKIES) jar.set(name, value);
    }
    if (jar.size === 0) this.#byEndpoint.delete(endpoint);
    else this.#byEndpoint.set(endpoint, jar);
  }
}
