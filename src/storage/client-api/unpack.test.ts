/** Small files that arrive as one tar, and archives that mean harm. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Header, pack } from 'tar-stream';
import { startTestStorage, type TestFolder, type TestStorage } from '../../testing/storage.ts';

let storage: TestStorage;
const outside = mkdtempSync(join(tmpdir(), 'bai-unpack-'));
beforeAll(async () => {
  storage = await startTestStorage();
});
afterAll(async () => {
  await storage.discard();
  rmSync(outside, { recursive: true });
});

async function tarOf(entries: readonly (Partial<Header> & { name: string; content?: string })[]) {
  const tar = pack();
  const chunks: Uint8Array[] = [];
  const collected = (async () => {
    for await (const chunk of tar) if (chunk instanceof Uint8Array) chunks.push(chunk);
  })();
  for (const { content, ...header } of entries) {
    if (content === undefined) tar.entry(header);
    else tar.entry(header, content);
  }
  tar.finalize();
  await collected;
  return Buffer.concat(chunks);
}

const addressOf = (place: TestFolder, relpath: string, size: number) =>
  storage.clientAddress('upload', { ...place, relpath, size, unpack: true });

const patch = (url: URL, body: Buffer, offset = 0) =>
  fetch(url, {
    method: 'PATCH',
    headers: { 'Upload-Offset': `${offset}` },
    body: Uint8Array.from(body),
  });

async function unpack(place: TestFolder, tar: Buffer, relpath = ''): Promise<Response> {
  return await patch(await addressOf(place, relpath, tar.length), tar);
}

test('each file takes its place, in folders old and new, and nothing else is left', async () => {
  const place = await storage.newFolder();
  mkdirSync(join(place.path, 'in/old'), { recursive: true });
  writeFileSync(join(place.path, 'in/old/b'), 'was here');
  const long = `${'long-name-'.repeat(15)}/${'ä'.repeat(60)}`;
  // Also at the root of the folder.
  expect((await unpack(place, await tarOf([{ name: 'top/x', content: '' }]))).status).toBe(204);
  expect(readFileSync(join(place.path, 'top/x'), 'utf8')).toBe('');
  const names = [
    'old/b',
    'old/a',
    'new/deep/c',
    'd',
    long,
    ...Array.from({ length: 300 }, (_, i) => `many/${i}`),
  ];
  const tar = await tarOf(names.map((name) => ({ name, content: `content of ${name}` })));
  expect((await unpack(place, tar, 'in')).status).toBe(204);
  for (const name of names) {
    expect(readFileSync(join(place.path, 'in', name), 'utf8')).toBe(`content of ${name}`);
  }
  expect(statSync(join(place.path, 'in/d')).mode & 0o777).toBe(0o644);
  expect(readdirSync(place.path).sort()).toEqual(['in', 'top']);
  const { body } = await storage.ask('POST', '/folder/file/upload', {
    ...{ ...place, relpath: '', size: 1024, unpack: true },
  });
  expect(Object(body).unpacks).toBe(true);
});

test('an upload that breaks is gone on with, and unpacked when all of it is there', async () => {
  const place = await storage.newFolder();
  const tar = await tarOf([{ name: 'x', content: 'y'.repeat(5000) }]);
  const url = await addressOf(place, '', tar.length);
  expect((await patch(url, tar.subarray(0, 3000))).status).toBe(204);
  expect(existsSync(join(place.path, 'x'))).toBe(false);
  const head = await fetch(url, { method: 'HEAD' });
  expect(head.headers.get('upload-offset')).toBe('3000');
  expect((await patch(url, tar.subarray(3000), 3000)).status).toBe(204);
  expect(readFileSync(join(place.path, 'x'), 'utf8')).toHaveLength(5000);
});

test('an archive is unpacked after a run was killed half way, and nothing of that run is left', async () => {
  const place = await storage.newFolder();
  const names = Array.from({ length: 30 }, (_, index) => `file-${index}`);
  const tar = await tarOf(names.map((name) => ({ name, content: name })));
  const url = await addressOf(place, '', tar.length);
  const staging = join(place.path, '.upload');
  const [session = ''] = readdirSync(staging);
  // The proxy was killed while files grew, when the archive was whole.
  writeFileSync(join(staging, session), tar);
  for (const at of [1, 2, 9]) writeFileSync(join(staging, `${session}.${at}`), 'hal');
  const head = await fetch(url, { method: 'HEAD' });
  expect([head.status, head.headers.get('upload-offset')]).toEqual([200, `${tar.length}`]);
  for (const name of names) expect(readFileSync(join(place.path, name), 'utf8')).toBe(name);
  expect(readdirSync(place.path).sort()).toEqual([...names].sort());
});

test('names that lead out, links and devices are refused, and nothing is written outside', async () => {
  const place = await storage.newFolder();
  symlinkSync(outside, join(place.path, 'way-out'));
  const bad: (Partial<Header> & { name: string; content?: string })[] = [
    { name: '../up', content: 'x' },
    { name: 'nul', pax: { path: 'nu\0l' }, content: 'x' },
    { name: 'a/../../up', content: 'x' },
    { name: `${outside}/absolute`, content: 'x' },
    { name: 'way-out/x', content: 'x' },
    { name: 'link', type: 'symlink', linkname: outside },
    { name: 'hard', type: 'link', linkname: '/etc/passwd' },
    { name: 'device', type: 'character-device' },
    { name: 'folder/', type: 'directory' },
  ];
  for (const entry of bad) {
    const { status } = await unpack(place, await tarOf([entry]));
    expect({ name: entry.name, status }).toEqual({ name: entry.name, status: 400 });
  }
  const large = await tarOf([{ name: 'large', content: 'x'.repeat(4 * 1024 * 1024 + 1) }]);
  expect((await unpack(place, large)).status).toBe(413);
  const noTar = await unpack(place, Buffer.alloc(2048, 'no tar '));
  expect(noTar.status).toBe(400);
  expect(readdirSync(outside)).toEqual([]);
  expect(readdirSync(place.path)).toEqual(['way-out']);
  // A link at a file's own name is replaced, not followed.
  symlinkSync(join(outside, 'target'), join(place.path, 'name'));
  expect((await unpack(place, await tarOf([{ name: 'name', content: 'x' }]))).status).toBe(204);
  expect(readFileSync(join(place.path, 'name'), 'utf8')).toBe('x');
  expect(readdirSync(outside)).toEqual([]);
});

test('a client whose last answer got lost learns that all is unpacked', async () => {
  const place = await storage.newFolder();
  const tar = await tarOf([{ name: 'x', content: 'y' }]);
  const url = await addressOf(place, '', tar.length);
  expect((await patch(url, tar)).status).toBe(204);
  // It goes on as if it had heard nothing; what is in the archive is left alone.
  writeFileSync(join(place.path, 'x'), 'changed since');
  const again = await patch(url, tar.subarray(0, 0), tar.length);
  expect([again.status, again.headers.get('upload-offset')]).toEqual([204, `${tar.length}`]);
  await storage.restart();
  const { pathname, search } = url;
  const head = await fetch(`${storage.clientUrl}${pathname}${search}`, { method: 'HEAD' });
  expect([head.status, head.headers.get('upload-offset')]).toEqual([200, `${tar.length}`]);
  expect(readFileSync(join(place.path, 'x'), 'utf8')).toBe('changed since');
  // Another one that never was is still not found.
  const unknown = await addressOf(place, '', tar.length);
  rmSync(join(place.path, '.upload'), { recursive: true });
  const { search: other } = unknown;
  expect((await fetch(`${storage.clientUrl}${pathname}${other}`, { method: 'HEAD' })).status).toBe(
    404,
  );
});

test('an archive that was unpacked and not yet deleted is not unpacked again', async () => {
  const place = await storage.newFolder();
  const tar = await tarOf([{ name: 'x', content: 'y' }]);
  const url = await addressOf(place, '', tar.length);
  const [session = ''] = readdirSync(join(place.path, '.upload'));
  expect((await patch(url, tar)).status).toBe(204);
  writeFileSync(join(place.path, 'x'), 'changed since');
  // As it is when the proxy was killed just then.
  mkdirSync(join(place.path, '.upload'));
  writeFileSync(join(place.path, '.upload', session), tar);
  expect((await fetch(url, { method: 'HEAD' })).status).toBe(200);
  expect(readFileSync(join(place.path, 'x'), 'utf8')).toBe('changed since');
  expect(readdirSync(place.path)).toEqual(['x']);
});

test('many files are replaced at once, and a file is not put in the place of a folder', async () => {
  const place = await storage.newFolder();
  const names = Array.from({ length: 600 }, (_, index) => `d${index % 40}/${index}`);
  for (const version of ['old', 'new']) {
    const tar = await tarOf(names.map((name) => ({ name, content: `${version} ${name}` })));
    expect((await unpack(place, tar)).status).toBe(204);
    for (const name of names) {
      expect(readFileSync(join(place.path, name), 'utf8')).toBe(`${version} ${name}`);
    }
  }
  const refused = await unpack(place, await tarOf([{ name: 'd1', content: 'x' }]));
  expect([refused.status, await refused.text()]).toEqual([
    400,
    expect.stringContaining('a folder'),
  ]);
  expect(readdirSync(place.path).sort()).toEqual(
    Array.from({ length: 40 }, (_, index) => `d${index}`).sort(),
  );
});
