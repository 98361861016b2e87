/** Properties of the pure parts: however a stream is cut, what comes out is the same. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { systemClock } from '../common/clock.ts';
import type { ConsoleItem } from '../common/protocol/execution.ts';
import { LineSplitter, LineTooLongError } from './lines.ts';
import { BUFFER_CHARS, cutLength, OutputBuffer, SLICE_CHARS } from './output.ts';
import { encodeMark, MarkScanner } from './process/markers.ts';

const NONCE = 'abc123';

function chunksOf(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let at = 0;
  for (const cut of cuts) {
    chunks.push(bytes.subarray(at, at + cut));
    at += cut;
  }
  chunks.push(bytes.subarray(at));
  return chunks;
}

const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 60 });
const hostileText = fc.array(
  fc.oneof(
    fc.string(),
    fc.constantFrom('\x1e', '\x1f', `\x1e${NONCE}`, `\x1e${NONCE}:`, '€', '😀'),
  ),
  { maxLength: 6 },
);

test('marks and text come out the same however the stream is cut', () => {
  const parts = fc.array(
    fc.oneof(
      hostileText.map((words) => ({ kind: 'text' as const, text: words.join('') })),
      fc.nat(999).map((mark) => ({ kind: 'mark' as const, text: String(mark) })),
    ),
    { maxLength: 8 },
  );
  const read = (chunks: Uint8Array[]) => {
    const scanner = new MarkScanner(NONCE);
    const tokens = chunks.flatMap((chunk) => scanner.push(chunk));
    const out: string[] = [];
    let held: Uint8Array[] = [];
    const flush = () => {
      out.push(`t${Buffer.concat(held).toString('hex')}`);
      held = [];
    };
    for (const token of tokens) {
      if (token.kind === 'bytes') held.push(token.bytes);
      else {
        flush();
        out.push(`m${token.text}`);
      }
    }
    held.push(scanner.flush());
    flush();
    return out;
  };
  fc.assert(
    fc.property(parts, cuts, (items, cutAt) => {
      const wire = items.map((item) =>
        item.kind === 'mark' ? encodeMark(NONCE, item.text) : item.text,
      );
      const bytes = Buffer.from(wire.join(''));
      expect(read(chunksOf(bytes, cutAt))).toEqual(read([bytes]));
    }),
  );
});

test('every mark between plain texts is found', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(999)), cuts, (marks, cutAt) => {
      const bytes = Buffer.from(
        marks.map((mark) => `text ${encodeMark(NONCE, `${mark}`)}`).join(''),
      );
      const scanner = new MarkScanner(NONCE);
      const tokens = chunksOf(bytes, cutAt).flatMap((chunk) => scanner.push(chunk));
      const found = tokens.flatMap((token) => (token.kind === 'mark' ? [Number(token.text)] : []));
      expect(found).toEqual(marks);
    }),
  );
});

test('lines come out whole however the stream is cut', () => {
  const line = fc.string().map((text) => text.replaceAll('\n', ' '));
  fc.assert(
    fc.property(fc.array(line), cuts, (lines, cutAt) => {
      const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''));
      const splitter = new LineSplitter(4096);
      const found = chunksOf(bytes, cutAt).flatMap((chunk) => splitter.push(chunk));
      expect(found).toEqual(lines.map((text) => Buffer.from(text).toString()));
    }),
  );
});

test('a line over the limit is refused, one at the limit is not', () => {
  expect(new LineSplitter(4).push(Buffer.from('1234\n'))).toEqual(['1234']);
  expect(() => new LineSplitter(4).push(Buffer.from('12345\n'))).toThrow(LineTooLongError);
  const splitter = new LineSplitter(4);
  splitter.push(Buffer.from('123'));
  expect(() => splitter.push(Buffer.from('45'))).toThrow(LineTooLongError);
});

test('text goes through the buffer unchanged and in order', async () => {
  const write = fc.tuple(fc.constantFrom('stdout' as const, 'stderr' as const), fc.string());
  await fc.assert(
    fc.asyncProperty(fc.array(write, { maxLength: 30 }), async (writes) => {
      const buffer = new OutputBuffer(systemClock);
      for (const [stream, text] of writes) await buffer.writeText(stream, text);
      const items = buffer.take().console;
      const joined = (list: readonly (readonly [string, unknown])[]) =>
        list.map(([stream, text]) => `${stream}:${text}`).join('|');
      const merged: [string, string][] = [];
      for (const [stream, text] of writes) {
        const last = merged.at(-1);
        if (text === '') continue;
        if (last?.[0] === stream) last[1] += text;
        else merged.push([stream, text]);
      }
      expect(joined(items)).toBe(joined(merged));
      expect(buffer.size).toBe(0);
    }),
  );
});

test('a slice ends at a boundary, and never inside a surrogate pair', async () => {
  const buffer = new OutputBuffer(systemClock);
  const long = `x${'😀'.repeat(SLICE_CHARS / 2)}`;
  await buffer.writeText('stdout', long);
  buffer.mark({ status: 'build-finished', exitCode: 0, isPassword: false });
  await buffer.writeText('stdout', 'after');
  const first = buffer.take();
  expect(first.boundary).toBeNull();
  const second = buffer.take();
  expect(second.boundary?.status).toBe('build-finished');
  const text = [...first.console, ...second.console].map((item: ConsoleItem) => item[1]).join('');
  expect(text).toBe(long);
  expect(String(first.console[0]?.[1]).isWellFormed()).toBe(true);
  expect(buffer.take().console).toEqual([['stdout', 'after']]);
});

test('a slice that is put back comes first again', async () => {
  const buffer = new OutputBuffer(systemClock);
  await buffer.writeText('stdout', 'a');
  await buffer.writeRecord(['media', ['image/png', 'data']]);
  buffer.mark({ status: 'finished', exitCode: 0, isPassword: false });
  const taken = buffer.take();
  expect(buffer.size).toBe(0);
  buffer.putBack(taken);
  expect(buffer.size).toBe(5);
  expect(buffer.take()).toEqual(taken);
  expect(buffer.size).toBe(0);
  expect(buffer.hasBoundary).toBe(false);
});

test('a writer waits while the buffer is full', async () => {
  const buffer = new OutputBuffer(systemClock);
  await buffer.writeText('stdout', 'x'.repeat(BUFFER_CHARS));
  let written = false;
  const waiting = buffer.writeText('stdout', 'y').then(() => {
    written = true;
  });
  await Promise.resolve();
  expect(written).toBe(false);
  buffer.take();
  await waiting;
  expect(written).toBe(true);
});

test('cutLength takes all that fits', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.nat(50), (text, budget) => {
      const length = cutLength(text, budget + 1);
      expect(length).toBeLessThanOrEqual(budget + 1);
      expect(text.length - length === 0 || budget + 1 - length <= 1).toBe(true);
      expect(text.slice(0, length).isWellFormed()).toBe(true);
    }),
  );
});
