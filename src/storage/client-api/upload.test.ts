/** Uploads with tus-js-client unmodified, and with requests as the WebUI makes them. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Upload } from 'tus-js-client';
import { startTestStorage, type TestFolder, type TestStorage } from '../../testing/storage.ts';
import { until } from '../../testing/until.ts';

let storage: TestStorage;
beforeAll(async () => {
  storage = await startTestStorage({ maxUploadBytes: 50_000_000 });
});
afterAll(() => storage.discard());

const address = (folder: TestFolder, relpath: string, size: number) =>
  storage.clientAddress('upload', { ...folder, relpath, size });

const patch = (url: URL | string, offset: number, body: BodyInit | null) =>
  fetch(url, {
    method: 'PATCH',
    headers: {
      'Tus-Resumable': '1.0.0',
      'Upload-Offset': String(offset),
      'Content-Type': 'application/offset+octet-stream',
    },
    body,
  });

async function offsetOf(url: URL): Promise<string | null> {
  const response = await fetch(url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } });
  return response.ok ? response.headers.get('upload-offset') : `status ${response.status}`;
}

function tusUpload(url: URL, content: Buffer, chunkSize: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const upload = new Upload(content, {
      uploadUrl: String(url),
      chunkSize,
      retryDelays: [0, 50, 100, 200, 400, 800, 1600],
      storeFingerprintForResuming: false,
      onSuccess: () => resolve(),
      onError: reject,
    });
    upload.start();
  });
}

describe('tus-js-client', () => {
  test('uploads in chunks, into folders that are made for it', async () => {
    const folder = await storage.newFolder();
    const content = randomBytes(5_000_000);
    await tusUpload(await address(folder, 'a/b/file.bin', content.length), content, 700_000);
    expect(readFileSync(join(folder.path, 'a/b/file.bin')).equals(content)).toBe(true);
    expect(readdirSync(folder.path)).toEqual(['a']);
  });

  test('uploads many files at the same time', async () => {
    const folder = await storage.newFolder();
    const contents = Array.from({ length: 20 }, (_, i) => randomBytes(200_000 + i));
    await Promise.all(
      contents.map(async (content, i) =>
        tusUpload(await address(folder, `f${i}`, content.length), content, 50_000),
      ),
    );
    for (const [i, content] of contents.entries()) {
      expect(readFileSync(join(folder.path, `f${i}`)).equals(content)).toBe(true);
    }
    expect(readdirSync(folder.path)).toHaveLength(20);
  });

  test('finds an upload complete when its last answer got lost', async () => {
    const folder = await storage.newFolder();
    const url = await address(folder, 'x', 3);
    expect((await patch(url, 0, 'abc')).status).toBe(204);
    await tusUpload(url, Buffer.from('abc'), 10);
    expect(await offsetOf(url)).toBe('3');
    expect((await patch(url, 3, null)).status).toBe(204);
    expect((await patch(url, 0, 'abc')).status).toBe(409);
  });
});

describe('the protocol', () => {
  test('says what it can do, also to pages of other origins', async () => {
    const response = await fetch(`${storage.clientUrl}/upload`, { method: 'OPTIONS' });
    expect(response.ok).toBe(true);
    const { headers } = response;
    expect(headers.get('tus-version')).toBe('1.0.0');
    expect(headers.get('tus-max-size')).toBe('50000000');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    for (const name of ['allow', 'expose']) {
      expect(headers.get(`access-control-${name}-headers`)).toBe(
        'Tus-Resumable, Upload-Length, Upload-Metadata, Upload-Offset, Content-Type',
      );
    }
    expect(headers.get('access-control-allow-origin')).toBe('*');
    expect(headers.get('access-control-allow-methods')).toBe('*');
    for (const method of ['POST', 'DELETE', 'GET']) {
      expect((await fetch(`${storage.clientUrl}/upload`, { method })).status).toBe(405);
    }
  });

  test('tells where to go on, and takes a body only from there', async () => {
    const folder = await storage.newFolder();
    const url = await address(folder, 'x', 6);
    const head = await fetch(url, { method: 'HEAD' });
    expect(head.headers.get('cache-control')).toBe('no-store');
    expect([head.headers.get('upload-offset'), head.headers.get('upload-length')]).toEqual([
      '0',
      '6',
    ]);
    const first = await patch(url, 0, 'abc');
    expect([first.status, first.headers.get('upload-offset')]).toEqual([204, '3']);
    const mismatch = await patch(url, 2, 'x');
    expect(mismatch.status).toBe(409);
    expect(await mismatch.json()).toMatchObject({
      type: 'https://api.backend.ai/probs/storage/upload-offset-mismatch',
    });
    for (const offset of ['', '-1', 'x', '1e3']) {
      const response = await fetch(url, { method: 'PATCH', headers: { 'Upload-Offset': offset } });
      expect(response.status).toBe(400);
    }
    expect(existsSync(join(folder.path, 'x'))).toBe(false);
    expect((await patch(url, 3, 'def')).headers.get('upload-offset')).toBe('6');
    expect(readFileSync(join(folder.path, 'x'), 'utf8')).toBe('abcdef');
  });

  test('a file of no bytes is there at once, and the bare PATCH of the WebUI is fine', async () => {
    const folder = await storage.newFolder();
    const url = await address(folder, 'new/empty.txt', 0);
    expect(readFileSync(join(folder.path, 'new/empty.txt'), 'utf8')).toBe('');
    const response = await patch(url, 0, null);
    expect([response.status, response.headers.get('upload-offset')]).toEqual([204, '0']);
    expect(await offsetOf(url)).toBe('0');
    expect(readdirSync(folder.path)).toEqual(['new']);
  });

  test('more than was announced is refused, and so is more than is allowed', async () => {
    const folder = await storage.newFolder();
    const url = await address(folder, 'x', 4);
    expect((await patch(url, 0, 'abcdef')).status).toBe(413);
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(Buffer.alloc(1000)),
    });
    expect((await patch(url, 0, endless)).status).toBe(413);
    expect(existsSync(join(folder.path, 'x'))).toBe(false);
    const large = { ...folder, relpath: 'y', size: 50_000_001 };
    expect((await storage.ask('POST', '/folder/file/upload', large)).status).toBe(413);
  });

  test('replaces a file only when all of the new one is there', async () => {
    const folder = await storage.newFolder();
    writeFileSync(join(folder.path, 'x'), 'old');
    const url = await address(folder, 'x', 6);
    await patch(url, 0, 'new');
    expect(readFileSync(join(folder.path, 'x'), 'utf8')).toBe('old');
    await patch(url, 3, 'est');
    expect(readFileSync(join(folder.path, 'x'), 'utf8')).toBe('newest');
  });

  test('an unknown upload is not found', async () => {
    const folder = await storage.newFolder();
    const url = await address(folder, 'x', 5);
    Bun.spawnSync(['rm', '-r', join(folder.path, '.upload')]);
    expect((await fetch(url, { method: 'HEAD' })).status).toBe(404);
    expect(await (await patch(url, 0, 'x')).json()).toMatchObject({
      type: 'https://api.backend.ai/probs/storage/tus-session-not-found',
    });
  });
});

describe('a connection that breaks', () => {
  test('without a sign gives way to its successor', async () => {
    const folder = await storage.newFolder();
    const url = await address(folder, 'x', 10);
    const hanging = await Bun.connect({
      hostname: url.hostname,
      port: Number(url.port),
      socket: { data() {} },
    });
    hanging.write(
      `PATCH ${url.pathname}${url.search} HTTP/1.1\r\nHost: x\r\nUpload-Offset: 0\r\n` +
        'Content-Length: 10\r\n\r\nabc',
    );
    const staging = join(folder.path, '.upload');
    const [session = ''] = readdirSync(staging);
    await until(() => statSync(join(staging, session)).size === 3, 'the upload began');
    const offset = Number(await offsetOf(url));
    expect(offset).toBe(3);
    expect((await patch(url, offset, 'abcdefghij'.slice(offset))).status).toBe(204);
    expect(readFileSync(join(folder.path, 'x'), 'utf8')).toBe('abcdefghij');
    hanging.end();
  });
});

describe('what is left of uploads', () => {
  test.skipIf(process.getuid?.() !== 0)('belongs to whoever owns the folder', async () => {
    const folder = await storage.newFolder();
    chownSync(folder.path, 1234, 5678);
    const url = await address(folder, 'new/x', 1);
    expect((await patch(url, 0, 'a')).status).toBe(204);
    await storage.ask('POST', '/folder/file/mkdir', { ...folder, relpath: 'made/here' });
    for (const path of ['new', 'new/x', 'made', 'made/here']) {
      const { uid, gid } = statSync(join(folder.path, path));
      expect([path, uid, gid]).toEqual([path, 1234, 5678]);
    }
  });

  test('is deleted a day after nobody could go on with it', async () => {
    const folder = await storage.newFolder();
    await address(folder, 'given up', 5);
    await address(folder, 'fresh', 5);
    const staging = join(folder.path, '.upload');
    const [first = '', second = ''] = readdirSync(staging);
    const longAgo = new Date(Date.now() - 3 * 24 * 3_600_000);
    utimesSync(join(staging, first), longAgo, longAgo);
    await address(folder, 'next', 5);
    const left = readdirSync(staging);
    expect(left).toHaveLength(2);
    expect(left).toContain(second);
    expect(left).not.toContain(first);
  });
});

describe('where an upload may go', () => {
  test('not out of the folder, by whatever path', async () => {
    const folder = await storage.newFolder();
    mkdirSync(join(folder.path, 'dir'));
    symlinkSync('/tmp', join(folder.path, 'out'));
    for (const relpath of ['../x', '/etc/x', 'a/../../x', 'out/x', '.', '', 'dir/..', 'a\0b']) {
      const { status } = await storage.ask('POST', '/folder/file/upload', {
        ...{ ...folder, relpath, size: 1 },
      });
      expect([relpath, status]).toEqual([relpath, 400]);
    }
    const url = await address(folder, 'x', 1);
    expect((await patch(`${url}&dst_dir=../..`, 0, 'a')).status).toBe(400);
    expect((await patch(`${url}&dst_dir=out`, 1, null)).status).toBe(400);
    expect((await patch(`${url}&dst_dir=dir`, 1, null)).status).toBe(204);
    expect(readFileSync(join(folder.path, 'dir/x'), 'utf8')).toBe('a');
  });

  test('a link put in the place of the file or of the staging folder is not followed', async () => {
    const folder = await storage.newFolder();
    const victim = join(storage.volumePath, 'victim');
    writeFileSync(victim, 'untouched');
    const url = await address(folder, 'x', 3);
    symlinkSync(victim, join(folder.path, 'x'));
    expect((await patch(url, 0, 'abc')).status).toBe(204);
    expect(readFileSync(join(folder.path, 'x'), 'utf8')).toBe('abc');

    const second = await address(folder, 'y', 3);
    const [session = ''] = readdirSync(join(folder.path, '.upload'));
    Bun.spawnSync(['rm', join(folder.path, '.upload', session)]);
    symlinkSync(victim, join(folder.path, '.upload', session));
    expect((await patch(second, 0, 'abc')).status).toBe(404);
    Bun.spawnSync(['rm', join(folder.path, '.upload', session)]);
    linkSync(victim, join(folder.path, '.upload', session));
    expect((await patch(second, 9, 'abc')).status).toBe(404);

    Bun.spawnSync(['rm', '-r', join(folder.path, '.upload')]);
    symlinkSync(storage.volumePath, join(folder.path, '.upload'));
    expect((await patch(second, 0, 'abc')).status).toBe(400);
    const { status } = await storage.ask('POST', '/folder/file/upload', {
      ...{ ...folder, relpath: 'z', size: 1 },
    });
    expect(status).toBe(400);
    expect(readFileSync(victim, 'utf8')).toBe('untouched');
  });
});
