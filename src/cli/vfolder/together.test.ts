/** Many small files, on servers that unpack and on one that does not know how; and files that change meanwhile. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { HOST, type TestFolders, testFolders } from '../../testing/folders.ts';
import { runCommand } from '../testing/program.ts';

setDefaultTimeout(60_000);

const FILES = 40;
let t: TestFolders;
let oldServer: ReturnType<typeof Bun.serve>;
/** Run before a request is passed on by it. */
let beforeRequest = () => {};
/** Whether it tells what it can do after all. */
let passesAll = false;
/** Whether it makes no archives either. */
let hasNoArchives = false;
let requests = 0;
const here = mkdtempSync(join(tmpdir(), 'cli-together-'));

beforeAll(async () => {
  t = await testFolders();
  // What it answers names nothing that it could not do.
  oldServer = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      beforeRequest();
      requests += 1;
      if (hasNoArchives && pathname.endsWith('/request-download-archive')) {
        return new Response('not here', { status: 404 });
      }
      const answer = await fetch(`${t.url}${pathname}${search}`, {
        method: request.method,
        headers: request.headers,
        body: request.body === null ? null : await request.bytes(),
      });
      if (passesAll || !pathname.endsWith('/request-upload') || !answer.ok) return answer;
      return Response.json(
        v.parse(v.object({ token: v.string(), url: v.string() }), await answer.json()),
      );
    },
  });
  mkdirSync(join(here, 'tree/deep'), { recursive: true });
  for (let i = 0; i < FILES; i++) {
    writeFileSync(join(here, `tree/${i % 2 === 0 ? 'deep/' : ''}file ${i}`), `content ${i}`);
  }
  writeFileSync(join(here, 'tree/large'), Buffer.alloc(400_000, 'large'));
});
afterAll(async () => {
  await oldServer.stop(true);
  await t.close();
  rmSync(here, { recursive: true });
});

async function run(endpoint: string, ...argv: string[]) {
  const { exitCode, err } = await tried(endpoint, ...argv);
  expect([exitCode, err]).toEqual([0, expect.anything()]);
  return err;
}

function tried(endpoint: string, ...argv: string[]) {
  const { accessKey, secretKey } = t.people.user;
  const env = {
    BACKEND_ENDPOINT: endpoint,
    BACKEND_ACCESS_KEY: accessKey,
    BACKEND_SECRET_KEY: secretKey,
    XDG_STATE_HOME: join(here, 'state'),
  };
  return runCommand(['vfolder', ...argv], { env, cwd: here });
}

async function expectArrived(folder: string, target: string): Promise<void> {
  const away = join(here, `away-${folder}`);
  mkdirSync(away);
  const told = await run(t.url, 'download', folder, target, '-r', '-b', away);
  // The directory as it comes, and what is large.
  expect(told).toContain(`Downloading ${target} ...`);
  expect(told.match(/Downloading /g)).toHaveLength(2);
  for (let i = 0; i < FILES; i++) {
    const name = `${target}/${i % 2 === 0 ? 'deep/' : ''}file ${i}`;
    expect(readFileSync(join(away, name), 'utf8')).toBe(`content ${i}`);
  }
  expect(readFileSync(join(away, target, 'large'))).toHaveLength(400_000);
}

test('they go up together, and large files by themselves', async () => {
  await run(t.url, 'create', 'together', HOST);
  const told = await run(t.url, 'upload', 'together', '-r', 'tree');
  expect(told).toContain(`and ${FILES - 1} more via`);
  expect(told.match(/Uploading /g)).toHaveLength(2);
  await expectArrived('together', 'tree');
});

test('a server that does not unpack gets them one by one', async () => {
  await run(t.url, 'create', 'singly', HOST);
  const old = oldServer.url.origin;
  const told = await run(old, 'upload', 'singly', '-r', 'tree');
  expect(told.match(/Uploading /g)).toHaveLength(FILES + 1);
  await expectArrived('singly', 'tree');
});

test('a directory comes whole: empty directories, names that are paths elsewhere, no links', async () => {
  mkdirSync(join(here, 'odd/empty/inner'), { recursive: true });
  for (let i = 0; i < 10; i++) writeFileSync(join(here, `odd/a\\b C: ${i}`), `odd ${i}`);
  await run(t.url, 'create', 'odd', HOST);
  await run(t.url, 'upload', 'odd', '-r', 'odd');
  const away = join(here, 'away-odd');
  mkdirSync(away);
  await run(t.url, 'download', 'odd', 'odd', '-r', '-b', away);
  expect(readdirSync(join(away, 'odd'), { recursive: true }).sort()).toEqual(
    readdirSync(join(here, 'odd'), { recursive: true }).sort(),
  );
  expect(readFileSync(join(away, 'odd/a\\b C: 7'), 'utf8')).toBe('odd 7');
});

test('where files are already nothing is written over; what is missing beside them comes', async () => {
  await run(t.url, 'create', 'beside', HOST);
  await run(t.url, 'upload', 'beside', '-r', 'tree');
  const away = join(here, 'away-beside');
  mkdirSync(join(away, 'tree'), { recursive: true });
  writeFileSync(join(away, 'tree/file 1'), 'mine');
  const refused = await tried(t.url, 'download', 'beside', 'tree', '-r', '-b', away);
  expect([refused.exitCode, refused.err]).toEqual([1, expect.stringContaining('exists already')]);
  expect(readFileSync(join(away, 'tree/file 1'), 'utf8')).toBe('mine');
  expect(existsSync(join(away, 'tree/file 3'))).toBe(false);
  rmSync(join(away, 'tree/file 1'));
  writeFileSync(join(away, 'tree/other'), 'mine');
  const told = await run(t.url, 'download', 'beside', 'tree', '-r', '-b', away);
  expect(told).toContain(`and ${FILES - 1} more ...`);
  expect(readFileSync(join(away, 'tree/file 1'), 'utf8')).toBe('content 1');
});

test('files that grew, shrank or went away since they were listed', async () => {
  const changing = join(here, 'changing');
  mkdirSync(changing);
  for (let i = 0; i < 12; i++) writeFileSync(join(changing, `file ${i}`), `content ${i}`);
  const large = join(changing, 'large');
  writeFileSync(large, Buffer.alloc(300_000));
  await run(t.url, 'create', 'changing', HOST);
  // The first request follows the listing.
  beforeRequest = () => {
    beforeRequest = () => {};
    appendFileSync(join(changing, 'file 1'), Buffer.alloc(5 * 1024 ** 2, 'grown'));
    appendFileSync(join(changing, 'file 2'), ' and more');
    truncateSync(join(changing, 'file 3'), 3);
    rmSync(join(changing, 'file 4'));
    rmSync(large);
  };
  passesAll = true;
  const { exitCode, err } = await tried(
    oldServer.url.origin,
    'upload',
    'changing',
    '-r',
    'changing',
  );
  passesAll = false;
  expect(err).toContain('file 1 has grown');
  expect(err).toContain('file 4 has gone away');
  expect(err).toContain('large has gone away');
  expect(exitCode).toBe(1);
  const away = join(here, 'away-changing');
  mkdirSync(away);
  await run(t.url, 'download', 'changing', 'changing', '-r', '-b', away);
  expect(readdirSync(join(away, 'changing'))).toEqual(readdirSync(changing));
  for (const name of readdirSync(changing)) {
    const arrived = readFileSync(join(away, 'changing', name));
    expect([name, arrived.equals(readFileSync(join(changing, name)))]).toEqual([name, true]);
  }
});

test('a server without archives is asked for each directory and each file', async () => {
  await run(t.url, 'create', 'plain', HOST);
  await run(t.url, 'upload', 'plain', '-r', 'tree');
  const away = join(here, 'away-plain');
  mkdirSync(away);
  hasNoArchives = true;
  const told = await run(oldServer.url.origin, 'download', 'plain', '.', '-r', '-b', away);
  hasNoArchives = false;
  expect(told.match(/Downloading to /g)).toHaveLength(FILES + 1);
  expect(readdirSync(away, { recursive: true }).sort()).toEqual(
    [
      'tree',
      ...readdirSync(join(here, 'tree'), { recursive: true }).map((at) => `tree/${at}`),
    ].sort(),
  );
});

test('sync takes a few requests, however many files and directories there are', async () => {
  await run(t.url, 'create', 'synced', HOST);
  for (let i = 0; i < 30; i++) {
    mkdirSync(join(here, `here/${i}`), { recursive: true });
    writeFileSync(join(here, `here/${i}/file`), `content ${i}`);
  }
  passesAll = true;
  requests = 0;
  const up = await run(oldServer.url.origin, 'sync', 'here', 'synced');
  const down = await run(oldServer.url.origin, 'sync', 'there', 'synced');
  passesAll = false;
  expect([up, down]).toEqual([
    expect.stringContaining('30 up, 0 down'),
    expect.stringContaining('0 up, 30 down'),
  ]);
  expect(requests).toBeLessThan(15);
  for (let i = 0; i < 30; i++) {
    expect(readFileSync(join(here, `there/${i}/file`), 'utf8')).toBe(`content ${i}`);
  }
});

test('a directory that is reached by a link comes to where it was asked for', async () => {
  await run(t.url, 'create', 'linked', HOST);
  await run(t.url, 'upload', 'linked', '-r', 'tree');
  const { volumePath } = t.storage;
  const [{ id } = { id: '' }] = await t.ctx.sql<{ id: string }[]>`
    SELECT replace(id::text, '-', '') AS id FROM vfolders WHERE name = 'linked'`;
  const scope = t.people.user.userId.replaceAll('-', '');
  const folder = join(volumePath, scope, id.slice(0, 2), id.slice(2, 4), id.slice(4));
  symlinkSync('tree', join(folder, 'way'));
  const away = join(here, 'away-linked');
  mkdirSync(away);
  await run(t.url, 'download', 'linked', 'way/deep', '-r', '-b', away);
  expect(readdirSync(away)).toEqual(['way']);
  expect(readdirSync(join(away, 'way/deep'))).toEqual(readdirSync(join(here, 'tree/deep')));
});
