/** Artifacts in a real S3 server, through the routes that managers call. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { systemClock } from '../../common/clock.ts';
import { startS3, type TestS3 } from '../../testing/s3.ts';
import { startTestStorage, type TestStorage } from '../../testing/storage.ts';
import type { ObjectStorageSettings } from '../settings.ts';
import { ObjectBucket } from './bucket.ts';
import { sign } from './signing.ts';

const MIB = 1024 * 1024;
let s3: TestS3;
let storage: TestStorage;
let settings: ObjectStorageSettings;

beforeAll(async () => {
  s3 = await startS3(['models', 'other']);
  settings = {
    ...{ name: 'artifacts', endpoint: s3.endpoint, region: 'us-east-1', buckets: ['models'] },
    ...{ accessKey: s3.accessKey, secretKey: s3.accessKey, uploadChunkBytes: 5 * MIB },
    presignedUpload: { minBytes: 1, maxBytes: 100, expirationSec: 300 },
    presignedDownload: { expirationSec: 300 },
  };
  const thief = { ...settings, name: 'thief', secretKey: 'guessed' };
  const nowhere = { ...settings, name: 'nowhere', endpoint: 'http://127.0.0.1:1' };
  storage = await startTestStorage({ objectStorages: [settings, thief, nowhere] });
});
afterAll(async () => {
  await storage.discard();
  await s3.stop();
});

const at = (what: string, name = 'artifacts', bucket = 'models') =>
  `/v1/storages/s3/${name}/buckets/${bucket}/object${what}`;
const bucket = () => new ObjectBucket(settings, 'models', systemClock);
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function upload(key: string, content: Uint8Array, type = 'text/x-test') {
  const form = new FormData();
  form.set('key', key);
  form.set('file', new Blob([Buffer.from(content)], { type }), 'x');
  return await fetch(`${storage.managerUrl}${at('/upload')}`, {
    method: 'POST',
    headers: { 'X-BackendAI-Storage-Auth-Token': storage.secret },
    body: form,
  });
}

async function download(key: string): Promise<Response> {
  return await fetch(`${storage.managerUrl}${at('/download')}`, {
    method: 'POST',
    headers: { 'X-BackendAI-Storage-Auth-Token': storage.secret },
    body: JSON.stringify({ key }),
  });
}

test('objects of any size and name come back as they went', async () => {
  for (const [key, size] of [
    ['empty', 0],
    ['folder/ä b?c#d+e&f=%20.bin', 1000],
    ['large', 13 * MIB + 7],
  ] as const) {
    const content = randomBytes(size);
    expect((await upload(key, content)).status).toBe(204);
    const { status, body } = await storage.ask('GET', at('/meta'), { key });
    expect(status).toBe(200);
    expect(body).toMatchObject({ content_length: size, content_type: 'text/x-test', metadata: {} });
    expect(Date.parse(Object(body).last_modified)).toBeGreaterThan(Date.now() - 600_000);
    const response = await download(key);
    expect(response.headers.get('content-length')).toBe(`${size}`);
    expect(sha(await response.bytes())).toBe(sha(content));
  }
});

test('an object, or all below a folder, is deleted; listing goes by pages', async () => {
  for (const key of ['d/1', 'd/2/3', 'dd']) await upload(key, Buffer.from(key));
  expect((await bucket().list('d/')).items).toEqual([
    { key: 'd/1', size: 3 },
    { key: 'd/2/3', size: 5 },
  ]);
  expect((await bucket().list('d', 'd/2/3')).items.map(({ key }) => key)).toEqual(['dd']);
  expect((await storage.ask('DELETE', at(''), { key: 'd/' })).status).toBe(204);
  expect((await bucket().list('d')).items.map(({ key }) => key)).toEqual(['dd']);
  expect((await storage.ask('DELETE', at(''), { key: 'dd' })).status).toBe(204);
  expect((await storage.ask('DELETE', at(''), { key: 'dd' })).status).toBe(204);
  expect((await storage.ask('GET', at('/meta'), { key: 'dd' })).status).toBe(404);
});

test('clients store and read with signed addresses, for as long as these say', async () => {
  const asked = await storage.ask('POST', at('/presigned/upload'), { key: 'by/client' });
  expect(asked.status).toBe(200);
  const { url, fields } = Object(asked.body);
  expect(url).toBe(`${s3.endpoint}/models`);
  const policy = JSON.parse(Buffer.from(fields.policy, 'base64').toString());
  expect(policy.conditions).toContainEqual(['content-length-range', 1, 100]);
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, String(value));
  form.set('file', new Blob(['from a browser']), 'x');
  expect((await fetch(url, { method: 'POST', body: form })).status).toBe(204);

  const link = async (expiration: number) => {
    const params = { key: 'by/client', expiration };
    const { body } = await storage.ask('POST', at('/presigned/download'), params);
    return new URL(Object(body).url);
  };
  const address = await link(600);
  expect(address.searchParams.get('X-Amz-Expires')).toBe('600');
  expect(await (await fetch(address)).text()).toBe('from a browser');
  address.searchParams.set('X-Amz-Signature', '0'.repeat(64));
  expect((await fetch(address)).status).toBe(403);
  const yesterday = { ...systemClock, now: () => new Date(Date.now() - 86_400_000) };
  const expired = new ObjectBucket(settings, 'models', yesterday);
  expect((await fetch(expired.presignDownload('by/client', 600))).status).toBe(403);
  const tooLong = await storage.ask('POST', at('/presigned/download'), {
    ...{ key: 'x', expiration: 8 * 86_400 },
  });
  expect(tooLong.status).toBe(400);
});

test('signs as the published example does', () => {
  const policy =
    'eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9';
  const secret = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
  expect(sign(policy, secret, '20151229', 'us-east-1')).toBe(
    '8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e',
  );
});

test('an upload that is cut off leaves no object', async () => {
  const failed = Promise.withResolvers<void>();
  const sent = request(`${storage.managerUrl}${at('/upload')}?key=half`, {
    method: 'POST',
    headers: {
      'X-BackendAI-Storage-Auth-Token': storage.secret,
      'Content-Type': 'multipart/form-data; boundary=B',
    },
  });
  sent.on('error', () => failed.resolve());
  sent.write('--B\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n');
  await new Promise<void>((resolve) => sent.write(randomBytes(11 * MIB), () => resolve()));
  sent.destroy(new Error('the client is gone'));
  await failed.promise;
  expect((await storage.ask('GET', at('/meta'), { key: 'half' })).status).toBe(404);
  expect((await bucket().list('half')).items).toEqual([]);
  async function* breaking() {
    yield randomBytes(6 * MIB);
    throw new Error('the source failed');
  }
  await expect(bucket().upload('half', breaking(), 'a/b')).rejects.toThrow('the source failed');
  expect((await bucket().list('half')).items).toEqual([]);
});

test('an object that is replaced while it is read ends with an error', async () => {
  await upload('changing', randomBytes(9 * MIB));
  const { body } = await bucket().download('changing');
  const pieces = body[Symbol.asyncIterator]();
  expect((await pieces.next()).value).toHaveLength(4 * MIB);
  await upload('changing', randomBytes(9 * MIB));
  await expect(pieces.next()).rejects.toThrow('replaced meanwhile');
});

test('what is wrong is told with what there is', async () => {
  const ask = async (name: string, bucketName = 'models') =>
    await storage.ask('GET', at('/meta', name, bucketName), { key: 'x' });
  expect(await ask('none')).toMatchObject({ status: 404 });
  expect(Object((await ask('none')).body).msg).toContain('it has: artifacts, thief, nowhere');
  expect(Object((await ask('artifacts', 'other')).body).msg).toContain('it has: models');
  expect(await ask('thief')).toMatchObject({ status: 500 });
  const dead = await ask('nowhere');
  expect(dead.status).toBe(500);
  expect(Object(dead.body).msg).toContain('http://127.0.0.1:1');
  expect((await storage.ask('GET', at('/meta'), { key: '' })).status).toBe(400);
  expect((await storage.ask('POST', at('/upload'), { key: 'x' })).status).toBe(400);
  expect((await upload('', Buffer.from('x'))).status).toBe(400);
  const open = await fetch(`${storage.managerUrl}${at('/meta')}?key=large`);
  expect(open.status).toBe(403);
  expect((await storage.ask('PATCH', at('/meta'), {})).status).toBe(405);
});
