/** Files of a session: listing, writing, reading, packing, and staying inside. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { extract } from 'tar-stream';
import { FILE_CHUNK_BYTES } from '../../common/protocol/runner.ts';
import { startRunner, type TestClient, type TestRunner } from '../testing/harness.ts';
import { modeText } from './listing.ts';

let runner: TestRunner;
let client: TestClient;

const base64 = (text: string) => Buffer.from(text).toString('base64');

beforeAll(async () => {
  runner = startRunner();
  client = await runner.connect();
  mkdirSync(join(runner.home, 'tree/inner'), { recursive: true });
  writeFileSync(join(runner.home, 'tree/a.txt'), 'alpha');
  writeFileSync(join(runner.home, 'tree/inner/empty'), '');
  symlinkSync('/etc', join(runner.home, 'outside'));
  symlinkSync('/nonexistent-target', join(runner.home, 'dangling'));
  symlinkSync('tree', join(runner.home, 'inside'));
});

afterAll(async () => {
  client.close();
  await runner.stop();
});

test('a folder is listed like ls does', async () => {
  const listing = await client.call({ op: 'list-files', path: 'tree' });
  expect(listing.errors).toBe('');
  expect(listing.abspath).toBe(join(runner.home, 'tree'));
  expect(listing.entries.map((entry) => entry.filename)).toEqual(['a.txt', 'inner']);
  expect(listing.entries[0]).toMatchObject({ size: 5 });
  expect(listing.entries[0]?.mode).toMatch(/^-rw/);
  expect(listing.entries[1]?.mode).toMatch(/^drwx/);
});

test('a missing folder is told in the listing', async () => {
  const listing = await client.call({ op: 'list-files', path: 'nowhere' });
  expect(listing.entries).toEqual([]);
  expect(listing.errors).toMatch(/^There is no folder .*nowhere\.$/);
});

test('files are written in pieces and read back', async () => {
  const path = 'new/folder/file';
  await client.call({ op: 'write-file', path, offset: 0, data: base64('old content') });
  await client.call({ op: 'write-file', path, offset: 0, data: base64('hello ') });
  await client.call({ op: 'write-file', path, offset: 6, data: base64('world') });
  const read = await client.call({ op: 'read-file', path, offset: 6 });
  expect(Buffer.from(read.data, 'base64').toString()).toBe('world');
  expect(read).toMatchObject({ eof: true, size: 11 });
  expect(readFileSync(join(runner.home, path), 'utf8')).toBe('hello world');
});

test('links inside the folder are followed', async () => {
  const read = await client.call({ op: 'read-file', path: 'inside/a.txt', offset: 0 });
  expect(Buffer.from(read.data, 'base64').toString()).toBe('alpha');
});

for (const path of ['../x', '/etc/passwd', 'tree/../../x', 'outside/passwd', 'dangling']) {
  test(`${path} is out of reach`, async () => {
    const refused = expect.objectContaining({ code: 'forbidden' });
    const read = client.call({ op: 'read-file', path, offset: 0 });
    await expect(read).rejects.toEqual(refused);
    const write = client.call({ op: 'write-file', path, offset: 0, data: '' });
    await expect(write).rejects.toEqual(refused);
    const archive = client.call({ op: 'open-archive', path, maxBytes: 1e6 });
    await expect(archive).rejects.toEqual(refused);
  });
}

test('bad data and too large pieces are refused', async () => {
  const write = (offset: number, data: string) =>
    client.call({ op: 'write-file', path: 'f', offset, data });
  await expect(write(0, 'no base64!')).rejects.toMatchObject({ code: 'bad-request' });
  await expect(write(-1, '')).rejects.toMatchObject({ code: 'bad-request' });
  const large = base64('x'.repeat(FILE_CHUNK_BYTES + 1));
  await expect(write(0, large)).rejects.toMatchObject({ code: 'too-large' });
  await expect(write(1e12, base64('x'))).rejects.toMatchObject({ code: 'too-large' });
  const folder = client.call({ op: 'read-file', path: 'tree', offset: 0 });
  await expect(folder).rejects.toMatchObject({ code: 'bad-request' });
  const missing = client.call({ op: 'read-file', path: 'nope', offset: 0 });
  await expect(missing).rejects.toMatchObject({ code: 'not-found' });
});

test('a folder is packed with its links kept as links', async () => {
  symlinkSync('/etc/passwd', join(runner.home, 'tree/link'));
  const { handle, size } = await client.call({ op: 'open-archive', path: 'tree', maxBytes: 1e6 });
  const { data, eof } = await client.call({ op: 'read-archive', handle, offset: 0 });
  expect(eof).toBe(true);
  const bytes = Buffer.from(data, 'base64');
  expect(bytes.length).toBe(size);
  const names: string[] = [];
  const unpack = extract();
  unpack.end(bytes);
  for await (const entry of unpack) {
    names.push(`${entry.header.name} ${entry.header.type} ${entry.header.size}`);
    entry.resume();
  }
  expect(names.sort()).toEqual([
    'tree/ directory 0',
    'tree/a.txt file 5',
    'tree/inner/ directory 0',
    'tree/inner/empty file 0',
    'tree/link symlink 0',
  ]);
  await client.call({ op: 'close-archive', handle });
  const closed = client.call({ op: 'read-archive', handle, offset: 0 });
  await expect(closed).rejects.toMatchObject({ code: 'not-found' });
});

test('an archive over its limit is refused and leaves nothing behind', async () => {
  writeFileSync(join(runner.home, 'big'), Buffer.alloc(300_000));
  const open = client.call({ op: 'open-archive', path: 'big', maxBytes: 200_000 });
  await expect(open).rejects.toMatchObject({ code: 'too-large' });
  const tight = client.call({ op: 'open-archive', path: 'big', maxBytes: 300_001 });
  await expect(tight).rejects.toMatchObject({ code: 'too-large' });
  expect(readdirSync(runner.home)).toContain('big');
});

test('archives are limited in number and end with their connection', async () => {
  const other = await runner.connect();
  const open = (connection: TestClient) =>
    connection.call({ op: 'open-archive', path: 'tree/a.txt', maxBytes: 1e6 });
  for (let count = 0; count < 8; count += 1) await open(other);
  await expect(open(client)).rejects.toMatchObject({ code: 'busy' });
  other.close();
  let handle = '';
  while (handle === '') {
    handle = await open(client).then(
      (archive) => archive.handle,
      () => '',
    );
  }
  await client.call({ op: 'close-archive', handle });
});

test('modes in ls notation', () => {
  expect(modeText(0o100644)).toBe('-rw-r--r--');
  expect(modeText(0o041777)).toBe('drwxrwxrwt');
  expect(modeText(0o104711)).toBe('-rws--x--x');
  expect(modeText(0o120777)).toBe('lrwxrwxrwx');
});
