/** A page of lines that are wrapped to the terminal's width and moved through with the arrow keys. */
import { Text, useInput } from 'ink';
import { useState } from 'react';

/** Lines of at most `columns` characters, broken at spaces where there are some. */
export function wrapped(lines: readonly string[], columns: number): string[] {
  return lines.flatMap((line) => {
    const rows: string[] = [];
    const indent = (/^ */.exec(line)?.[0] ?? '').slice(0, columns / 2);
    let rest = line;
    while (rest.length > columns) {
      const space = rest.lastIndexOf(' ', columns);
      // Not one of the spaces that the line begins with.
      const at = rest.slice(0, Math.max(0, space)).trim() === '' ? columns : space;
      rows.push(rest.slice(0, at));
      rest = indent + rest.slice(at).trimStart();
    }
    return [...rows, rest];
  });
}

/**
 * @param rows of the terminal that the page may take.
 * @param fromEnd whether it shows its end, and goes on showing it, until somebody moves up.
 */
export function Page({
  lines,
  rows,
  columns,
  fromEnd = false,
}: {
  readonly lines: readonly string[];
  readonly rows: number;
  readonly columns: number;
  readonly fromEnd?: boolean;
}) {
  const all = wrapped(lines, columns);
  const isLong = all.length > rows;
  // One row tells where one is.
  const room = isLong ? rows - 1 : rows;
  const last = Math.max(0, all.length - room);
  const [chosen, setChosen] = useState<number | null>(null);
  const first = Math.min(chosen ?? (fromEnd ? last : 0), last);
  useInput((_input, key) => {
    const by = key.pageUp ? -room : key.pageDown ? room : key.upArrow ? -1 : key.downArrow ? 1 : 0;
    if (by === 0) return;
    const next = Math.max(0, Math.min(last, first + by));
    setChosen(fromEnd && next === last ? null : next);
  });
  return (
    <>
      {all.slice(first, first + room).map((line, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines have no names, and never move
        <Text key={index} wrap="truncate-end">
          {line === '' ? ' ' : line}
        </Text>
      ))}
      {isLong && (
        <Text dimColor>{`  ↑ ↓ lines ${first + 1}–${first + room} of ${all.length}`}</Text>
      )}
    </>
  );
}
