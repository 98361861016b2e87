/** Results for programs: JSON on stdout, indented by two. */
import type { CommandIo } from '../../common/command.ts';

export function printJson(io: CommandIo, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** The envelope of one item or a page of a list. */
export function itemsDocument(items: readonly unknown[], totalCount: number) {
  return { count: items.length, total_count: totalCount, items };
}
