/** Signatures against the contract's vector. */
import { expect, test } from 'bun:test';
import { dateHeader, requestHeaders, signature } from './api-signing.ts';

const vector = {
  method: 'GET',
  target: '/folders?group_id=abc',
  date: '2026-01-02T03:04:05+00:00',
  host: '127.0.0.1:8091',
  contentType: 'application/json',
  version: 'v9.20250722',
};
const expected = '3a2bcbbea904e050a238bd7d5abf6f2b93593d0cbd3bf64afb07837114439951';

test('the published vector', () => {
  expect(signature(vector, 'testsecretkey')).toBe(expected);
});

test.each([
  ['method', 'POST'],
  ['target', '/folders?group_id=abd'],
  ['date', '2026-01-03T03:04:05+00:00'],
  ['host', '127.0.0.1:8092'],
  ['contentType', 'text/plain'],
  ['version', 'v8.20240915'],
])('%s is covered by the signature', (part, value) => {
  expect(signature({ ...vector, [part]: value }, 'testsecretkey')).not.toBe(expected);
});

test('headers of a signed and an anonymous request', () => {
  const now = new Date('2026-01-02T03:04:05.678Z');
  const request = {
    method: 'GET',
    url: new URL('http://127.0.0.1:8091/folders?group_id=abc'),
    contentType: 'application/json',
  };
  expect(dateHeader(now)).toBe('2026-01-02T03:04:05.678000+00:00');
  expect(requestHeaders(request, null, now)).toEqual({
    Date: '2026-01-02T03:04:05.678000+00:00',
    'X-BackendAI-Version': 'v9.20250722',
  });
  const signed = requestHeaders(request, { accessKey: 'AK', secretKey: 'testsecretkey' }, now);
  expect(signed.Authorization).toMatch(
    /^BackendAI signMethod=HMAC-SHA256, credential=AK:[0-9a-f]{64}$/,
  );
});
