/**
 * Nothing leaves its folder: generated paths over a tree full of traps, archives of it, and a folder
 * that is exchanged for a link while it is worked in. BACKEND_FUZZ_PATHS sets how many paths are tried,
 * BACKEND_FUZZ_UID as whom; `confinement-user.test.ts` sets it.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import {
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { pack } from 'tar-stream';
import { errorCode } from '../../common/errors.ts';
import { systemRandom } from '../../common/random.ts';
import { unpackTar } from '../archives/unpack.ts';
import { StorageError } from '../problems.ts';
import { beginUpload, discardArchive, finishUpload, openStaging } from '../staging.ts';
import { copyTree } from './copy.ts';
import { deleteFiles, listFolder, makeFolder, moveFile, renameFile } from './operations.ts';
import { findPlace, openRegularFile } from './place.ts';
import { removeTree } from './remove.ts';
import { treeUsage } from './usage.ts';
import { checkNames, walkTree } from './walk.ts';

const PATHS = Number(process.env.BACKEND_FUZZ_PATHS ?? 5000);
// Once all of the program is loaded: a normal user may not be able to read the checkout.
const UID = process.env.BACKEND_FUZZ_UID;
if (UID !== undefined) {
  process.setgroups?.([]);
  process.setgid?.(Number(UID));
  process.setuid?.(Number(UID));
}
const TIMEOUT_MS = Math.max(600_000, PATHS * 30);
/** In everything outside: names and contents. */
const MARKER = 'ESCAPED';
const top = mkdtempSync(join(tmpdir(), 'bai-fuzz-'));
const outside = join(top, 'outside');
const root = join(top, 'volume/ab/cd/folder');
const attic = join(top, 'volume/.attic');

beforeAll(() => {
  if (UID !== undefined) expect(process.getuid?.()).toBe(Number(UID));
  mkdirSync(join(outside, `${MARKER}-dir`), { recursive: true });
  writeFileSync(join(outside, `${MARKER}-file`), MARKER);
  writeFileSync(join(outside, `${MARKER}-dir`, 'x'), MARKER);
  // A neighbour whose path begins like the folder's.
  mkdirSync(`${root}-${MARKER}`, { recursive: true });
  writeFileSync(join(`${root}-${MARKER}`, 'x'), MARKER);
});
afterAll(() => rmSync(top, { recursive: true, force: true }), TIMEOUT_MS);

/** Everything around the folder, with contents and modes. */
function surroundings(): string[] {
  const seen: string[] = [];
  const look = (path: string) => {
    if (path === root || path.startsWith(attic)) return;
    const info = lstatSync(path);
    const content = info.isFile() ? readFileSync(path, 'utf8') : '';
    seen.push(`${path} ${info.mode} ${info.nlink > 1 && info.isFile()} ${content}`);
    if (info.isDirectory()) for (const name of readdirSync(path).sort()) look(join(path, name));
  };
  look(top);
  return seen;
}

/** The tree that paths are tried on. */
function layTraps(): void {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(join(root, 'a/b/c'), { recursive: true });
  mkdirSync(join(root, 'd'));
  writeFileSync(join(root, 'f'), 'inside');
  writeFileSync(join(root, 'a/b/f'), 'inside');
  linkSync(join(root, 'f'), join(root, 'hard'));
  const links: [string, string][] = [
    ['abs', outside],
    ['absfile', join(outside, `${MARKER}-file`)],
    ['up', '..'],
    ['upper', '../../../../outside'],
    ['a/up', '../../folder-ESCAPED'],
    ['a/b/deepup', '../../../../../../outside'],
    ['loop', 'loop'],
    ['ping', 'pong'],
    ['pong', 'ping'],
    ['chain', 'a/b/deepup'],
    ['ok', 'a/b'],
    ['okfile', 'a/b/f'],
    ['sneaky', 'a/../../folder-ESCAPED'],
    ['proc', '/proc/self/root'],
    ['self', '.'],
    ['dangling', 'nowhere'],
    ['through', 'ok/../b/c/../../up/x'],
  ];
  for (const [name, target] of links) symlinkSync(target, join(root, name));
  Bun.spawnSync(['mkfifo', join(root, 'fifo')]);
  // Only root may; others are spared the trap.
  Bun.spawnSync(['mknod', join(root, 'null'), 'c', '1', '3']);
}

const parts = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('..', '.', '', '...', '.. ', ' ..', '..\\..', '%2e%2e') },
  {
    weight: 10,
    arbitrary: fc.constantFrom(
      ...['a', 'b', 'c', 'd', 'f', 'x', 'hard', 'abs', 'absfile', 'up', 'upper', 'deepup', 'loop'],
      ...['ping', 'chain', 'ok', 'okfile', 'sneaky', 'proc', 'self', 'dangling', 'through', 'fifo'],
      ...['null', 'outside', `${MARKER}-file`, `${MARKER}-dir`, 'folder', `folder-${MARKER}`],
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      // Look like dots and slashes, or become them when normalised.
      ...[
        '\u2024\u2024',
        '\uff0e\uff0e',
        '\u2025',
        '\u2215',
        '\uff0f',
        '\u202e..',
        'e\u0301',
        '\u00e9',
      ],
      ...[
        '..\u0000',
        '\u0000',
        '\ud800',
        '\ufffd',
        '\ufeff..',
        '~',
        '$HOME',
        '-rf',
        '*',
        'C:',
        '\n',
      ],
    ),
  },
  { weight: 1, arbitrary: fc.string({ maxLength: 12, unit: 'binary' }) },
  { weight: 1, arbitrary: fc.constantFrom('y'.repeat(255), 'y'.repeat(256), 'é'.repeat(128)) },
);
const paths = fc
  .tuple(
    fc.constantFrom('', '', '', '/', '//', './', '../', outside),
    fc.array(parts, { maxLength: 8 }),
  )
  .map(([prefix, names]) => prefix + names.join('/'));

async function readAll(path: string): Promise<string> {
  await using place = await findPlace(root, path);
  const file = await openRegularFile(place.path, path);
  try {
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

async function upload(path: string): Promise<string> {
  const target = { root, path, size: 3 };
  const session = await beginUpload(target, systemRandom, Date.now(), 1000);
  const file = await openStaging(root, session);
  if (file === null) return '';
  await file.write('new');
  try {
    await finishUpload(target, session, file);
  } finally {
    await file.close();
  }
  return '';
}

/** A tar of one file of that name, as it would be uploaded. */
async function unpack(name: string): Promise<string> {
  const tar = pack();
  tar.entry({ name, pax: { path: name } }, MARKER.toLowerCase());
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) if (chunk instanceof Uint8Array) chunks.push(chunk);
  const content = Buffer.concat(chunks);
  const target = { root, path: '', size: content.length, unpacks: true };
  const session = await beginUpload(target, systemRandom, Date.now(), 1000);
  const file = await openStaging(root, session);
  if (file === null) return '';
  try {
    await file.write(content);
    await unpackTar(file.fd, { root, into: '', session });
  } finally {
    await file.close();
    await discardArchive(root, session);
  }
  return '';
}

/** What the files of an archive hold. */
async function archive(names: readonly string[], followsLinks: boolean): Promise<string> {
  const options = { root, top: [], names, followsLinks };
  await checkNames(options);
  let contents = '';
  for await (const entry of walkTree(options)) {
    expect(entry.name.split('/')).not.toContain('..');
    expect(entry.name.startsWith('/')).toBe(false);
    if (entry.kind !== 'file') continue;
    contents += `${readFileSync(entry.fd, 'utf8')}\n`;
    closeSync(entry.fd);
  }
  return contents;
}

/** Every operation there is; what it gives back must not come from outside. */
const operations: Record<string, (path: string, other: string) => Promise<string>> = {
  list: async (path) => {
    const { items } = await listFolder(root, path, { after: null, limit: 0 });
    return JSON.stringify(items.map(({ name }) => name));
  },
  read: readAll,
  zip: (path) => archive([path], true),
  tar: (path, other) => archive([path, other], false),
  mkdir: async (path) => {
    await makeFolder(root, path, { parents: true, existOk: true });
    return '';
  },
  rename: async (path, other) => {
    await renameFile(root, path, other.split('/').at(-1) ?? '');
    return '';
  },
  move: async (path, other) => {
    await moveFile(root, path, other);
    return '';
  },
  delete: async (path, other) => {
    await deleteFiles(root, [path, other], { attic, recursive: true });
    return '';
  },
  upload,
  unpack,
};

/** Refusals and the system's own errors are answers; anything else is a defect. */
async function tried(action: () => Promise<string>): Promise<string> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof StorageError || errorCode(error) !== '') return '';
    throw error;
  }
}

test(
  `${PATHS} generated paths, every operation: nothing outside is read, made, changed or deleted`,
  async () => {
    layTraps();
    const before = surroundings();
    let done = 0;
    const names = Object.keys(operations);
    await fc.assert(
      fc.asyncProperty(paths, paths, fc.constantFrom(...names), async (path, other, name) => {
        const seen = await tried(async () => (await operations[name]?.(path, other)) ?? '');
        // A listing may name what was made inside with such a name.
        if (name !== 'list') expect(seen).not.toInclude(MARKER);
        done += 1;
        if (done % 50 === 0) {
          expect(surroundings()).toEqual(before);
          layTraps();
        }
      }),
      { numRuns: PATHS },
    );
    expect(surroundings()).toEqual(before);
  },
  TIMEOUT_MS,
);

test('the traps are dangerous: following them plainly does escape', () => {
  layTraps();
  expect(readFileSync(join(root, 'absfile'), 'utf8')).toBe(MARKER);
  expect(readFileSync(join(root, 'chain', `${MARKER}-file`), 'utf8')).toBe(MARKER);
  expect(readFileSync(join(root, 'sneaky/x'), 'utf8')).toBe(MARKER);
});

test('what lies inside is reached, by links too', async () => {
  layTraps();
  for (const path of [
    'f',
    'ok/f',
    'okfile',
    'self/self/f',
    'a/../f',
    'a/b/../../ok/c/../f',
    './/f',
  ]) {
    expect([path, await readAll(path)]).toEqual([path, 'inside']);
  }
});

test('pipes and devices are neither opened nor waited for', async () => {
  layTraps();
  for (const path of ['fifo', 'null']) {
    if (!existsSync(join(root, path))) continue;
    await expect(readAll(path)).rejects.toThrow('not a regular file');
  }
  expect(await archive(['.'], true)).not.toInclude('fifo');
});

/** Another process that keeps exchanging a folder for a link that leads out, and back. */
function exchanger(victim: string) {
  const script = `
    const { renameSync, symlinkSync, unlinkSync } = require('node:fs');
    const [victim, aside, outside] = process.argv.slice(1);
    for (;;) {
      try { renameSync(victim, aside); symlinkSync(outside, victim); } catch {}
      try { unlinkSync(victim); renameSync(aside, victim); } catch {}
    }`;
  // By way of /proc, since a normal user may not reach the executable by its name.
  const self = existsSync('/proc/self/exe') ? '/proc/self/exe' : process.execPath;
  return Bun.spawn([self, '-e', script, victim, `${victim}-aside`, outside], {
    stdout: 'ignore',
    stderr: 'ignore',
  });
}

test(
  'a folder that is exchanged for a link meanwhile leads nowhere',
  async () => {
    layTraps();
    const before = surroundings();
    // Names that exist outside as well, so that an escape would show.
    mkdirSync(join(root, 'a/b', `${MARKER}-dir`));
    writeFileSync(join(root, 'a/b', `${MARKER}-dir`, 'x'), 'inside');
    writeFileSync(join(root, 'a/b', `${MARKER}-file`), 'inside');
    const racer = exchanger(join(root, 'a/b'));
    const copy = join(attic, 'copy');
    try {
      for (let i = 0; i < PATHS / 25; i++) {
        const read = await tried(() => readAll(`a/b/${MARKER}-file`));
        expect(read).not.toBe(MARKER);
        expect(await tried(() => archive(['a'], true))).not.toInclude(MARKER);
        await tried(() => upload(`a/b/new${i % 10}`));
        await tried(() => unpack(`a/b/unpacked${i % 10}`));
        await tried(async () => {
          await makeFolder(root, `a/b/made${i}/x`, { parents: true, existOk: true });
          await deleteFiles(root, [`a/b/made${i}`, `a/b/${MARKER}-dir`], {
            attic,
            recursive: true,
          });
          await treeUsage(join(root, 'a'));
          return '';
        });
        mkdirSync(copy, { recursive: true });
        await tried(async () => {
          await copyTree(join(root, 'a'), copy);
          return '';
        });
        expect(Bun.spawnSync(['grep', '-rl', MARKER, copy]).stdout.toString()).toBe('');
        await removeTree(copy, { attic: `${attic}/rm` });
      }
      await tried(async () => {
        await removeTree(join(root, 'a'), { attic: `${attic}/rm` });
        return '';
      });
      // It was there all the time.
      expect(racer.exitCode).toBeNull();
    } finally {
      racer.kill('SIGKILL');
      await racer.exited;
    }
    expect(surroundings()).toEqual(before);
  },
  TIMEOUT_MS,
);
