/** What a template and a request make together, and the cloning of a repository, run for real. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import * as v from 'valibot';
import { creationBody } from './creation.ts';
import { cloneScript } from './git.ts';
import { type GitSource, readClusterTemplate, readTaskItems, taskTemplate } from './schema.ts';

const place = { group: 'g-1', domain: 'default' };
const script = (body: Readonly<Record<string, unknown>>) =>
  Buffer.from(String(body.bootstrap_script), 'base64').toString();

const full = v.parse(taskTemplate, {
  apiVersion: '6',
  kind: 'taskTemplate',
  metadata: { name: 'full', tag: 'nightly' },
  spec: {
    sessionType: 'batch',
    kernel: {
      image: 'python',
      architecture: 'aarch64',
      environ: { A: '1' },
      run: { bootstrap: 'echo hi', startupCommand: 'python main.py' },
    },
    scaling_group: 'gpu',
    mounts: { data: '/home/work/in', models: null },
    resources: { cpu: 2, mem: '4g' },
  },
});

describe('creationBody', () => {
  test('everything of a template', () => {
    const body = creationBody(full, place, { session_name: 'one', tag: null, dependencies: null });
    expect(body).toEqual({
      image: 'python',
      architecture: 'aarch64',
      domain: 'default',
      group: 'g-1',
      session_type: 'batch',
      tag: 'nightly',
      startup_command: 'python main.py',
      session_name: 'one',
      bootstrap_script: Buffer.from('echo hi').toString('base64'),
      config: {
        scaling_group: 'gpu',
        mounts: ['data', 'models'],
        mount_map: { data: '/home/work/in' },
        environ: { A: '1' },
        resources: { cpu: 2, mem: '4g' },
      },
    });
  });

  test('what is sent goes before the template', () => {
    const sent = {
      image: 'r',
      bootstrap_script: Buffer.from('echo mine').toString('base64'),
      config: { environ: { B: '2' }, resources: null, mounts: ['other'], scaling_group: 'cpu' },
    };
    const body = creationBody(full, place, sent);
    expect(body).toMatchObject({
      image: 'r',
      session_type: 'batch',
      config: {
        environ: { B: '2' },
        resources: { cpu: 2, mem: '4g' },
        mounts: ['other'],
        mount_map: {},
        scaling_group: 'cpu',
      },
    });
    expect(script(body)).toBe('echo mine');
  });

  test("an empty list of mounts alone is the client's silence; with an empty map it means none", () => {
    const config = (sent: object) => creationBody(full, place, { config: sent }).config;
    expect(config({ mounts: [] })).toMatchObject({ mounts: ['data', 'models'] });
    expect(config({ mounts: [], mount_map: {} })).toMatchObject({ mounts: [], mount_map: {} });
  });
});

const source = (git: Partial<GitSource> & { repository: string }): GitSource => ({
  ...{ commit: null, branch: null, credential: null, dest_dir: null },
  ...git,
});

describe('cloneScript', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'clone-'));
    const setUp = `git init -q -b main "it's.git" && cd "it's.git" &&
      git config user.name T && git config user.email t@test.example &&
      echo first > file && git add file && git commit -qm one && git tag one &&
      echo second > file && git commit -qam two && git branch side one`;
    expect((await sh(setUp)).exitCode).toBe(0);
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function sh(text: string) {
    const child = Bun.spawn(['/bin/sh', '-c', text], {
      cwd: folder,
      stdout: 'pipe',
      stderr: 'ignore',
      env: { PATH: process.env.PATH ?? '', HOME: folder },
    });
    const stdout = await new Response(child.stdout).text();
    return { stdout, exitCode: await child.exited };
  }

  test.each([
    [{}, "it's.git", 'second\n'],
    [{ dest_dir: 'a b' }, 'a b', 'second\n'],
    [{ dest_dir: 'branched', branch: 'side' }, 'branched', 'first\n'],
    [{ dest_dir: 'older', commit: 'one' }, 'older', 'first\n'],
  ])('%p', async (git, target, content) => {
    const at = join('out', target);
    const repository = join(folder, "it's.git");
    const text = cloneScript(source({ repository, ...git }));
    const { exitCode, stdout } = await sh(
      `mkdir -p out && cd out && ${text} cd .. ; cat "${at}/file"`,
    );
    expect([exitCode, stdout]).toEqual([0, content]);
  });

  test('no text becomes more than one word of the command', async () => {
    const text = fc
      .string({ minLength: 1, maxLength: 20, unit: 'binary-ascii' })
      .filter((value) => !value.includes('\0') && value.trim() !== '');
    await fc.assert(
      fc.asyncProperty(text, text, text, async (repository, branch, dest_dir) => {
        const show = `git() { printf '%s\\0' "$@"; }\n`;
        const { stdout } = await sh(show + cloneScript(source({ repository, branch, dest_dir })));
        expect(stdout.split('\0').slice(0, -1)).toEqual([
          'clone',
          '-b',
          branch,
          '--',
          repository,
          dest_dir,
        ]);
      }),
      { numRuns: 30 },
    );
  });

  test('an account stands in the address, whatever characters it has', () => {
    const credential = { username: 'me@home', password: "p:/'@" };
    expect(cloneScript(source({ repository: 'https://git.test/x/y', credential }))).toBe(
      "git clone -- 'https://me%40home:p%3A%2F'\\''%40@git.test/x/y' 'y'\n",
    );
    expect(() => cloneScript(source({ repository: 'host:x/y', credential }))).toThrow(
      'takes no credential',
    );
  });
});

describe('reading payloads', () => {
  const template = {
    api_version: '6',
    kind: 'task_template',
    metadata: { name: 'n' },
    spec: { kernel: { image: 'python' } },
  };
  test.each([
    ['a list in JSON', JSON.stringify([{ template, name: 'x' }]), ['x']],
    [
      'documents in YAML',
      `---\nname: x\ntemplate: ${JSON.stringify(template)}\n---\nname: y\ntemplate: ${JSON.stringify(template)}\n`,
      ['x', 'y'],
    ],
    ['a bare template', JSON.stringify(template), [null]],
  ])('%s', (_, text, names) => {
    expect(readTaskItems(text).map(({ name }) => name)).toEqual(names);
  });

  test.each([
    ['a: [', 'neither JSON nor YAML'],
    ['[]', 'it holds no template'],
    ['text', 'Malformed payload'],
    [JSON.stringify([{ template, name: '' }, { template }]), 'template 1: name: is empty'],
    [JSON.stringify({ ...template, spec: {} }), 'template.spec.kernel is missing'],
    [
      JSON.stringify({ ...template, spec: { ...template.spec, mounts: { d: '/etc' } } }),
      'belongs to the system',
    ],
    [
      JSON.stringify({ ...template, spec: { ...template.spec, resources: { mem: 'much' } } }),
      'not an amount',
    ],
    ['x'.repeat(300_000), 'characters'],
  ])('refuses %p', (text, message) => {
    expect(() => readTaskItems(text)).toThrow(message);
  });

  test('clusters have exactly one main node, and each role once', () => {
    const id = '00000000-0000-4000-8000-000000000000';
    const cluster = (...nodes: object[]) =>
      readClusterTemplate(
        JSON.stringify({
          ...{ api_version: '6', kind: 'cluster_template', mode: 'multi-node' },
          metadata: { name: 'c' },
          spec: { nodes },
        }),
      );
    const main = { role: 'main', session_template: id };
    const sub = { role: 'sub', sessionTemplate: id, replicas: 3 };
    expect(cluster(main, sub).spec.nodes.map(({ replicas }) => replicas)).toEqual([1, 3]);
    expect(() => cluster(sub)).toThrow('one node must have the role main');
    expect(() => cluster({ ...main, replicas: 2 })).toThrow('one node must have the role main');
    expect(() => cluster(main, sub, sub)).toThrow('only be defined once');
  });
});
