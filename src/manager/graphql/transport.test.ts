/** GraphQL over event streams and WebSockets: frames, who may, endings, bounds. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { type Clock, systemClock } from '../../common/clock.ts';
import { BackendError } from '../../common/errors.ts';
import { signedHeaders, type TestServer, testManagerServer } from '../../testing/manager.ts';
import { until } from '../../testing/until.ts';
import type { GraphqlContext } from './context.ts';
import { createGraphqlEngine, type GraphqlEngine } from './engine.ts';
import type { SchemaPart } from './module.ts';
import { graphqlRoutes } from './rest.ts';
import { graphqlSockets } from './socket.ts';

/** Each context that the field `context` was resolved with. */
const contexts: GraphqlContext[] = [];
let endless = 0;

const probe: SchemaPart = {
  typeDefs: /* GraphQL */ `
    type Query {
      hello: String
      broken: String
    }
    type Subscription {
      count(to: Int!): Counted
      endless: Counted
      refused: Counted
    }
    type Counted {
      value: Int
      who: String
    }
  `,
  resolvers: {
    Query: {
      hello: () => 'world',
      broken: () => {
        throw new Error('secret detail');
      },
    },
    Subscription: {
      count: {
        async *subscribe(_root: unknown, { to }: { to: number }) {
          for (let value = 1; value <= to; value += 1) yield { count: { value } };
        },
      },
      endless: {
        async *subscribe(_root: unknown, _args: unknown, { signal }: GraphqlContext) {
          endless += 1;
          try {
            yield { endless: { value: 0 } };
            await new Promise((resolve) => signal.addEventListener('abort', resolve));
          } finally {
            endless -= 1;
          }
        },
      },
      refused: {
        subscribe: () => {
          throw new BackendError('GenericForbidden', 'Not yours.');
        },
      },
    },
    Counted: {
      who: (_row: unknown, _args: unknown, context: GraphqlContext) => {
        contexts.push(context);
        return context.caller.email;
      },
    },
  },
};

/** Sleeps of 10 s, which is how long a connection may stay silent, end when the test says so. */
let silence = Promise.withResolvers<void>();
const clock: Clock = {
  ...systemClock,
  now: () => systemClock.now(),
  monotonicMs: () => systemClock.monotonicMs(),
  sleep: (ms, signal) => (ms === 10_000 ? silence.promise : systemClock.sleep(ms, signal)),
};

let server: TestServer;
let engine: GraphqlEngine;
beforeAll(async () => {
  server = await testManagerServer({
    clock,
    routes: async (ctx) => {
      engine = await createGraphqlEngine(ctx, [probe]);
      return graphqlRoutes(ctx, engine);
    },
    sockets: async (ctx) => graphqlSockets(ctx, engine),
  });
});
afterAll(async () => {
  await engine.close();
  await server.close();
});

function signed(target: string, method: string, contentType?: string): Record<string, string> {
  const { host } = new URL(server.url);
  return signedHeaders(server.accounts.user, { method, target, host, contentType });
}

function post(query: string, path = '/admin/gql', signal?: AbortSignal): Promise<Response> {
  return fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: { ...signed(path, 'POST', 'application/json'), Accept: 'text/event-stream' },
    body: JSON.stringify({ query, variables: {} }),
    signal,
  });
}

describe('an event stream', () => {
  test.each(['/admin/gql', '/admin/gql/strawberry'])('%s sends next and complete', async (path) => {
    const response = await post('subscription { count(to: 2) { value } }', path);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect((await response.text()).replace(': connected\n\n', '')).toBe(
      'event: next\ndata: {"data":{"count":{"value":1}},"errors":null}\n\n' +
        'event: next\ndata: {"data":{"count":{"value":2}},"errors":null}\n\n' +
        'event: complete\ndata: \n\n',
    );
  });

  test.each([
    ['{ hello }', '{"data":{"hello":"world"},"errors":null}'],
    ['{', 'Syntax Error'],
    ['{ nothing }', 'Cannot query field'],
    ['subscription { refused { value } }', 'Not yours.'],
    ['{ broken }', 'Internal server error.'],
  ])('%s is one answer', async (query, expected) => {
    const text = await (await post(query)).text();
    expect(text.match(/^event: .*$/gm)).toEqual(['event: next', 'event: complete']);
    expect(text).toContain(expected);
    expect(text).not.toContain('secret detail');
  });

  test('needs an account', async () => {
    const response = await fetch(`${server.url}/admin/gql`, {
      method: 'POST',
      headers: { Accept: 'text/event-stream' },
      body: JSON.stringify({ query: '{ hello }' }),
    });
    expect(response.status).toBe(401);
  });

  test('every event has a context of its own', async () => {
    contexts.length = 0;
    await (await post('subscription { count(to: 2) { a: who b: who } }')).text();
    expect(contexts).toHaveLength(4);
    expect(new Set(contexts).size).toBe(2);
    expect(contexts[0]?.caller.email).toBe(server.accounts.user.email);
  });

  test('a client that leaves ends the subscription', async () => {
    const leave = new AbortController();
    const response = await post('subscription { endless { value } }', '/admin/gql', leave.signal);
    const reader = response.body?.getReader();
    await reader?.read();
    await until(() => endless === 1, 'it is subscribed');
    leave.abort();
    await until(() => endless === 0, 'the subscription has ended');
  });

  test('is what a subscription needs', async () => {
    const response = await fetch(`${server.url}/admin/gql`, {
      method: 'POST',
      headers: signed('/admin/gql', 'POST', 'application/json'),
      body: JSON.stringify({ query: 'subscription { count(to: 1) { value } }' }),
    });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      data: null,
      errors: [{ message: expect.stringContaining('text/event-stream') }],
    });
  });
});

const frame = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ type: v.string(), id: v.optional(v.string()), payload: v.optional(v.unknown()) }),
);
type Frame = v.InferOutput<typeof frame>;

/** A connected client that remembers what it was sent, and how it was closed. */
class Client {
  readonly received: Frame[] = [];
  closed: { code: number; reason: string } | null = null;
  readonly socket: WebSocket;
  readonly opened: Promise<unknown>;

  constructor(path = '/admin/gql', protocols: readonly string[] = ['graphql-transport-ws']) {
    const url = `${server.url.replace('http', 'ws')}${path}`;
    const options = { headers: signed(path, 'GET'), protocols };
    // Bun's WebSocket takes headers, which the DOM's declaration does not know.
    this.socket = Reflect.construct(WebSocket, [url, options]);
    this.opened = new Promise((resolve) => this.socket.addEventListener('open', resolve));
    this.socket.addEventListener('message', ({ data }) => this.received.push(v.parse(frame, data)));
    this.socket.addEventListener('close', ({ code, reason }) => {
      this.closed = { code, reason };
    });
  }

  send(message: unknown): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  async greet(): Promise<this> {
    await this.opened;
    this.send({ type: 'connection_init' });
    await until(() => this.received.length === 1, 'the greeting is answered');
    expect(this.received.splice(0)).toEqual([{ type: 'connection_ack' }]);
    return this;
  }

  async receive(count: number): Promise<Frame[]> {
    await until(() => this.received.length >= count, `${count} messages have come`);
    return this.received.splice(0);
  }

  closing(): Promise<{ code: number; reason: string }> {
    return until(() => this.closed, 'it is closed');
  }
}

const subscribe = (id: string, query: string) => ({ type: 'subscribe', id, payload: { query } });

describe('a WebSocket', () => {
  test('carries subscriptions and queries, several at once', async () => {
    const client = await new Client('/admin/gql/strawberry').greet();
    expect(client.socket.protocol).toBe('graphql-transport-ws');
    client.send(subscribe('a', 'subscription { count(to: 2) { value } }'));
    client.send(subscribe('b', '{ hello }'));
    const messages = await client.receive(5);
    expect(messages.filter(({ id }) => id === 'a')).toEqual([
      { type: 'next', id: 'a', payload: { data: { count: { value: 1 } } } },
      { type: 'next', id: 'a', payload: { data: { count: { value: 2 } } } },
      { type: 'complete', id: 'a' },
    ]);
    expect(messages.filter(({ id }) => id === 'b')).toEqual([
      { type: 'next', id: 'b', payload: { data: { hello: 'world' } } },
      { type: 'complete', id: 'b' },
    ]);
    // The id is free again.
    client.send(subscribe('b', '{ hello }'));
    expect(await client.receive(2)).toHaveLength(2);
    client.socket.close();
  });

  test('answers pings and skips what it does not understand', async () => {
    const client = await new Client().greet();
    client.send('nonsense');
    client.send({ type: 'unknown' });
    client.send({ type: 'subscribe', id: 'x' });
    client.send({ type: 'ping' });
    expect(await client.receive(1)).toEqual([{ type: 'pong' }]);
    client.socket.close();
  });

  test('tells of refused documents as errors', async () => {
    const client = await new Client().greet();
    client.send(subscribe('a', '{ nothing }'));
    const [refusal] = await client.receive(1);
    expect(refusal).toMatchObject({
      type: 'error',
      id: 'a',
      payload: [{ message: expect.stringContaining('nothing') }],
    });
    client.send(subscribe('b', 'subscription { refused { value } }'));
    expect((await client.receive(2))[0]).toMatchObject({
      type: 'next',
      payload: { errors: [{ extensions: { code: 'backendai_generic_forbidden' } }] },
    });
    client.socket.close();
  });

  test('ends an operation on complete and all of them when the client leaves', async () => {
    const client = await new Client().greet();
    client.send(subscribe('a', 'subscription { endless { value } }'));
    client.send(subscribe('b', 'subscription { endless { value } }'));
    await client.receive(2);
    expect(endless).toBe(2);
    client.send({ type: 'complete', id: 'a' });
    await until(() => endless === 1, 'one has ended');
    client.socket.close();
    await until(() => endless === 0, 'both have ended');
  });

  test('closes with 4409 on an id in use, and with 4429 on too many operations', async () => {
    const twice = await new Client().greet();
    for (let i = 0; i < 2; i += 1) twice.send(subscribe('a', 'subscription { endless { value } }'));
    expect(await twice.closing()).toEqual({ code: 4409, reason: 'Subscriber already exists' });
    const many = await new Client().greet();
    for (let i = 0; i < 101; i += 1) {
      many.send(subscribe(`${i}`, 'subscription { endless { value } }'));
    }
    expect((await many.closing()).code).toBe(4429);
    await until(() => endless === 0, 'all have ended');
  });

  test('closes with 4408 on silence and on another first message', async () => {
    const timeout = { code: 4408, reason: 'Connection initialisation timeout' };
    const hasty = new Client();
    await hasty.opened;
    hasty.send(subscribe('a', '{ hello }'));
    expect(await hasty.closing()).toEqual(timeout);
    const silent = new Client();
    await silent.opened;
    silence.resolve();
    expect(await silent.closing()).toEqual(timeout);
    silence = Promise.withResolvers<void>();
  });

  test('needs the sub-protocol and an account', async () => {
    const upgrade = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    };
    const url = `${server.url}/admin/gql`;
    const anonymous = await fetch(url, {
      headers: { ...upgrade, 'Sec-WebSocket-Protocol': 'graphql-transport-ws' },
    });
    expect(anonymous.status).toBe(401);
    const other = await fetch(url, {
      headers: {
        ...upgrade,
        ...signed('/admin/gql', 'GET'),
        'Sec-WebSocket-Protocol': 'graphql-ws',
      },
    });
    expect(other.status).toBe(400);
    expect(await other.text()).toContain('graphql-transport-ws');
  });
});
