/** Results for programs: JSON on stdout, indented by two. */
import type { CommandIo } from '../../common/command.ts';

export function printJson(io: CommandIo, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** The envelope of one item or a page of a list. */
export function itemsDocument(items: readonly unknown[], totalCount: number) {
  return { count: items.length, total_count: totalCount, items };
}

/** Keys as the REST API writes them. Names of slots have no capitals, so they stay as they are. */
export function snakeKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeKeys);
  if (typeof value !== 'object' || value === null) return value;
  const renamed = Object.entries(value).map(([key, inner]) => [
    key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    snakeKeys(inner),
  ]);
  return Object.fromEntries(renamed);
}
