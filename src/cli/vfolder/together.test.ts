/** Many small files, on servers that unpack and on one that does not know how. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { HOST, type TestFolders, testFolders } from '../../testing/folders.ts';
import { runCommand } from '../testing/program.ts';

setDefaultTimeout(60_000);

const FILES = 40;
let t: TestFolders;
let oldServer: ReturnType<typeof Bun.serve>;
const here = mkdtempSync(join(tmpdir(), 'cli-together-'));

beforeAll(async () => {
  t = await testFolders();
  // What it answers names nothing that it could not do.
  oldServer = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const answer = await fetch(`${t.url}${pathname}${search}`, {
        method: request.method,
        headers: request.headers,
        body: request.body === null ? null : await request.bytes(),
      });
      if (!pathname.endsWith('/request-upload') || !answer.ok) return answer;
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
  const { accessKey, secretKey } = t.people.user;
  const env = {
    BACKEND_ENDPOINT: endpoint,
    BACKEND_ACCESS_KEY: accessKey,
    BACKEND_SECRET_KEY: secretKey,
    XDG_STATE_HOME: join(here, 'state'),
  };
  const { exitCode, err } = await runCommand(['vfolder', ...argv], { env, cwd: here });
  expect([exitCode, err]).toEqual([0, expect.anything()]);
  return err;
}

async function expectArrived(folder: string, target: string): Promise<void> {
  const away = join(here, `away-${folder}`);
  mkdirSync(away);
  const told = await run(t.url, 'download', folder, target, '-r', '-b', away);
  expect(told).toContain(`and ${FILES - 1} more ...`);
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
