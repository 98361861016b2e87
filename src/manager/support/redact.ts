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
  [/(\b[a-z][a-z0-9+.-]{0,30}:\/\/[^\s:/@]{0,256}:)[^\s@/]{1,1024}@/gi, `$1${REMOVED}@`],
  [/\b(Bearer|Basic|BackendAI)( +)[\w.~+/=:,-]{8,}/g, `$1$2${REMOVED}`],
  [/\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+/g, REMOVED],
];
/** `password = `, `"secret": `, `\"token\":`, in any file or log. */
const ASSIGNMENT = /(\\{0,8}["']|)(?<![\w.-])([\w.-]+)\1\s*[:=]\s*/g;
/** What is assigned: in quotes, in quotes within a text in JSON, or as far as nothing ends it. */
const VALUE =
  /"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\\+"(?:(?!\\+").)*\\+"|(?:[^\s,;}\]"'\\]|["'\\](?![\s,;}\]]|$))+/y;

const WORD = /[^\s"'`,;:<>(){}[\]=]{6,}/g;
const IS_WORD = new RegExp(`^${WORD.source}$`);
/** Of a sentence, a path or an address: what may stand there beside marks that belong to words as well. */
const PART = /[^\s/&?|#!.]+(?:\.+[^\s/&?|#!.]+)*/g;
/** Nobody makes anything of a key or a hash without so long a part of it. */
const TELLING_PART = 16;

const tree = v.record(v.string(), v.unknown());
const isSecretPath = (path: string): boolean =>
  path.split('/').some((part) => SECRET_NAME.test(part));

/** Takes out what is assigned to secret names, also within what is assigned to others. */
function withoutAssignments(text: string): string {
  const kept: string[] = [];
  let at = 0;
  for (const found of text.matchAll(ASSIGNMENT)) {
    const [start, , name = ''] = found;
    const from = found.index + start.length;
    if (found.index < at || !SECRET_NAME.test(name)) continue;
    VALUE.lastIndex = from;
    const value = VALUE.exec(text)?.[0] ?? '';
    const quote = /^(\\*["'])[\s\S]*\1$/.exec(value)?.[1] ?? '';
    if (value === '') continue;
    kept.push(text.slice(at, from), quote, REMOVED, quote);
    at = from + value.length;
  }
  return `${kept.join('')}${text.slice(at)}`;
}

export class Redactor {
  /** Few, taken out wherever they stand. */
  readonly #values = new Set<string>();
  /** Many, taken out where they stand as words. */
  readonly #words = new Set<string>();

  /** Remembers a word that must stand nowhere, such as a key or an address. */
  learnWord(word: string): void {
    if (word.length < SHORTEST_EVERYWHERE) return;
    const parts = IS_WORD.test(word)
      ? [word]
      : (word.match(WORD) ?? []).filter((part) => part.length >= TELLING_PART);
    if (parts.length === 0) this.#values.add(word);
    for (const part of parts) this.#words.add(part);
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
      clean = clean.replaceAll(WORD, (word) => this.#withoutWords(word));
    }
    for (const [pattern, replacement] of PATTERNS) clean = clean.replaceAll(pattern, replacement);
    return withoutAssignments(clean);
  }

  #withoutWords(text: string): string {
    const isSecret = (word: string) => this.#words.has(word);
    if (isSecret(text)) return REMOVED;
    let end = text.length;
    while ('.!?'.includes(text.charAt(end - 1)) && end > 0) end -= 1;
    if (isSecret(text.slice(0, end))) return `${REMOVED}${text.slice(end)}`;
    return text.replaceAll(PART, (part) => (isSecret(part) ? REMOVED : part));
  }
}
