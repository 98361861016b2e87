/** Commits of real containers: as an image that sessions can be made of, and as an archive. */
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { DockerEngine } from '../../../common/docker/engine.ts';
import { sharedDocker } from '../../../testing/docker.ts';
import { importTestImage } from '../../../testing/images.ts';
import { REGISTRY_ACCOUNT, startTestRegistry } from '../../../testing/registry.ts';
import { missingTool, requireOrSkip } from '../../../testing/services.ts';
import { noGrant } from '../../resources/grant.ts';
import { runCode, testSpec } from '../testing/kernels.ts';
import { changesOf } from './commit.ts';
import type { DockerBackend } from './docker-backend.ts';
import { canRunDocker, deadline, makeDockerSetup, startKernel } from './testing/setup.ts';

const TIMEOUT_MS = 90_000;
const CANONICAL = 'local/testing/kept:1-customized_0af1';
const TAG = 'testing/kept:1-customized_0af1';

const usable = canRunDocker();
const hasRegistry = requireOrSkip(missingTool('docker-registry', 'docker-registry'));
const daemon = usable ? await sharedDocker() : null;
if (daemon) await importTestImage(daemon.socketPath, 'bare');
afterAll(async () => await daemon?.stop(), TIMEOUT_MS);

describe.skipIf(!usable)('committing', () => {
  const engine = new DockerEngine(daemon?.socketPath ?? '');
  let setup: Awaited<ReturnType<typeof makeDockerSetup>>;
  let backend: DockerBackend;

  beforeEach(async () => {
    setup = await makeDockerSetup(engine.socketPath);
    backend = setup.open();
  }, TIMEOUT_MS);
  afterEach(async () => {
    await setup.takeAway(backend);
    await engine.call((docker) => docker.getImage(TAG).remove()).catch(() => {});
  }, TIMEOUT_MS);

  /** A kernel with a file of its own, and a variable that nobody else should see. */
  async function startChanged(): Promise<string> {
    const environ = { MY_TOKEN: 'hush-hush' };
    const { spec } = await startKernel(backend, 'bare', { environ });
    const [kernel] = await backend.list();
    const archive = pack();
    archive.entry({ name: 'srv/made.txt' }, 'by me\n');
    archive.finalize();
    const bytes = await buffer(archive);
    const container = kernel?.containerId ?? '';
    await engine.call((docker) => docker.getContainer(container).putArchive(bytes, { path: '/' }));
    return spec.kernelId;
  }

  test(
    'an image has what was changed, starts as the one below it, and gives nothing of the session away',
    async () => {
      const kernelId = await startChanged();
      const labels = { 'ai.backend.customized-image.name': 'mine "$HOME"' };
      const target = { kind: 'image', canonical: CANONICAL, labels, push: null } as const;
      const said: string[] = [];
      const image = await backend.commit(kernelId, target, (text) => said.push(text), deadline());
      expect(said).toEqual(['Committing the container']);
      expect(image).toMatchObject({ canonical: CANONICAL, labels });
      expect(image?.labels['ai.backend.kernel-id']).toBe('');
      const { Config } = await engine.call((docker) => docker.getImage(TAG).inspect());
      expect(JSON.stringify(Config)).not.toContain('hush-hush');
      expect(JSON.stringify(Config)).not.toContain(kernelId);
      expect(Config.User).toBe('0');
      expect(JSON.stringify(Config.Entrypoint ?? [])).not.toContain('backend.ai');
      await backend.destroy(kernelId, 0);
      if (image === null) throw new Error('no image');
      const spec = testSpec(image);
      await backend.create(spec, noGrant, deadline());
      const runner = await backend.connectRunner(spec.kernelId, deadline());
      expect(await runCode(runner, 'cat /srv/made.txt')).toMatchObject({ stdout: 'by me\n' });
      runner.close();
    },
    TIMEOUT_MS,
  );

  test(
    'an archive is whole or not there, and leaves no image behind',
    async () => {
      const kernelId = await startChanged();
      const target = { kind: 'archive', folder: 'me@test', fileName: 'kept.tar.gz' } as const;
      const folder = join(setup.folder, 'commits/me@test');
      const given = AbortSignal.abort(new Error('not now'));
      await expect(backend.commit(kernelId, target, () => {}, given)).rejects.toThrow('not now');
      const said: string[] = [];
      expect(
        await backend.commit(kernelId, target, (text) => said.push(text), deadline()),
      ).toBeNull();
      expect(said).toEqual(['Committing the container', 'Writing the archive']);
      expect(await readdir(folder)).toEqual(['kept.tar.gz']);
      const bytes = await Bun.file(join(folder, 'kept.tar.gz')).bytes();
      const archive = Buffer.from(Bun.gunzipSync(bytes)).toString('latin1');
      expect(archive).toContain('manifest.json');
      expect(archive).toContain('srv/made.txt');
      const listed = await engine.call((docker) => docker.listImages({ all: true }));
      expect(listed.flatMap(({ RepoTags }) => RepoTags ?? []).join()).not.toContain(kernelId);
    },
    TIMEOUT_MS,
  );

  test.skipIf(!hasRegistry)(
    'an image is pushed where its name says, and a registry that refuses is told of',
    async () => {
      const registry = await startTestRegistry();
      const name = `${registry.addr}/team/kept:1`;
      try {
        const kernelId = await startChanged();
        const target = { kind: 'image', canonical: name, labels: { who: 'me' } } as const;
        const wrong = { ...REGISTRY_ACCOUNT, password: 'guessed' };
        await expect(
          backend.commit(kernelId, { ...target, push: wrong }, () => {}, deadline()),
        ).rejects.toThrow(/denied|unauthorized|authentication/i);
        const said: string[] = [];
        const push = REGISTRY_ACCOUNT;
        const say = (text: string) => said.push(text);
        await backend.commit(kernelId, { ...target, push }, say, deadline());
        expect(said).toEqual(['Committing the container', 'Pushing the image']);
        const account = btoa(
          String.fromCharCode(...Buffer.from(`${push.username}:${push.password}`)),
        );
        const answer = await fetch(`${registry.url}/v2/team/kept/tags/list`, {
          headers: { Authorization: `Basic ${account}` },
        });
        expect(await answer.json()).toEqual({ name: 'team/kept', tags: ['1'] });
      } finally {
        await engine.call((docker) => docker.getImage(name).remove()).catch(() => {});
        await registry.stop();
      }
    },
    TIMEOUT_MS,
  );

  test(
    'a kernel without a container is refused',
    async () => {
      const target = { kind: 'archive', folder: 'f', fileName: 'x' } as const;
      const gone = '00000000-0000-4000-8000-000000000000';
      await expect(backend.commit(gone, target, () => {}, deadline())).rejects.toThrow(
        'has no container any more',
      );
    },
    TIMEOUT_MS,
  );
});

test('the instructions of a commit keep every text as it is', () => {
  const base = {
    Env: ['PATH=/bin:/usr/bin', 'ODD=a "b" $c \\'],
    Cmd: ['sh', '-c', 'x'],
    Entrypoint: [],
    WorkingDir: '/data',
    User: 'me',
    Labels: { kept: 'as "it" was' },
  };
  const container = {
    Env: ['PATH=/changed', 'TOKEN=hush', 'ODD=', 'not valid=1'],
    Labels: { kept: 'changed', 'ai.backend.kernel-id': 'hush' },
  };
  const changes = changesOf(base, container, { a: 'b' });
  expect(changes).toContain('ENTRYPOINT ["env"]');
  expect(changes).toContain('CMD ["sh","-c","x"]');
  expect(changes).toContain('WORKDIR /data');
  expect(changes).toContain('USER me');
  expect(changes).toContain('ENV PATH="/bin:/usr/bin"');
  expect(changes).toContain('ENV ODD="a \\"b\\" \\$c \\\\"');
  expect(changes).toContain('ENV TOKEN=""');
  expect(changes).toContain('LABEL "a"="b"');
  expect(changes).toContain('LABEL "kept"="as \\"it\\" was"');
  expect(changes).toContain('LABEL "ai.backend.kernel-id"=""');
  expect(changes.join('\n')).not.toContain('hush');
});
