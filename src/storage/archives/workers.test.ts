/** One worker for all archives of a volume: none of them makes the others wait for its end. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pack } from 'tar-stream';
import { systemClock } from '../../common/clock.ts';
import { until } from '../../testing/until.ts';
import { STAGING_FOLDER } from '../staging.ts';
import { ArchiveWorkers } from './workers.ts';

setDefaultTimeout(120_000);
/** Many more than are written before they take their places. */
const FILES = 10_000;
const home = mkdtempSync(join(tmpdir(), 'bai-archives-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

async function tarOfManyFiles(path: string): Promise<void> {
  const tar = pack();
  for (let n = 0; n < FILES; n += 1) tar.entry({ name: `${n}` }, 'x');
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) if (chunk instanceof Uint8Array) chunks.push(chunk);
  writeFileSync(path, Buffer.concat(chunks));
}

test('what is asked of a volume meanwhile is answered before a long archive is unpacked', async () => {
  const root = join(home, 'folder');
  mkdirSync(join(root, STAGING_FOLDER), { recursive: true });
  await tarOfManyFiles(join(home, 'tar'));
  const archive = openSync(join(home, 'tar'), 'r');
  const workers = new ArchiveWorkers(systemClock);
  const done: string[] = [];
  try {
    const unpacking = workers
      .unpack('volume', { archive, root, into: '', session: 's' })
      .then(() => done.push('unpacked'));
    await until(() => existsSync(join(root, '0')), 'the first files are there');
    await workers.check('volume', { root, top: [], names: ['.'], format: 'tar' });
    done.push('checked');
    await unpacking;
  } finally {
    workers.stop();
    closeSync(archive);
  }
  expect(done).toEqual(['checked', 'unpacked']);
});
