/** Rows as CSV: RFC 4180, with values written as upstream writes them. */
import iconv from 'iconv-lite';
import { BackendError } from '../../common/errors.ts';
import { isoTime } from '../../common/time.ts';
import type { FieldType } from './report.ts';

/** What a spreadsheet takes for the beginning of a formula. */
const FORMULA = /^[=+\-@\t\r]/;

function plainText(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (value instanceof Date) return isoTime(value);
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** Text that people chose must not run as a formula on the machine of who opens the report. */
const harmless = (text: string, type: FieldType): string =>
  type === 'string' && FORMULA.test(text) ? `'${text}` : text;

const quoted = (text: string): string =>
  /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;

/** One line of titles. */
export const headerLine = (titles: readonly string[]): string =>
  `${titles.map(quoted).join(',')}\r\n`;

/** One line, of values in the order of `types`. */
export const dataLine = (values: readonly unknown[], types: readonly FieldType[]): string =>
  `${types.map((type, index) => quoted(harmless(plainText(values[index]), type))).join(',')}\r\n`;

export interface Encoder {
  /** What the file starts with: a mark by which spreadsheets recognise UTF-8. */
  readonly mark: Uint8Array;
  /** The next part of the text. */
  encode(text: string): Uint8Array;
  /** What the encoding ends with. */
  end(): Uint8Array;
}

const NOTHING = new Uint8Array();

/** @throws BackendError InvalidAPIParameters for an encoding that nobody knows. */
export function encoderOf(name: string): Encoder {
  if (/^utf-?8$/i.test(name)) {
    const mark = Uint8Array.of(0xef, 0xbb, 0xbf);
    return { mark, encode: (text) => Buffer.from(text), end: () => NOTHING };
  }
  // The library also knows base64 and hex, which are no encodings of text.
  if (!iconv.encodingExists(name) || /^(base64|hex|binary)$/i.test(name)) {
    throw new BackendError(
      'InvalidAPIParameters',
      `Unknown encoding '${name}'. Use utf-8, or for older systems for instance euc-kr.`,
    );
  }
  // One for all parts: some encodings begin with a mark of their own, or remember what came before.
  const encoder = iconv.getEncoder(name);
  return {
    mark: NOTHING,
    encode: (text) => encoder.write(text),
    end: () => encoder.end() ?? NOTHING,
  };
}
