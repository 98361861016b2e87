/** Finds the line of each key of a TOML file, so that messages can point at it. */

const TABLE = /^\s*\[\[?\s*([^\]]+?)\s*\]\]?/;
const KEY =
  /^\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=/;

/** `a."b.c".d_e` → `a`, `b.c`, `d-e`. */
function splitKey(key: string): string[] {
  const parts = key.match(/"[^"]*"|'[^']*'|[^.\s]+/g) ?? [];
  return parts.map((part) => part.replace(/^["']|["']$/g, '').replaceAll('_', '-'));
}

/** How a path of keys is written in the result of `keyLines`. */
export const linePath = (path: readonly string[]): string =>
  path.map((part) => part.replaceAll('_', '-')).join('\u0000');

/**
 * Line numbers, from 1, by `linePath` of tables and keys. Kebab-case and snake_case are the same.
 * Of a repeated table (`[[x]]`) the first is meant.
 */
export function keyLines(text: string): Map<string, number> {
  const lines = new Map<string, number>();
  let table: string[] = [];
  let multiline: string | null = null;
  for (const [index, line] of text.split('\n').entries()) {
    if (multiline !== null) {
      if (line.includes(multiline)) multiline = null;
      continue;
    }
    const header = TABLE.exec(line);
    const key = header ? null : KEY.exec(line);
    if (header?.[1]) table = splitKey(header[1]);
    const path = header ? table : key?.[1] ? [...table, ...splitKey(key[1])] : null;
    if (path && !lines.has(linePath(path))) lines.set(linePath(path), index + 1);
    multiline = opensMultiline(key ? line.slice(key[0].length) : '');
  }
  return lines;
}

function opensMultiline(value: string): string | null {
  const quote = /^\s*("""|''')/.exec(value)?.[1];
  return quote && value.split(quote).length === 2 ? quote : null;
}
