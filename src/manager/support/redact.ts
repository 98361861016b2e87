/**
 * Takes secrets out of what leaves the cluster: values whose name says so, the same values wherever else
 * they stand, and what looks like a key by itself.
 */
import * as v from 'valibot';

const SECRET_NAME =
  /pass(word|wd|phrase)?$|secret|token|credential|priv(ate)?[-_]?key|api[-_]?key|access[-_]?key|salt$|cookie|keypair/i;
/** A shorter value is too common to be taken out everywhere. */
const SHORTEST_EVERYWHERE = 6;
export const REMOVED = '(removed)';

/** What is a secret by its form. */
const PATTERNS: readonly [RegExp, string][] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/g, REMOVED],
  [/\bAKIA[A-Z0-9]{16}\b/g, REMOVED],
  // The password in an address: scheme://user:password@host
  [/(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]*:)[^\s@/]+@/gi, `$1${REMOVED}@`],
  [/\b(Bearer|Basic|BackendAI)( +)[\w.~+/=:,-]{8,}/g, `$1$2${REMOVED}`],
  [/\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+/g, REMOVED],
];
/** `password = "…"`, `"secret": "…"`, `token: …`, in any file or log. */
const ASSIGNMENT = /((["']?)([\w.-]+)\2\s*[:=]\s*)("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,;}\]]+)/g;

const WORD = /[^\s"'`,;:<>(){}[\]=]{6,}/g;

const tree = v.record(v.string(), v.unknown());
const isSecretPath = (path: string): boolean =>
  path.split('/').some((part) => SECRET_NAME.test(part));

export class Redactor {
  /** Few, taken out wherever they stand. */
  readonly #values = new Set<string>();
  /** Many, taken out where they stand as words. */
  readonly #words = new Set<string>();

  /** Remembers a word that must stand nowhere, such as a key or an address. */
  learnWord(word: string): void {
    if (word.length >= SHORTEST_EVERYWHERE) this.#words.add(word);
  }

  /** Remembers a value that must stand nowhere. */
  learn(value: string): void {
    if (value.length >= SHORTEST_EVERYWHERE) this.#values.add(value);
  }

  /** Remembers the values of all secret names in a configuration. */
  learnAll(value: unknown, name = ''): void {
    if (typeof value === 'string') {
      if (isSecretPath(name)) this.learn(value);
      return;
    }
    const parsed = v.safeParse(tree, value);
    if (!parsed.success) return;
    for (const [key, inner] of Object.entries(parsed.output)) {
      this.learnAll(inner, isSecretPath(name) ? name : key);
    }
  }

  /** Entries of the configuration store, by their paths. */
  entries(entries: ReadonlyMap<string, string>): Record<string, string> {
    return Object.fromEntries(
      [...entries].map(([path, value]) => [path, isSecretPath(path) ? REMOVED : this.text(value)]),
    );
  }

  text(text: string): string {
    let clean = text;
    // A longer value may hold a shorter one.
    for (const value of [...this.#values].toSorted((a, b) => b.length - a.length)) {
      clean = clean.replaceAll(value, REMOVED);
    }
    if (this.#words.size > 0) {
      clean = clean.replaceAll(WORD, (word) => (this.#words.has(word) ? REMOVED : word));
    }
    for (const [pattern, replacement] of PATTERNS) clean = clean.replaceAll(pattern, replacement);
    return clean.replaceAll(
      ASSIGNMENT,
      (whole, start: string, _quote, name: string, value: string) => {
        if (!SECRET_NAME.test(name)) return whole;
        const quote = /^["']/.exec(value)?.[0] ?? '';
        return `${start}${quote}${REMOVED}${quote}`;
      },
    );
  }
}
