/**
 * The request target (path and query) as the client wrote it.
 *
 * Signatures cover the target byte for byte, but Bun hands out a URL in which a few legal-in-practice
 * characters are already percent-encoded (`"`, `<`, `>`, `'` in a query, `{`, …). Everything else,
 * including existing escapes and their case, `|`, `[`, `+` and an empty query, arrives untouched.
 * For URLs with such escapes this module lists what the client may have sent; a signature over any
 * of these is good, since they all name the same resource.
 */

const PATH_ESCAPES = ['%22', '%3C', '%3E', '%5E', '%60', '%7B', '%7D'];
const QUERY_ESCAPES = ['%22', '%27', '%3C', '%3E'];
/** Bounds the signatures computed for one request to 2^4 + 1. */
const MAX_SINGLE_CHOICES = 4;

/** Path and query of an absolute URL or of a bare target, unchanged; a fragment is dropped. */
export function rawTarget(url: string): string {
  const schemeEnd = url.indexOf('://');
  const start = schemeEnd < 0 ? 0 : url.indexOf('/', schemeEnd + 3);
  if (start < 0) return '/';
  const hash = url.indexOf('#', start);
  return url.slice(start, hash < 0 ? undefined : hash);
}

interface Choice {
  readonly part: 'path' | 'query';
  readonly escape: string;
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

function undo(target: string, choices: readonly Choice[]): string {
  const at = target.indexOf('?');
  let path = at < 0 ? target : target.slice(0, at);
  let query = at < 0 ? '' : target.slice(at);
  for (const { part, escape: text } of choices) {
    if (part === 'path') path = path.replaceAll(text, decodeURIComponent(text));
    else query = query.replaceAll(text, decodeURIComponent(text));
  }
  return path + query;
}

/** The targets that `target` may have been on the wire, the likeliest first. At most 34. */
export function possibleTargets(target: string): string[] {
  if (!target.includes('%')) return [target];
  const at = target.indexOf('?');
  const path = at < 0 ? target : target.slice(0, at);
  const query = at < 0 ? '' : target.slice(at);
  const choices: Choice[] = [
    ...PATH_ESCAPES.filter((e) => path.includes(e)).map((e) => ({
      part: 'path' as const,
      escape: e,
    })),
    ...QUERY_ESCAPES.filter((e) => query.includes(e)).map((e) => ({
      part: 'query' as const,
      escape: e,
    })),
  ];
  const ascii =
    choices.length > MAX_SINGLE_CHOICES
      ? [target, undo(target, choices)]
      : Array.from({ length: 2 ** choices.length }, (_, bits) =>
          undo(
            target,
            choices.filter((_, index) => bits & (1 << index)),
          ),
        );
  return [...new Set([...ascii, ...ascii.map(decodeNonAscii)])];
}
