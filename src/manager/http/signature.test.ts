/** Signatures: known vectors, and every part that is covered. */
import { describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { BackendError } from '../../common/errors.ts';
import { canonicalText, parseAuthorization, readSignedRequest, sign } from './signature.ts';

const emptyHash = createHash('sha256').digest('hex');

const vector = {
  secret: 'testsecretkey',
  date: '2026-01-02T03:04:05+00:00',
  signature: '3a2bcbbea904e050a238bd7d5abf6f2b93593d0cbd3bf64afb07837114439951',
};

function vectorRequest(overrides: Record<string, string> = {}): Request {
  return new Request('http://127.0.0.1:8091/folders?group_id=abc', {
    headers: {
      host: '127.0.0.1:8091',
      'content-type': 'application/json',
      'x-backendai-version': 'v9.20250722',
      'x-backendai-date': vector.date,
      ...overrides,
    },
  });
}

const now = new Date('2026-01-02T03:10:00Z');
const authorization = (signature: string, method = 'HMAC-SHA256') =>
  `BackendAI signMethod=${method}, credential=AKIATEST:${signature}`;

function problemOf(action: () => unknown): { problem: string; message: string } {
  try {
    action();
  } catch (error) {
    if (error instanceof BackendError) return { problem: error.problem, message: error.message };
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('request signature', () => {
  test('upstream test vector', () => {
    const text = canonicalText({
      method: 'GET',
      target: '/folders?group_id=abc',
      date: vector.date,
      host: '127.0.0.1:8091',
      contentType: 'application/json',
      versionName: 'x-backendai-version',
      version: 'v9.20250722',
      bodyHash: emptyHash,
    });
    expect(text.split('\n')).toHaveLength(7);
    expect(sign('sha256', vector.secret, '20260102', '127.0.0.1:8091', text)).toBe(
      vector.signature,
    );
  });

  test('a request with the vector is accepted, and refused with another secret', () => {
    const signed = readSignedRequest(vectorRequest(), authorization(vector.signature), now, true);
    expect(signed.verify(vector.secret)).toBe(true);
    expect(signed.verify('othersecretkey')).toBe(false);
  });

  test('media type parameters and case do not count', () => {
    const request = vectorRequest({ 'content-type': 'Application/JSON; charset=utf-8' });
    const signed = readSignedRequest(request, authorization(vector.signature), now, true);
    expect(signed.verify(vector.secret)).toBe(true);
  });

  test('the Date header wins over the alternative name', () => {
    const request = vectorRequest({
      date: vector.date,
      'x-backendai-date': '1999-01-01T00:00:00Z',
    });
    const signed = readSignedRequest(request, authorization(vector.signature), now, true);
    expect(signed.verify(vector.secret)).toBe(true);
  });

  test('a forwarded URL replaces path and host, and loses its query', () => {
    const text = canonicalText({
      method: 'GET',
      target: '/func/folders',
      date: vector.date,
      host: 'web.example:443',
      contentType: 'application/json',
      versionName: 'x-backendai-version',
      version: 'v9.20250722',
      bodyHash: emptyHash,
    });
    const signature = sign('sha256', vector.secret, '20260102', 'web.example:443', text);
    const request = vectorRequest({
      'x-forwarded-url': 'https://web.example:443/func/folders?a=b',
    });
    expect(
      readSignedRequest(request, authorization(signature), now, true).verify(vector.secret),
    ).toBe(true);
    const unbelieved = readSignedRequest(request, authorization(signature), now, false);
    expect(unbelieved.verify(vector.secret)).toBe(false);
  });

  test('the day of the key is the one written in the header', () => {
    const date = '2026-01-03T01:00:00+09:00';
    const moment = new Date('2026-01-02T16:05:00Z');
    const text = canonicalText({
      method: 'GET',
      target: '/folders?group_id=abc',
      date,
      host: '127.0.0.1:8091',
      contentType: 'application/json',
      versionName: 'x-backendai-version',
      version: 'v9.20250722',
      bodyHash: emptyHash,
    });
    const verify = (day: string) => {
      const signature = sign('sha256', vector.secret, day, '127.0.0.1:8091', text);
      const request = vectorRequest({ 'x-backendai-date': date });
      return readSignedRequest(request, authorization(signature), moment, true).verify(
        vector.secret,
      );
    };
    expect(verify('20260103')).toBe(true);
    expect(verify('20260102')).toBe(false);
  });

  test('old header names sign under their own name', () => {
    const text = canonicalText({
      method: 'GET',
      target: '/folders?group_id=abc',
      date: vector.date,
      host: '127.0.0.1:8091',
      contentType: 'application/octet-stream',
      versionName: 'x-sorna-version',
      version: 'v4.20190615',
      bodyHash: emptyHash,
    });
    const signature = sign('sha256', vector.secret, '20260102', '127.0.0.1:8091', text);
    const request = new Request('http://127.0.0.1:8091/folders?group_id=abc', {
      headers: {
        host: '127.0.0.1:8091',
        'x-sorna-version': 'v4.20190615',
        'x-sorna-date': vector.date,
      },
    });
    const header = authorization(signature).replace('BackendAI', 'Sorna');
    expect(readSignedRequest(request, header, now, true).verify(vector.secret)).toBe(true);
  });

  test('other hash algorithms', () => {
    expect(parseAuthorization(authorization('x', 'HMAC-SHA512')).hash).toBe('sha512');
    expect(parseAuthorization(authorization('x', 'HMAC-SHA3_256')).hash).toBe('sha3-256');
  });

  test.each([
    ['another scheme', 'Bearer abc'],
    ['no scheme', 'BackendAI'],
    ['no credential', 'BackendAI signMethod=HMAC-SHA256'],
    ['no colon', 'BackendAI signMethod=HMAC-SHA256, credential=AKIATEST'],
    ['no method', 'BackendAI credential=AKIATEST:00'],
    ['an unknown hash', 'BackendAI signMethod=HMAC-WHIRLPOOL, credential=AKIATEST:00'],
    ['no pairs', 'BackendAI nonsense'],
  ])('%s is a malformed header', (_name, header) => {
    expect(problemOf(() => parseAuthorization(header)).problem).toBe('InvalidAuthParameters');
  });

  test('a clock that is off is told by how much, and what to do', () => {
    const request = vectorRequest();
    const late = new Date('2026-01-02T04:04:05Z');
    const read = () => readSignedRequest(request, authorization(vector.signature), late, true);
    const { problem, message } = problemOf(read);
    expect(problem).toBe('InvalidAuthParameters');
    expect(message).toContain('3600 seconds behind');
    expect(message).toContain('NTP');
  });

  test('the window ends before exactly fifteen minutes', () => {
    const at = (iso: string) => () =>
      readSignedRequest(vectorRequest(), authorization(vector.signature), new Date(iso), true);
    expect(at('2026-01-02T03:19:04.999Z')).not.toThrow();
    expect(at('2026-01-02T03:19:05Z')).toThrow('Date/time sync error');
    expect(at('2026-01-02T02:49:05Z')).toThrow('ahead of');
  });

  test.each([
    ['x-backendai-date', 'date header'],
    ['x-backendai-version', 'X-BackendAI-Version'],
  ])('a request without %s is refused', (name) => {
    const request = vectorRequest();
    request.headers.delete(name);
    const read = () => readSignedRequest(request, authorization(vector.signature), now, true);
    expect(problemOf(read).problem).toBe('InvalidAuthParameters');
  });
});
