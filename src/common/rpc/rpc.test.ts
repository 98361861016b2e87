/** The two ends of a method table against each other over real HTTP, and against tampering. */
import { afterEach, describe, expect, test } from 'bun:test';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import * as v from 'valibot';
import { type Clock, systemClock } from '../clock.ts';
import { BackendError, UserError } from '../errors.ts';
import { systemRandom } from '../random.ts';
import { type Api, type ApiOf, method } from './api.ts';
import { rpcClient } from './client.ts';
import { rpcHandler } from './server.ts';
import {
  CLOCK_WINDOW_MS,
  generateKeys,
  loadKeys,
  loadOrCreateKeys,
  ReplayGuard,
  requestVerifier,
  rpcHeaders,
  signRequest,
  verifySignature,
} from './signature.ts';

const testApi = {
  echo: method({
    params: v.object({ text: v.string() }),
    result: v.object({ text: v.string() }),
    timeoutMs: 5_000,
  }),
  nothing: method({ params: v.object({}), result: v.null(), timeoutMs: 5_000 }),
  slow: method({ params: v.object({}), result: v.null(), timeoutMs: 50 }),
} satisfies Api;

const clockAt = (offsetMs: number): Clock => ({
  ...systemClock,
  now: () => new Date(Date.now() + offsetMs),
});

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function serve(implementation: Partial<ApiOf<typeof testApi>> = {}, maxBodyBytes?: number) {
  const keys = generateKeys();
  const trusted = generateKeys();
  const calls: string[] = [];
  const unexpected: unknown[] = [];
  const impl: ApiOf<typeof testApi> = {
    echo: async ({ text }) => {
      calls.push(text);
      return { text };
    },
    nothing: async () => null,
    slow: () => new Promise(() => {}),
    ...implementation,
  };
  const handler = rpcHandler(testApi, impl, {
    verify: requestVerifier({
      clock: systemClock,
      isTrusted: (key) => key === trusted.publicKey,
      self: keys.publicKey,
    }),
    keys,
    maxBodyBytes,
    onError: (error) => unexpected.push(error),
  });
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: handler });
  cleanups.push(() => server.stop(true));
  const baseUrl = `http://127.0.0.1:${server.port}`;
  const client = rpcClient(testApi, { baseUrl, keys: trusted, peer: keys.publicKey });
  return { keys, trusted, calls, unexpected, baseUrl, client, handler };
}

async function problemOf(promise: Promise<unknown>): Promise<BackendError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof BackendError) return error;
    throw error;
  }
  throw new Error('expected a rejection');
}

describe('calls', () => {
  test('results round-trip for any text', async () => {
    const { client } = serve();
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => {
        expect(await client.echo({ text })).toEqual({ text });
      }),
      { numRuns: 50 },
    );
    expect(await client.nothing({})).toBeNull();
  });

  test('an error of the other side arrives with its problem, message and data', async () => {
    const { client } = serve({
      echo: async () => {
        throw new BackendError('KernelNotFound', 'no kernel k1', { data: { id: 'k1' } });
      },
    });
    const error = await problemOf(client.echo({ text: '' }));
    expect(error.problem).toBe('KernelNotFound');
    expect(error.message).toBe('no kernel k1');
    expect(error.data).toEqual({ id: 'k1' });
  });

  test('an unexpected failure is reported to the server, not shown to the caller', async () => {
    const { client, unexpected } = serve({
      echo: async () => {
        throw new Error('secret detail');
      },
    });
    const error = await problemOf(client.echo({ text: '' }));
    expect(error.problem).toBe('InternalServerError');
    expect(error.message).not.toContain('secret');
    expect(unexpected).toHaveLength(1);
  });

  test('a slow answer and an absent server are connection errors', async () => {
    const { client, trusted } = serve();
    const slow = await problemOf(client.slow({}));
    expect(slow.problem).toBe('AgentConnectionUnavailable');
    expect(slow.message).toContain('no answer within 0.05 seconds');
    const absent = rpcClient(testApi, { baseUrl: 'http://127.0.0.1:1', keys: trusted });
    expect((await problemOf(absent.nothing({}))).problem).toBe('AgentConnectionUnavailable');
  });

  test('a body over the limit is refused', async () => {
    const { client, calls } = serve({}, 1000);
    const error = await problemOf(client.echo({ text: 'x'.repeat(2000) }));
    expect(error.problem).toBe('InvalidAPIParameters');
    expect(calls).toEqual([]);
  });

  test('a result of the wrong shape does not reach the caller', async () => {
    const keys = generateKeys();
    const client = rpcClient(testApi, {
      baseUrl: 'http://node',
      keys,
      fetch: async () => Response.json({ result: { text: 5 } }),
    });
    const error = await problemOf(client.echo({ text: '' }));
    expect(error.problem).toBe('AgentConnectionUnavailable');
    expect(error.message).toContain('result.text');
  });

  test('parameters of the wrong shape do not reach the implementation', async () => {
    const { handler, trusted, calls } = serve();
    for (const wrong of [{ text: 5 }, [], ['text']]) {
      const response = await handler(signed(wrong, trusted));
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ problem: 'InvalidAPIParameters' });
    }
    expect(calls).toEqual([]);
  });
});

function signed(
  params: unknown,
  keys: ReturnType<typeof generateKeys>,
  options: { clock?: Clock; peer?: string } = {},
): Request {
  const body = Buffer.from(JSON.stringify(params));
  const headers = signRequest(
    { method: 'POST', path: '/rpc/echo', body },
    { keys, clock: options.clock ?? systemClock, random: systemRandom, peer: options.peer },
  );
  return new Request('http://node/rpc/echo', { method: 'POST', body, headers });
}

describe('tampering', () => {
  test('any changed signed part is refused', async () => {
    const { handler, trusted, calls } = serve();
    const good = signed({ text: 'a' }, trusted);
    const body = await good.text();
    const other = generateKeys();
    const changed = (name: string, value: string): Request => {
      const headers = new Headers(good.headers);
      headers.set(name, value);
      return new Request(good.url, { method: 'POST', body, headers });
    };
    const attempts = [
      new Request(good.url, {
        method: 'POST',
        body: body.replace('a', 'b'),
        headers: good.headers,
      }),
      changed(rpcHeaders.date, new Date(Date.now() + 1000).toISOString()),
      changed(rpcHeaders.nonce, 'another'),
      changed(rpcHeaders.key, other.publicKey),
      changed(rpcHeaders.key, 'x'),
      changed(rpcHeaders.recipient, other.publicKey),
      changed(rpcHeaders.signature, 'AAAA'),
    ];
    for (const attempt of attempts) {
      const response = await handler(attempt);
      expect(response.status).toBe(401);
    }
    expect(calls).toEqual([]);
    const untouched = new Request(good.url, { method: 'POST', body, headers: good.headers });
    expect((await handler(untouched)).status).toBe(200);
  });

  test('a path other than the signed one is refused', async () => {
    const { handler, trusted } = serve();
    const good = signed({}, trusted);
    const moved = new Request('http://node/rpc/nothing', {
      method: 'POST',
      body: await good.text(),
      headers: good.headers,
    });
    expect((await handler(moved)).status).toBe(401);
  });

  test('an unknown key, a missing signature and another recipient are refused', async () => {
    const { handler, trusted } = serve();
    expect((await handler(signed({ text: '' }, generateKeys()))).status).toBe(401);
    const bare = new Request('http://node/rpc/echo', { method: 'POST', body: '{}' });
    expect((await handler(bare)).status).toBe(401);
    const elsewhere = signed({ text: '' }, trusted, { peer: generateKeys().publicKey });
    expect((await handler(elsewhere)).status).toBe(401);
  });

  test('the same request is not run twice', async () => {
    const { handler, trusted, calls } = serve();
    const request = signed({ text: 'once' }, trusted);
    const again = request.clone();
    expect((await handler(request)).status).toBe(200);
    expect((await handler(again)).status).toBe(401);
    expect(calls).toEqual(['once']);
  });

  test('a clock that is off is named with its difference', async () => {
    const { handler, trusted } = serve();
    for (const [offset, word] of [
      [-3_600_000, 'behind'],
      [3_600_000, 'ahead'],
    ] as const) {
      const response = await handler(signed({ text: '' }, trusted, { clock: clockAt(offset) }));
      const { msg } = v.parse(v.object({ msg: v.string() }), await response.json());
      expect(msg).toMatch(/differ by (3599|3600|3601) seconds/);
      expect(msg).toContain(word);
    }
    const within = signed({ text: '' }, trusted, { clock: clockAt(CLOCK_WINDOW_MS - 10_000) });
    expect((await handler(within)).status).toBe(200);
  });

  test('an answer from somebody else is refused by a client that knows its peer', async () => {
    const { baseUrl, trusted } = serve();
    const client = rpcClient(testApi, {
      baseUrl,
      keys: trusted,
      peer: generateKeys().publicKey,
    });
    expect((await problemOf(client.nothing({}))).problem).toBe('AgentConnectionUnavailable');
  });
});

describe('replay memory', () => {
  test('accepts a nonce at most once and stays within its bound, whatever the order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ nonce: fc.nat(30), sentAt: fc.nat(1000) }), { maxLength: 200 }),
        fc.integer({ min: 1, max: 10 }),
        (requests, bound) => {
          const guard = new ReplayGuard(bound);
          const accepted = new Set<string>();
          for (const { nonce, sentAt } of requests) {
            const id = `${nonce}@${sentAt}`;
            if (!guard.accept(id, sentAt, 1000)) continue;
            expect(accepted.has(id)).toBe(false);
            accepted.add(id);
            expect(guard.size).toBeLessThanOrEqual(bound);
          }
        },
      ),
    );
  });

  test('forgets what the clock window refuses anyway', () => {
    const guard = new ReplayGuard();
    expect(guard.accept('a', 0, 0)).toBe(true);
    expect(guard.accept('b', 2 * CLOCK_WINDOW_MS, 2 * CLOCK_WINDOW_MS)).toBe(true);
    expect(guard.size).toBe(1);
  });
});

describe('key files', () => {
  test('are private, and give the same key again', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'rpc-keys-'));
    cleanups.push(() => rm(folder, { recursive: true }));
    const path = join(folder, 'sub', 'node.pem');
    const keys = await loadOrCreateKeys(path);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await loadOrCreateKeys(path)).publicKey).toBe(keys.publicKey);
    expect(keys.publicKey).toHaveLength(43);
  });

  test('that are damaged are a clear failure', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'rpc-keys-'));
    cleanups.push(() => rm(folder, { recursive: true }));
    const path = join(folder, 'node.pem');
    await writeFile(path, 'not a key');
    await expect(loadKeys(path)).rejects.toBeInstanceOf(UserError);
  });
});

test('a key counts in one spelling only, so that no other gets around what was noted of it', () => {
  const keys = generateKeys();
  const data = Buffer.from('x');
  expect(verifySignature(keys.publicKey, data, keys.sign(data))).toBe(true);
  for (const other of [`${keys.publicKey}==`, `!${keys.publicKey}`, `${keys.publicKey} `]) {
    expect(verifySignature(other, data, keys.sign(data))).toBe(false);
  }
});
