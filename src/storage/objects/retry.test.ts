/** An S3 server that fails now and then. */
import { afterAll, beforeEach, expect, test } from 'bun:test';
import { systemClock } from '../../common/clock.ts';
import { ObjectBucket } from './bucket.ts';

const asked: string[] = [];
let failures = 0;
/** What it answers when it does not fail; `doomed` parts never arrive. */
let answer = 'x';
let doomed = '';
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch({ method, url }) {
    asked.push(method);
    failures -= 1;
    const isDoomed = new URL(url).searchParams.get('partNumber') === doomed;
    return failures < 0 && !isDoomed
      ? new Response(answer, { headers: { ETag: '"e"' } })
      : new Response('busy', { status: 503 });
  },
});
afterAll(() => server.stop(true));
beforeEach(() => {
  asked.length = 0;
  failures = 0;
  answer = 'x';
  doomed = '';
});

const bucket = new ObjectBucket(
  {
    ...{ name: 's', endpoint: server.url.origin, region: 'r', buckets: ['b'] },
    ...{ accessKey: 'a', secretKey: 's', uploadChunkBytes: 10 },
    presignedUpload: { minBytes: null, maxBytes: null, expirationSec: 1 },
    presignedDownload: { expirationSec: 1 },
  },
  'b',
  systemClock,
);
async function* bytes(count: number) {
  yield new Uint8Array(count);
}

test('is asked again, a few times, but never to begin an upload twice', async () => {
  failures = 2;
  await bucket.upload('small', bytes(5), 'a/b');
  expect(asked).toEqual(['PUT', 'PUT', 'PUT']);
  asked.length = 0;
  failures = 100;
  await expect(bucket.meta('x')).rejects.toThrow('503');
  expect(asked).toEqual(['HEAD', 'HEAD', 'HEAD', 'HEAD']);
  asked.length = 0;
  await expect(bucket.upload('large', bytes(25), 'a/b')).rejects.toThrow('503');
  expect(asked).toEqual(['POST']);
});

test('what was stored of a large object is given up when a part of it fails, or the end of it', async () => {
  answer = '<UploadId>u</UploadId>';
  doomed = '2';
  await expect(bucket.upload('large', bytes(25), 'a/b')).rejects.toThrow('503');
  expect(asked).toEqual(['POST', 'PUT', 'PUT', 'PUT', 'PUT', 'PUT', 'DELETE']);
  asked.length = 0;
  doomed = '';
  // The last answer has status 200, and says in its body that it failed.
  await expect(bucket.upload('large', bytes(25), 'a/b')).rejects.toThrow('without ETag');
  expect(asked).toEqual(['POST', 'PUT', 'PUT', 'PUT', 'POST', 'DELETE']);
});
