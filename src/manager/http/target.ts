/**
 * The request target (path and query) as the client wrote it.
 *
 * Signatures cover the target byte for byte, but Bun hands out a URL in which a few legal-in-practice
 * characters are already percent-encoded (`"`, `<`, `>`, `'` in a query, `{`, …). Everything else,
 * including existing escapes and their case, `|`, `[`, `+` and an empty query, arrives untouched.
 * For URLs with such escapes this module lists what the client may have sent; a signature over any
 * of these is good, since they all name the same resource.
 */

const PATH_ESCAPES = /%(?:22|3C|3E|5E|60|7B|7D)/g;
const QUERY_ESCAPES = /%(?:22|27|3C|3E)/g;
/** Up to this many escapes are tried one by one; more of them, only each kind as a whole. */
const MAX_CHOICES = 4;

/** Path and query of an absolute URL or of a bare target, unchanged; a fragment is dropped. */
export function rawTarget(url: string): string {
  const schemeEnd = url.indexOf('://');
  const start = schemeEnd < 0 ? 0 : url.indexOf('/', schemeEnd + 3);
  if (start < 0) return '/';
  const hash = url.indexOf('#', start);
  return url.slice(start, hash < 0 ? undefined : hash);
}

/** An escape that may have been a plain character, at its place in the target. */
interface Escape {
  readonly at: number;
  readonly kind: string;
}

function ambiguousEscapes(target: string): Escape[] {
  const queryAt = target.includes('?') ? target.indexOf('?') : target.length;
  const find = (text: string, pattern: RegExp, part: string, offset: number) =>
    [...text.matchAll(pattern)].map((m) => ({ at: offset + m.index, kind: `${part}${m[0]}` }));
  return [
    ...find(target.slice(0, queryAt), PATH_ESCAPES, 'path', 0),
    ...find(target.slice(queryAt), QUERY_ESCAPES, 'query', queryAt),
  ];
}

/** Non-ASCII text is escaped as a whole: clients either encode it or send it raw. */
const NON_ASCII = /(?:%[89A-F][0-9A-F])+/g;

function decodeNonAscii(text: string): string {
  return text.replace(NON_ASCII, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch {
      // Not UTF-8: nobody can have sent these as text, so they are as written.
      return escapes;
    }
  });
}

/** The target with the given escapes replaced by the characters they stand for. */
function undo(target: string, escapes: readonly Escape[]): string {
  let out = '';
  let done = 0;
  for (const { at } of escapes) {
    out += target.slice(done, at) + decodeURIComponent(target.slice(at, at + 3));
    done = at + 3;
  }
  return out + target.slice(done);
}

/** Groups of escapes that are undone together: each alone if they are few, else by kind, else all. */
function groups(escapes: readonly Escape[]): (readonly Escape[])[] {
  if (escapes.length <= MAX_CHOICES) return escapes.map((item) => [item]);
  const kinds = [...Map.groupBy(escapes, ({ kind }) => kind).values()];
  return kinds.length <= MAX_CHOICES ? kinds : [escapes];
}

/** The targets that `target` may have been on the wire, the likeliest first. At most 32. */
export function possibleTargets(target: string): string[] {
  if (!target.includes('%')) return [target];
  const choices = groups(ambiguousEscapes(target));
  const ascii = Array.from({ length: 2 ** choices.length }, (_, bits) => {
    const undone = choices.filter((_group, index) => bits & (1 << index)).flat();
    return undo(
      target,
      undone.sort((a, b) => a.at - b.at),
    );
  });
  return [...new Set([...ascii, ...ascii.map(decodeNonAscii)])];
}
