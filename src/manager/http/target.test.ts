/** Request targets as the client may have written them. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { possibleTargets, rawTarget } from './target.ts';

test('a target without escapes has one form', () => {
  expect(possibleTargets('/a/b?c=d|e[f]')).toEqual(['/a/b?c=d|e[f]']);
});

test('each of a few escapes is tried both ways', () => {
  expect(possibleTargets("/a?x='%27%27").sort()).toEqual(
    ["/a?x='%27%27", "/a?x='%27'", "/a?x=''%27", "/a?x='''"].sort(),
  );
});

test('an escape counts only where Bun would make it', () => {
  expect(possibleTargets('/a%27?x=%7B')).toEqual(['/a%27?x=%7B']);
});

test('rawTarget keeps the target and drops origin and fragment', () => {
  expect(rawTarget('http://h:1/a//b?c=%2F#d')).toBe('/a//b?c=%2F');
  expect(rawTarget('http://h')).toBe('/');
  expect(rawTarget('/a?b')).toBe('/a?b');
});

const piece = fc.oneof(
  fc.constantFrom('"', '<', '>', '^', '`', '{', '}', '%22', '%7B', '%2F', 'a', '|', '/', '\u4f60'),
  fc.stringMatching(/^[a-z0-9._~-]{1,5}$/),
);

/** What Bun makes of a path. */
const asReceived = (path: string): string => rawTarget(new Request(`http://h${path}`).url);

test('with few ambiguous characters, what was sent is among the forms; the number is bounded', () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const sent = `/${pieces.join('').replaceAll('..', '').replaceAll('./', '')}x`;
      const received = asReceived(sent);
      const forms = possibleTargets(received);
      expect(forms.length).toBeLessThanOrEqual(32);
      expect(forms).toContain(received);
      const escapes = received.match(/%(?:22|3C|3E|5E|60|7B|7D)/g) ?? [];
      const mixed = /%E4/.test(sent) && sent.includes('\u4f60');
      if (escapes.length <= 4 && !mixed) expect(forms).toContain(sent);
    }),
  );
});
