/** Scanning registries: a real one on the network, Harbor's way of listing, and what goes wrong. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { systemClock } from '../../common/clock.ts';
import { REGISTRY_ACCOUNT, startTestRegistry, type TestRegistry } from '../../testing/registry.ts';
import { missingTool, requireOrSkip } from '../../testing/services.ts';
import { OciClient } from './oci-client.ts';
import { repositoriesOf } from './repositories.ts';
import { scanRegistry } from './scan.ts';

const canRun = requireOrSkip(missingTool('docker-registry', 'docker-registry'));
const never = new AbortController().signal;
const labels = { 'ai.backend.kernelspec': '1', 'ai.backend.resource.min.cpu': '2' };

const clientOf = (url: string, account: { username: string; password: string } | null) =>
  new OciClient(
    {
      url,
      username: account?.username ?? null,
      password: account?.password ?? null,
      sslVerify: true,
    },
    systemClock,
    never,
  );

describe.skipIf(!canRun)('a registry on the network', () => {
  let registry: TestRegistry;
  beforeAll(async () => {
    registry = await startTestRegistry();
    await registry.push('stable/python', '3.11-debian12', [{ architecture: 'amd64', labels }]);
    await registry.push('stable/node', '20', [
      { architecture: 'amd64' },
      { architecture: 'arm64' },
    ]);
    await registry.push('other/thing', '1', [{ architecture: 'amd64' }]);
  });
  afterAll(() => registry?.stop());

  const scan = (project: string, account: typeof REGISTRY_ACCOUNT | null = REGISTRY_ACCOUNT) =>
    scanRegistry(clientOf(registry.url, account), {
      type: 'docker',
      registryName: registry.addr,
      project,
    });

  test("a project's images, one per architecture, with their labels and sizes", async () => {
    const { images, problems } = await scan('stable');
    expect(problems).toEqual([]);
    const shown = images.map((image) => `${image.canonical} ${image.architecture}`).sort();
    expect(shown).toEqual([
      `${registry.addr}/stable/node:20 amd64`,
      `${registry.addr}/stable/node:20 arm64`,
      `${registry.addr}/stable/python:3.11-debian12 amd64`,
    ]);
    const python = images.find(({ canonical }) => canonical.includes('python'));
    expect(python?.labels).toEqual(labels);
    expect(python?.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(python?.sizeBytes).toBeGreaterThan(20);
  });

  test('without a project everything', async () => {
    expect((await scan('')).images).toHaveLength(4);
    expect((await scan('nothing-there')).images).toEqual([]);
  });

  test('many pages of tags', async () => {
    for (let tag = 0; tag < 130; tag += 1) {
      await registry.push('many/tags', `v${tag}`, [{ architecture: 'amd64' }]);
    }
    const seen: string[] = [];
    const client = clientOf(registry.url, REGISTRY_ACCOUNT);
    const target = { type: 'docker', registryName: registry.addr, project: 'many' };
    const { images } = await scanRegistry(client, target, async (done, total) => {
      seen.push(`${done}/${total}`);
    });
    expect(images).toHaveLength(130);
    expect(seen.at(-1)).toBe('130/130');
  }, 60_000);

  test('a wrong password, and none, are told with what to do', async () => {
    const wrong = { ...REGISTRY_ACCOUNT, password: 'wrong' };
    expect(scan('stable', wrong)).rejects.toThrow(/answered 401.*password/s);
    expect(scan('stable', null)).rejects.toThrow(/answered 401/);
  });

  test('kinds that cannot list say what works instead', async () => {
    const client = clientOf(registry.url, REGISTRY_ACCOUNT);
    expect(repositoriesOf(client, 'github', 'stable')).rejects.toThrow('single image');
  });
});

/** A server with these answers by path; everything else is 404. */
function answering(answers: Readonly<Record<string, () => Response | Promise<Response>>>) {
  return Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (request) => {
      const { pathname, search } = new URL(request.url);
      const answer = answers[`${pathname}${search}`] ?? answers[pathname];
      return answer ? answer() : new Response('', { status: 404 });
    },
  });
}

describe('other answers', () => {
  test("a Harbor project's repositories, all pages", async () => {
    const path = '/api/v2.0/projects/stable/repositories';
    await using server = answering({
      [`${path}?page_size=100`]: () =>
        Response.json([{ name: 'stable/a' }], {
          headers: { Link: `<${path}?page=2&page_size=100>; rel="next"` },
        }),
      [`${path}?page=2&page_size=100`]: () => Response.json([{ name: 'stable/b' }]),
    });
    const client = clientOf(server.url.origin, null);
    expect(await repositoriesOf(client, 'harbor2', 'stable')).toEqual(['stable/a', 'stable/b']);
    expect(repositoriesOf(client, 'harbor2', '')).rejects.toThrow('needs a project');
  });

  test('a token is bought where the registry says, with the password, and used', async () => {
    let base = '';
    const sold: string[] = [];
    await using server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: (request) => {
        const { pathname, searchParams } = new URL(request.url);
        const authorization = request.headers.get('authorization') ?? '';
        if (pathname === '/token') {
          sold.push(`${authorization} ${searchParams.get('scope')} ${searchParams.get('service')}`);
          return Response.json({ token: 'T' });
        }
        if (authorization !== 'Bearer T') {
          const challenge = `Bearer realm="${base}/token",service="reg"`;
          return new Response('', { status: 401, headers: { 'WWW-Authenticate': challenge } });
        }
        return Response.json({ tags: ['1'] });
      },
    });
    base = server.url.origin;
    const client = clientOf(base, { username: 'u', password: 'p' });
    expect(await client.tags('a/b')).toEqual(['1']);
    expect(await client.tags('a/b')).toEqual(['1']);
    expect(sold).toEqual([`Basic ${btoa('u:p')} repository:a/b:pull reg`]);
  });

  test('nobody there, no JSON, endless pages and too much are failures in words', async () => {
    expect(clientOf('http://127.0.0.1:1', null).repositories()).rejects.toThrow("can't be reached");
    const next = { Link: '</v2/_catalog?n=100>; rel="next"' };
    await using server = answering({
      '/v2/_catalog': () => Response.json({ repositories: ['x'] }, { headers: next }),
      '/v2/x/tags/list': () => new Response('<html>'),
      '/v2/y/tags/list': () => new Response(`"${'y'.repeat(5 * 1024 * 1024)}"`),
      '/v2/z/tags/list': () => Response.json({ tags: 5 }),
    });
    const client = clientOf(server.url.origin, null);
    expect(client.repositories()).rejects.toThrow('more than 200 pages');
    expect(client.tags('x')).rejects.toThrow('did not answer with JSON');
    expect(client.tags('y')).rejects.toThrow('more than 4194304 bytes');
    expect(client.tags('z')).rejects.toThrow("no registry's answer");
  });
});
