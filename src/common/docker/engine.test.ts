/** Calls to a daemon that is slow, away, or refuses. */
import { afterAll, expect, test } from 'bun:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BackendError } from '../errors.ts';
import { DockerEngine, DockerError } from './engine.ts';
import { dockerSocketPath } from './socket.ts';

const folder = await mkdtemp(join(tmpdir(), 'docker-engine-'));
const socketPath = join(folder, 'docker.sock');
const daemon = Bun.serve({
  unix: socketPath,
  fetch(request) {
    const { pathname } = new URL(request.url);
    // Never answers.
    if (pathname === '/info') return new Promise<Response>(() => {});
    return Response.json({ message: 'no such thing' }, { status: 404 });
  },
});
afterAll(async () => {
  await daemon.stop(true);
  await rm(folder, { recursive: true });
});
const engine = new DockerEngine(socketPath);

const failureOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => null,
    (error) => error,
  );

test('a daemon that does not answer is given up in time', async () => {
  const error = await failureOf(engine.call((docker) => docker.info(), { timeoutMs: 50 }));
  expect(error).toBeInstanceOf(BackendError);
  expect(String(error)).toContain('did not answer within 0.05 seconds');
});

test('a caller may give up earlier', async () => {
  const signal = AbortSignal.timeout(30);
  expect(await failureOf(engine.call((docker) => docker.info(), { signal }))).toBe(signal.reason);
  expect(await failureOf(engine.call((docker) => docker.info(), { signal }))).toBe(signal.reason);
});

test('a refusal carries its status and the reason', async () => {
  const error = await failureOf(engine.call((docker) => docker.version()));
  expect(error).toBeInstanceOf(DockerError);
  expect(error).toMatchObject({ status: 404, message: 'no such thing' });
});

test('the socket is named by DOCKER_HOST, which must be of this host', () => {
  expect(dockerSocketPath({ DOCKER_HOST: 'unix:///some/where.sock' })).toBe('/some/where.sock');
  expect(() => dockerSocketPath({ DOCKER_HOST: 'tcp://far.example:2375' })).toThrow(
    'not a Unix socket',
  );
});
