/**
 * Status lines on stderr in upstream's style: a coloured glyph and a sentence. A waiting line has
 * no newline and is overwritten by the next one. When stderr is not a terminal there are neither
 * colours nor erase sequences, only plain lines; NO_COLOR leaves the colours out.
 */
import type { OutputStream } from './command.ts';

/** The glyph, its space and the cursor. */
const GLYPH_COLUMNS = 3;
const ERASE_LINE = '\u001b[2K';
const COLORS = {
  info: ['∙', 96],
  wait: ['⋯', 93],
  done: ['✓', 92],
  fail: ['✗', 91],
  warn: ['∙', 33],
  error: ['✘', 91],
} as const;

export type StatusKind = keyof typeof COLORS;

/** One status line, erase sequence and line end included. */
export function statusLine(kind: StatusKind, text: string, isTTY: boolean): string {
  const [glyph, color] = COLORS[kind];
  const indented = text.replaceAll('\n', '\n  ');
  if (!isTTY) return `${glyph} ${indented}\n`;
  const end = kind === 'wait' ? '\r' : '\n';
  const painted = process.env.NO_COLOR ? glyph : `\u001b[${color}m${glyph}\u001b[0m`;
  return `${ERASE_LINE}${painted} ${indented}${end}`;
}

export function printStatus(stream: OutputStream, kind: StatusKind, text: string): void {
  stream.write(statusLine(kind, text, stream.isTTY));
}

/** A waiting line whose text may change; nothing is printed twice. */
export class WaitingLine {
  private readonly stream: OutputStream;
  private shown = '';

  constructor(stream: OutputStream) {
    this.stream = stream;
  }

  show(text: string): void {
    if (text === this.shown) return;
    this.shown = text;
    const room = this.stream.columns - GLYPH_COLUMNS;
    // A line that wraps could not be erased as one, so it stays: cut, it would lose the reason.
    const stays = this.stream.isTTY && Bun.stringWidth(text) > room;
    printStatus(this.stream, stays ? 'info' : 'wait', text);
  }

  /** Removes the line from a terminal. */
  clear(): void {
    if (this.shown !== '' && this.stream.isTTY) this.stream.write(`${ERASE_LINE}\r`);
    this.shown = '';
  }
}
