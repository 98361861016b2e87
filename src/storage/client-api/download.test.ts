/** Downloads with real clients: files in whole and in part, folders as archives. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Header } from 'tar-stream';
import { omittedSize, readTar } from '../../common/tar.ts';
import { startTestStorage, type TestFolder, type TestStorage } from '../../testing/storage.ts';
import { until } from '../../testing/until.ts';
import { archiveName } from '../archives/make.ts';
import { attachment } from './download.ts';

let storage: TestStorage;
let folder: TestFolder;
const content = randomBytes(3_000_000);
const outside = mkdtempSync(join(tmpdir(), 'bai-outside-'));

beforeAll(async () => {
  storage = await startTestStorage();
  folder = await storage.newFolder();
  writeFileSync(join(folder.path, 'data.bin'), content);
  writeFileSync(join(folder.path, 'empty'), '');
  writeFileSync(join(outside, 'secret'), 'secret');
  symlinkSync(join(outside, 'secret'), join(folder.path, 'leak'));
  symlinkSync('../../../../..', join(folder.path, 'up'));
  symlinkSync('data.bin', join(folder.path, 'alias'));
  mkdirSync(join(folder.path, 'tree/sub/leaf'), { recursive: true });
  writeFileSync(join(folder.path, 'tree/a.txt'), 'A');
  writeFileSync(join(folder.path, 'tree/sub/ü 日.txt'), 'umlaut');
  writeFileSync(join(folder.path, 'tree/..\\..\\evil'), 'backslashes');
  symlinkSync(join(outside, 'secret'), join(folder.path, 'tree/leak'));
  symlinkSync('../data.bin', join(folder.path, 'tree/link'));
});
afterAll(async () => {
  await storage.discard();
  rmSync(outside, { recursive: true });
});

const address = (relpath: string, more: Record<string, unknown> = {}) =>
  storage.clientAddress('download', { ...folder, relpath, ...more });

async function curl(...args: string[]) {
  const child = Bun.spawn(['curl', '-sS', ...args], { stderr: 'pipe' });
  const out = Buffer.from(await new Response(child.stdout).arrayBuffer());
  return { out, exitCode: await child.exited };
}

describe('a file', () => {
  test('comes whole, named and dated', async () => {
    const response = await fetch(await address('data.bin'));
    expect(Buffer.from(await response.arrayBuffer()).equals(content)).toBe(true);
    const { headers } = response;
    expect(headers.get('content-type')).toBe('application/octet-stream');
    expect(headers.get('content-length')).toBe('3000000');
    expect(headers.get('accept-ranges')).toBe('bytes');
    expect(headers.get('content-disposition')).toBe(
      `attachment;filename="data.bin"; filename*=UTF-8''data.bin`,
    );
    expect(headers.get('etag')).toMatch(/^"[\w-]+"$/);
    const since = headers.get('last-modified') ?? '';
    const again = await fetch(await address('data.bin'), {
      headers: { 'If-Modified-Since': since },
    });
    expect(again.status).toBe(304);
    const noCache = await fetch(`${await address('data.bin')}&no_cache=1`);
    expect(noCache.headers.get('cache-control')).toBe('no-store');
    await noCache.arrayBuffer();
    const empty = await fetch(await address('empty'));
    expect(empty.headers.get('content-length')).toBe('0');
    expect(await empty.text()).toBe('');
  });

  test('comes in parts, small and large', async () => {
    const url = await address('data.bin');
    for (const [first, last] of [
      [0, 0],
      [5, 14],
      [1_000_000, 2_999_999],
      [10, 2_000_009],
    ] as const) {
      const response = await fetch(url, { headers: { Range: `bytes=${first}-${last}` } });
      expect(response.status).toBe(206);
      expect(response.headers.get('content-range')).toBe(`bytes ${first}-${last}/3000000`);
      const part = Buffer.from(await response.arrayBuffer());
      expect(part.equals(content.subarray(first, last + 1))).toBe(true);
    }
    const beyond = await fetch(url, { headers: { Range: 'bytes=3000000-' } });
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */3000000']);
  });

  test('many parts at once are right', async () => {
    const url = await address('data.bin');
    const parts = Array.from({ length: 200 }, (_, i) => i * 15_000);
    await Promise.all(
      parts.map(async (first) => {
        const Range = `bytes=${first}-${first + 14_999}`;
        const part = Buffer.from(await (await fetch(url, { headers: { Range } })).arrayBuffer());
        expect(part.equals(content.subarray(first, first + 15_000))).toBe(true);
      }),
    );
  });

  test('goes on after a break as long as it is the same version', async () => {
    const url = String(await address('data.bin'));
    const head = await fetch(url, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe('3000000');
    const date = head.headers.get('last-modified') ?? '';
    const same = await curl('-r', '2000000-', '-H', `If-Range: ${date}`, '-w', '%{http_code}', url);
    expect(same.out.subarray(0, -3).equals(content.subarray(2_000_000))).toBe(true);
    expect(same.out.subarray(-3).toString()).toBe('206');
    const old = await curl('-r', '2000000-', '-H', 'If-Range: "old"', '-w', '%{http_code}', url);
    expect(old.out.subarray(0, -3).equals(content)).toBe(true);
    expect(old.out.subarray(-3).toString()).toBe('200');
  });

  test("goes on with curl's own -C", async () => {
    const target = join(outside, 'resumed');
    writeFileSync(target, content.subarray(0, 1_234_567));
    const url = String(await address('data.bin'));
    expect((await curl('-C', '-', '-o', target, url)).exitCode).toBe(0);
    expect(readFileSync(target).equals(content)).toBe(true);
  });

  test('may be reached through a link inside, not through one that leads out', async () => {
    expect((await fetch(await address('alias'), { method: 'HEAD' })).status).toBe(200);
    for (const path of ['leak', 'up/etc/passwd', '../x', 'none', 'data.bin/x', 'tree/leak']) {
      const response = await fetch(await address(path));
      expect([path, response.status]).toEqual([path, 404]);
      expect(await response.json()).toMatchObject({
        type: 'https://api.backend.ai/probs/storage/file-not-found',
      });
    }
    const query = await fetch(`${await address('a.txt')}&dst_dir=tree`);
    expect(await query.text()).toBe('A');
    expect((await fetch(`${await address('secret')}&dst_dir=../..`)).status).toBe(404);
  });

  test('may be read by a page of another origin', async () => {
    const Origin = 'http://webui.example';
    const response = await fetch(await address('data.bin'), {
      method: 'HEAD',
      headers: { Origin },
    });
    expect(response.headers.get('access-control-allow-origin')).toBe(Origin);
    expect(response.headers.get('access-control-expose-headers')).toContain('Content-Disposition');
    const asked = await fetch(await address('data.bin'), {
      method: 'OPTIONS',
      headers: { Origin, 'Access-Control-Request-Headers': 'range' },
    });
    expect(asked.status).toBe(204);
    expect(asked.headers.get('access-control-allow-headers')).toBe('range');
  });
});

describe('a token', () => {
  test('is good for its operation and path only', async () => {
    const url = await address('data.bin');
    const token = url.searchParams.get('token') ?? '';
    const refused = async (path: string, given: string) => {
      const response = await fetch(`${storage.clientUrl}${path}?token=${given}`);
      expect([path, response.status]).toEqual([path, 400]);
      expect(await response.json()).toMatchObject({
        type: 'https://api.backend.ai/probs/storage/invalid-api-params',
      });
    };
    await refused('/download-archive', token);
    await refused('/download', '');
    await refused('/download', `${token.slice(0, -3)}AAA`);
    const [, payload = ''] = token.split('.');
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    await refused('/download', `${none}.${payload}.`);
    const upload = await storage.clientAddress('upload', { ...folder, relpath: 'x', size: 1 });
    await refused('/download', upload.searchParams.get('token') ?? '');
  });

  test('expires', async () => {
    const brief = await startTestStorage({ tokenLifetimeMs: -1000 });
    try {
      const place = await brief.newFolder();
      writeFileSync(join(place.path, 'x'), '');
      const url = await brief.clientAddress('download', { ...place, relpath: 'x' });
      const response = await fetch(url);
      expect(response.status).toBe(400);
      expect(JSON.stringify(await response.json())).toContain('expired');
    } finally {
      await brief.discard();
    }
  });
});

/** Names and contents, read by Python, which knows nothing of our writers. */
function contentsOf(archive: Buffer, format: 'zip' | 'tar'): unknown {
  const path = join(outside, `archive.${format}`);
  writeFileSync(path, archive);
  const script =
    format === 'zip'
      ? `import zipfile,json,hashlib
z=zipfile.ZipFile(${JSON.stringify(path)}); assert z.testzip() is None
print(json.dumps({i.filename: hashlib.md5(z.read(i)).hexdigest() for i in z.infolist()}))`
      : `import tarfile,json,hashlib
t=tarfile.open(${JSON.stringify(path)})
print(json.dumps({m.name: m.linkname or hashlib.md5(t.extractfile(m).read() if m.isfile() else b'').hexdigest() for m in t}))`;
  const child = Bun.spawnSync(['python3', '-c', script]);
  if (child.exitCode !== 0) throw new Error(child.stderr.toString());
  return JSON.parse(child.stdout.toString());
}
const md5 = (data: string | Buffer) => createHash('md5').update(data).digest('hex');

describe('a folder', () => {
  test('comes as a zip, without what lies outside of it', async () => {
    const url = await address('tree');
    expect((await fetch(url)).status).toBe(400);
    const response = await fetch(`${url}&archive=true`);
    expect(response.headers.get('content-type')).toBe('application/zip');
    expect(response.headers.get('content-disposition')).toContain('filename="tree.zip"');
    expect(contentsOf(Buffer.from(await response.arrayBuffer()), 'zip')).toEqual({
      '.._.._evil': md5('backslashes'),
      'a.txt': md5('A'),
      link: md5(content),
      'sub/leaf/': md5(''),
      'sub/ü 日.txt': md5('umlaut'),
    });
  });

  test('comes as a tar, with links as links', async () => {
    const response = await fetch(`${await address('tree')}&archive=true&format=tar`);
    expect(response.headers.get('content-type')).toBe('application/x-tar');
    expect(contentsOf(Buffer.from(await response.arrayBuffer()), 'tar')).toEqual({
      '.._.._evil': md5('backslashes'),
      'a.txt': md5('A'),
      leak: join(outside, 'secret'),
      link: '../data.bin',
      'sub/leaf': md5(''),
      'sub/ü 日.txt': md5('umlaut'),
    });
    expect((await fetch(`${await address('tree')}&archive=true&format=rar`)).status).toBe(400);
  });

  test('comes together with chosen files', async () => {
    const archive = (files: string[], filename?: string) =>
      storage.clientAddress('archive-download-token', {
        volume: folder.volume,
        virtual_folder_id: folder.vfid,
        ...{ files, filename },
      });
    const response = await fetch(await archive(['data.bin', 'tree/sub'], 'my "é".zip'));
    expect(response.headers.get('content-disposition')).toBe(
      `attachment;filename="my \\"\\".zip"; filename*=UTF-8''my%20%22%C3%A9%22.zip`,
    );
    expect(contentsOf(Buffer.from(await response.arrayBuffer()), 'zip')).toEqual({
      'data.bin': md5(content),
      'tree/sub/leaf/': md5(''),
      'tree/sub/ü 日.txt': md5('umlaut'),
    });
    expect((await fetch(await archive(['none']))).status).toBe(404);
    expect(await (await fetch(await archive(['alias']))).json()).toMatchObject({
      type: 'https://api.backend.ai/probs/storage/unsupported-file-type',
    });
    expect((await fetch(await archive(['up/etc']))).status).toBe(400);
    const names = { volume: folder.volume, virtual_folder_id: folder.vfid, files: ['tree'] };
    for (const filename of ['a/b', 'a\\b', '..', '', 'x'.repeat(256), 'a\nb']) {
      const { status } = await storage.ask('POST', '/folder/file/archive-download-token', {
        ...names,
        filename,
      });
      expect([filename, status]).toEqual([filename, 400]);
    }
    const absolute = { ...names, files: ['/etc/passwd'] };
    const path = '/folder/file/archive-download-token';
    expect((await storage.ask('POST', path, absolute)).status).toBe(400);
  });
});

test('what would be in a tar can be listed; large files can be left out of one', async () => {
  const place = await storage.newFolder();
  mkdirSync(join(place.path, 'd/empty'), { recursive: true });
  writeFileSync(join(place.path, 'd/small'), 'small');
  writeFileSync(join(place.path, 'd/C:\\large'), 'larger than that');
  symlinkSync('small', join(place.path, 'd/link'));
  symlinkSync('/etc', join(place.path, 'd/out'));
  const url = await storage.clientAddress('archive-download-token', {
    ...{ volume: place.volume, virtual_folder_id: place.vfid, files: ['d'] },
  });
  const listed = await (await fetch(`${url}&format=list`)).text();
  const lines = listed
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines).toMatchObject([
    { path: 'd/C:\\large', type: 'FILE', size: 16, modified: expect.stringMatching(/Z$/) },
    { path: 'd/empty', type: 'DIRECTORY' },
    { path: 'd/link', type: 'SYMLINK' },
    { path: 'd/out', type: 'SYMLINK' },
    { path: 'd/small', type: 'FILE', size: 5 },
    { end: true },
  ]);
  const found: [string, string, number | null, string][] = [];
  const note = (header: Header, content = '') => {
    found.push([header.name, header.type, omittedSize(header), content]);
  };
  const answer = await fetch(`${url}&format=tar&largest=10`);
  const isWhole = await readTar([await answer.bytes()], {
    wants(header) {
      if (header.size === 0) note(header);
      return header.size > 0;
    },
    file(header, content) {
      note(header, content.toString());
      return undefined;
    },
  });
  expect(isWhole).toBe(true);
  expect(found).toEqual([
    ['d/C:\\large', 'file', 16, ''],
    ['d/empty', 'directory', null, ''],
    ['d/link', 'symlink', null, ''],
    ['d/out', 'symlink', null, ''],
    ['d/small', 'file', null, 'small'],
  ]);
  for (const wrong of ['format=tar&largest=x', 'format=zip&largest=5', 'format=rar']) {
    expect([wrong, (await fetch(`${url}&${wrong}`)).status]).toEqual([wrong, 400]);
  }
});

test('a thousand chosen files come together, though an address cannot name them', async () => {
  const place = await storage.newFolder();
  const files = Array.from({ length: 1000 }, (_, i) => `${'long name '.repeat(5)}${i}`);
  for (const name of files) writeFileSync(join(place.path, name), name);
  const url = await storage.clientAddress('archive-download-token', {
    ...{ volume: place.volume, virtual_folder_id: place.vfid, files },
  });
  expect(url.href.length).toBeLessThan(2000);
  const response = await fetch(url);
  const found = contentsOf(Buffer.from(await response.arrayBuffer()), 'zip');
  expect(Object.keys(Object(found))).toHaveLength(1000);
  const lists = join(storage.volumePath, '.backend.ai/archives');
  expect(readdirSync(lists)).toHaveLength(1);
  rmSync(lists, { recursive: true });
  expect((await fetch(url)).status).toBe(400);
}, 60_000);

/** Files of the folder that this process, which is the proxy's, has open. */
const openFiles = (path: string): string[] =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith(path) ? [target] : [];
    } catch {
      return [];
    }
  });

test.skipIf(!existsSync('/proc/self/fd'))(
  'archives that are given up keep nothing open; there are not too many at a time',
  async () => {
    const place = await storage.newFolder();
    writeFileSync(join(place.path, 'large'), '');
    truncateSync(join(place.path, 'large'), 1024 ** 3);
    const archived = { ...place, relpath: '.', archive: true };
    const url = new URL(`${await storage.clientAddress('download', archived)}&format=tar`);
    // Nobody reads these, so they come to a halt when the buffers in between are full.
    const hanging = Array.from({ length: 64 }, () => {
      const socket = connect(Number(url.port), url.hostname);
      socket.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: x\r\n\r\n`);
      return socket;
    });
    const file = join(place.path, 'large');
    await until(() => openFiles(file).length === 64, 'all are being made');
    const refused = await fetch(url);
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ msg: expect.stringContaining('Try again') });
    for (const socket of hanging) socket.destroy();
    await until(() => openFiles(place.path).length === 0, 'everything is closed');
    await until(async () => {
      const again = await fetch(url);
      await again.body?.cancel();
      return again.status === 200;
    }, 'archives are made again');
  },
  60_000,
);

test('names in archives and headers cannot be taken for something else', () => {
  expect(archiveName('C:\\x/d:/e')).toBe('C__x/d_/e');
  expect(attachment('a"\r\nX: y')).toBe(
    `attachment;filename="a\\"X: y"; filename*=UTF-8''a%22%0D%0AX%3A%20y`,
  );
});
