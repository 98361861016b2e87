/** Plain-text tables in the "simple" style: a header, a line of dashes per column, two-space gaps. */

const GAP = '  ';

const cellLines = (cell: string): string[] => cell.split('\n');
const cellWidth = (cell: string): number =>
  Math.max(...cellLines(cell).map((line) => Bun.stringWidth(line)));
const pad = (text: string, width: number): string =>
  text + ' '.repeat(Math.max(0, width - Bun.stringWidth(text)));

/** Terminal control characters in data (a session's name, say) must not reach the terminal. */
export function withoutControls(text: string): string {
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, '');
}

/** Writes rows in batches under one header; columns only grow. */
export class TableWriter {
  private readonly titles: readonly string[];
  private readonly widths: number[];
  private headerShown: boolean;

  /** @param isPlain without header and line. */
  constructor(titles: readonly string[], isPlain = false) {
    this.titles = titles;
    this.headerShown = isPlain;
    this.widths = titles.map((title) => (isPlain ? 0 : Bun.stringWidth(title)));
  }

  /** The text of these rows, preceded by the header the first time; each line ends with \n. */
  format(rows: readonly (readonly string[])[]): string {
    const clean = rows.map((row) => row.map(withoutControls));
    for (const row of clean) {
      row.forEach((cell, column) => {
        this.widths[column] = Math.max(this.widths[column] ?? 0, cellWidth(cell));
      });
    }
    const lines = clean.flatMap((row) => this.rowLines(row));
    if (!this.headerShown) {
      this.headerShown = true;
      lines.unshift(
        ...this.rowLines(this.titles),
        this.widths.map((width) => '-'.repeat(width)).join(GAP),
      );
    }
    return lines.map((line) => `${line}\n`).join('');
  }

  private rowLines(row: readonly string[]): string[] {
    const cells = row.map(cellLines);
    const height = Math.max(1, ...cells.map((lines) => lines.length));
    return Array.from({ length: height }, (_, line) =>
      cells
        .map((lines, column) => pad(lines[line] ?? '', this.widths[column] ?? 0))
        .join(GAP)
        .trimEnd(),
    );
  }
}

export function formatTable(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  return new TableWriter(titles).format(rows);
}
