/** The catalogue of images: which one a request means, and what agents' reports change. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import fc from 'fast-check';
import { hostArchitecture } from '../../common/images/labels.ts';
import type { AgentImage } from '../../common/protocol/manager.ts';
import { type TestDatabase, testDatabase } from '../../testing/postgres.ts';
import { operatorChange } from '../cli/context.ts';
import { populateFixture } from '../fixture/service.ts';
import { rescanLocal, upsertImages } from './catalog.ts';
import { aliasImage, dealiasImage, forgetImage } from './manage.ts';
import { candidateNames, closeNames, parseImageReference } from './reference.ts';
import { listAllImages, listImages, resolveImage } from './service.ts';

const NOBODY = '00000000-0000-4000-8000-000000000000';
const ARCH = hostArchitecture();
const OTHER_ARCH = ARCH === 'aarch64' ? 'x86_64' : 'aarch64';

const target = (reference: string) => ({ reference, architecture: null });

const image = (canonical: string, more: Partial<AgentImage> = {}): AgentImage => ({
  canonical,
  architecture: ARCH,
  digest: `sha256:${'0'.repeat(64)}`,
  sizeBytes: 1000,
  labels: {},
  aliases: [],
  ...more,
});

describe('references', () => {
  test.each([
    ['python', null, 'python', null],
    ['python:3.12', null, 'python', '3.12'],
    ['stable/python:3.12', null, 'stable/python', '3.12'],
    ['local/python:3.12', 'local', 'python', '3.12'],
    [
      'cr.backend.ai/stable/python:3.9-ubuntu20.04',
      'cr.backend.ai',
      'stable/python',
      '3.9-ubuntu20.04',
    ],
    ['localhost:5000/a/b/c', 'localhost:5000', 'a/b/c', null],
  ])('%s', (text, registry, path, tag) => {
    expect(parseImageReference(text)).toEqual({ registry, path, tag });
  });

  test.each([
    '',
    'py thon',
    '/python',
    'python:',
    'python/',
    'a//b',
    ':3',
    "x';--",
    'a'.repeat(600),
  ])('not a name: %p', (text) => {
    expect(parseImageReference(text)).toBeNull();
  });

  test('complete names survive taking apart and putting together', () => {
    const part = fc.stringMatching(/^[a-z0-9]{1,8}$/);
    const registry = fc.constantFrom('local', 'cr.example.com', 'localhost:5000');
    fc.assert(
      fc.property(
        registry,
        fc.array(part, { minLength: 1, maxLength: 3 }),
        part,
        (r, path, tag) => {
          const text = `${r}/${path.join('/')}:${tag}`;
          const parsed = parseImageReference(text);
          expect(parsed).toEqual({ registry: r, path: path.join('/'), tag });
          expect(parsed && candidateNames(parsed)).toEqual([text]);
        },
      ),
    );
  });

  test('nothing makes the parser throw', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseImageReference(text)));
  });

  test('close names come first', () => {
    const known = ['local/python:3.12', 'local/bash:5', 'python', 'bash'];
    expect(closeNames('pyton', known, 2)).toEqual(['python', 'local/python:3.12']);
    expect(closeNames('zzzzzzzzzz', known, 2)).toEqual([]);
  });
});

describe('catalogue', () => {
  let db: TestDatabase;
  beforeEach(async () => {
    db = await testDatabase();
    await populateFixture(db.sql, {
      domains: [
        { name: 'open', allowed_docker_registries: ['local', 'cr.example.com'] },
        { name: 'closed', allowed_docker_registries: [] },
      ],
      container_registries: [
        {
          registry_name: 'cr.example.com',
          url: 'https://cr.example.com',
          type: 'docker',
          project: 'stable',
        },
      ],
    });
  });
  afterEach(() => db.drop());

  const resolve = (reference: string, architecture: string | null = null, domain = 'open') =>
    resolveImage(db.sql, {
      reference,
      architecture,
      viewer: { domainName: domain, userId: NOBODY },
    });

  test('a reported image is found by complete name, without registry, and by alias', async () => {
    await upsertImages(db.sql, [
      image('local/python:3.12', {
        aliases: ['python'],
        labels: { 'ai.backend.resource.min.mem': '128m', 'ai.backend.resource.min.cpu': '1' },
      }),
    ]);
    for (const reference of ['local/python:3.12', 'python:3.12', 'python']) {
      expect((await resolve(reference)).canonical).toBe('local/python:3.12');
    }
    const found = await resolve('python');
    expect(found).toMatchObject({
      registry: 'local',
      image: 'python',
      tag: '3.12',
      architecture: ARCH,
      isLocal: true,
      type: 'COMPUTE',
      digest: `sha256:${'0'.repeat(64)}`,
      aliases: ['python'],
    });
    expect(found.resources).toEqual({
      cpu: { min: '1', max: null },
      mem: { min: '134217728', max: null },
    });
  });

  test('a complete name wins over an alias, and an alias over nothing', async () => {
    await upsertImages(db.sql, [image('local/a:latest'), image('local/b:1', { aliases: ['a'] })]);
    expect((await resolve('a')).canonical).toBe('local/a:latest');
    await forgetImage(operatorChange(db.sql), target('local/a:latest'));
    expect((await resolve('a')).canonical).toBe('local/b:1');
  });

  test('architectures: the asked one, else the own one, else what there is', async () => {
    await upsertImages(db.sql, [
      image('local/a:1', { architecture: OTHER_ARCH, aliases: ['short'] }),
      image('local/a:1'),
      image('local/b:1', { architecture: OTHER_ARCH }),
    ]);
    expect((await resolve('a:1')).architecture).toBe(ARCH);
    expect((await resolve('short')).architecture).toBe(ARCH);
    expect((await resolve('a:1', OTHER_ARCH)).architecture).toBe(OTHER_ARCH);
    expect((await resolve('b:1')).architecture).toBe(OTHER_ARCH);
    await expect(resolve('b:1', ARCH)).rejects.toThrow(`only for ${OTHER_ARCH}`);
    expect((await resolve('a:1', ARCH === 'x86_64' ? 'AMD64' : 'ARM64')).architecture).toBe(ARCH);
  });

  test('an unknown image names close ones; a forbidden registry is named', async () => {
    await upsertImages(db.sql, [image('local/python:3.12', { aliases: ['python'] })]);
    await expect(resolve('pyhton')).rejects.toThrow('Did you mean python');
    await expect(resolve("python'; DROP TABLE images; --")).rejects.toThrow('There is no image');
    const refused = resolve('python', null, 'closed');
    await expect(refused).rejects.toThrow("registry 'local', which domain 'closed' does not allow");
    await expect(refused).rejects.toMatchObject({ problem: 'ImageNotFound', status: 404 });
    // Names of a registry that the domain may not use are not offered either.
    await expect(resolve('pyhton', null, 'closed')).rejects.toThrow('No image is registered');
  });

  test('an alias set by an administrator survives reports', async () => {
    const report = [
      image('local/python:3.11'),
      image('local/python:3.12', { aliases: ['python'] }),
    ];
    await upsertImages(db.sql, report);
    const operator = operatorChange(db.sql);
    await aliasImage(operator, 'python', target('local/python:3.11'));
    await upsertImages(db.sql, report);
    expect((await resolve('python')).canonical).toBe('local/python:3.11');
    await dealiasImage(operator, 'python');
    await expect(dealiasImage(operator, 'python')).rejects.toThrow("no image alias 'python'");
    expect(() => aliasImage(operator, 'no good', target('python'))).toThrow("can't be an alias");
    const records = await db.sql`SELECT operation, triggered_by, description FROM audit_logs`;
    expect(records.map(({ operation }) => operation).sort()).toEqual(['associate', 'disassociate']);
    expect(records[0]).toMatchObject({
      triggered_by: null,
      description: expect.stringContaining('by the operator'),
    });
  });

  test('repeating a report writes nothing; a new digest does', async () => {
    const report = [image('local/a:1', { aliases: ['a'], labels: { x: '1', y: '2' } })];
    expect(await upsertImages(db.sql, report)).toMatchObject({ written: 1, aliased: 1 });
    expect(await upsertImages(db.sql, report)).toMatchObject({ written: 0, aliased: 0 });
    const changed = [image('local/a:1', { digest: `sha256:${'1'.repeat(64)}` })];
    expect(await upsertImages(db.sql, changed)).toMatchObject({ written: 1 });
    expect((await resolve('a:1')).labels).toEqual({});
  });

  test('two agents that report the first images at once agree', async () => {
    const report = [image('local/a:1', { aliases: ['a'] })];
    await Promise.all([1, 2, 3].map(() => upsertImages(db.sql, report)));
    expect((await listAllImages(db.sql)).map(({ canonical }) => canonical)).toEqual(['local/a:1']);
    const [row] =
      await db.sql`SELECT count(*)::int AS n FROM container_registries WHERE type = 'local'`;
    expect(row?.n).toBe(1);
  });

  test('a forgotten image stays away until a rescan', async () => {
    const report = [image('local/a:1', { aliases: ['a'] })];
    await upsertImages(db.sql, report);
    await forgetImage(operatorChange(db.sql), target('a'));
    await upsertImages(db.sql, report);
    await expect(resolve('a')).rejects.toThrow('There is no image');
    expect(await listAllImages(db.sql)).toEqual([]);
    await rescanLocal(db.sql, [async () => report]);
    expect((await resolve('a')).canonical).toBe('local/a:1');
  });

  test('images of registries nobody configured are left out, and said so', async () => {
    const result = await upsertImages(db.sql, [
      image('cr.example.com/stable/python:3.9'),
      image('cr.example.com/other/python:3.9'),
      image('evil.example.com/stable/python:3.9'),
      image('not a name'),
    ]);
    expect(result.written).toBe(1);
    expect(result.skipped).toEqual([
      'cr.example.com/other/python:3.9',
      'evil.example.com/stable/python:3.9',
      'not a name',
    ]);
    expect((await resolve('cr.example.com/stable/python:3.9')).project).toBe('stable');
  });

  test('one image with values that cannot be stored does not keep out the others', async () => {
    const result = await upsertImages(db.sql, [
      image('local/a:1', { labels: { x: 'nul \u0000' } }),
      image('local/b:1', { sizeBytes: 1.5 }),
      image('local/c:1', { digest: 'x'.repeat(100) }),
      image('local/d:1', { aliases: ['d', 'not an alias \u0000'] }),
    ]);
    expect(result).toMatchObject({ written: 1, aliased: 1 });
    expect(result.skipped).toEqual(['local/a:1', 'local/b:1', 'local/c:1']);
    await expect(resolve('nul \u0000')).rejects.toMatchObject({ problem: 'ImageNotFound' });
    await expect(resolve('d', 'x\u0000')).rejects.toMatchObject({ problem: 'ImageNotFound' });
  });

  test('reports of many images in different order at once do not block each other', async () => {
    const names = Array.from({ length: 40 }, (_, i) => `i${i}`);
    const report = (digit: string, order: readonly string[]) =>
      order.map((name) =>
        image(`local/${name}:1`, { digest: `sha256:${digit.repeat(64)}`, aliases: [name] }),
      );
    await Promise.all(
      ['1', '2', '3', '4', '5', '6'].map((digit, i) =>
        upsertImages(db.sql, report(digit, i % 2 === 0 ? names : names.toReversed())),
      ),
    );
    expect(await listAllImages(db.sql)).toHaveLength(40);
  });

  test('a source that fails is reported and does not stop the others', async () => {
    const result = await rescanLocal(db.sql, [
      async () => {
        throw new Error('no daemon');
      },
      async () => [image('local/a:1')],
    ]);
    expect(result).toMatchObject({ written: 1, problems: ['no daemon'], found: ['local/a:1'] });
  });

  test('the interpreters of this host are found without any agent', async () => {
    const { found, problems } = await rescanLocal(db.sql);
    expect(problems).toEqual([]);
    expect(found.some((name) => name.startsWith('local/bash:'))).toBe(true);
    expect((await resolve('bash')).labels['ai.backend.runtime-type']).toBe('bash');
  });

  test('listing: by the registries of the domain, customised images only to their owner', async () => {
    const owner = 'dfa9da54-4b28-432f-be29-c0d680c7a412';
    await upsertImages(db.sql, [
      image('local/a:1'),
      image('local/mine:1', { labels: { 'ai.backend.customized-image.owner': `user:${owner}` } }),
    ]);
    const names = async (domainName: string, userId: string, isSuperadmin = false) =>
      (await listImages(db.sql, { domainName, userId, isSuperadmin })).map((i) => i.canonical);
    expect(await names('open', owner)).toEqual(['local/a:1', 'local/mine:1']);
    expect(await names('open', NOBODY)).toEqual(['local/a:1']);
    expect(await names('closed', owner)).toEqual([]);
    expect(await names('closed', NOBODY, true)).toEqual(['local/a:1', 'local/mine:1']);
  });

  test('the example registry of local images is used as it is', async () => {
    const path = join(
      import.meta.dir,
      '../../../fixtures/manager/example-container-registries-local.json',
    );
    const text = await Bun.file(path).text();
    await populateFixture(db.sql, text);
    await upsertImages(db.sql, [image('local/a:1')]);
    expect((await resolve('a:1')).registryId).toBe(JSON.parse(text).container_registries[0].id);
  });
});
