import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRandom } from '../common/random.ts';
import { beginUpload } from './staging.ts';

const root = mkdtempSync(join(tmpdir(), 'bai-staging-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

test('uploads begin while others end and take the staging folder with them', async () => {
  const UPLOADS = 400;
  const WIDTH = 8;
  let next = 0;
  const upload = async () => {
    for (; next < UPLOADS; ) {
      next += 1;
      // Without bytes: it begins and ends at once.
      await beginUpload({ root, path: `file${next}`, size: 0 }, systemRandom, Date.now(), 1000);
    }
  };
  await Promise.all(Array.from({ length: WIDTH }, upload));
  expect(readdirSync(root)).toHaveLength(UPLOADS);
});

test('an upload to a folder that is gone fails', async () => {
  const gone = { root: join(root, 'gone'), path: 'file', size: 0 };
  await expect(beginUpload(gone, systemRandom, Date.now(), 1000)).rejects.toThrow();
});
