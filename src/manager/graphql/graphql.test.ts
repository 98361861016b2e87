/** GraphQL over HTTP: envelopes, errors, limits, and the keypair and image fields. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import {
  signedHeaders,
  signingClient,
  type TestAccount,
  type TestServer,
  testManagerServer,
} from '../../testing/manager.ts';
import { imageGraphql } from '../image/graphql.ts';
import { keypairGraphql } from '../keypair/graphql.ts';
import type { GraphqlContext } from './context.ts';
import { createGraphqlEngine, type GraphqlEngine } from './engine.ts';
import type { SchemaPart } from './module.ts';
import { graphqlRoutes } from './rest.ts';

/** Each context that a `caller` field was given. */
const contexts: GraphqlContext[] = [];

const probe: SchemaPart = {
  typeDefs: /* GraphQL */ `
    type Query {
      known_failure: String
      unknown_failure: String
      scalars(json: JSONString, big: BigInt, id: UUID, at: DateTime, any: JSON): Scalars
      nested: Nested
      unserializable: JSON
      wished(wish: Wish): String
      paged(first: Int): Paged
      caller: String
    }
    type Scalars {
      json: JSONString
      big: BigInt
      id: UUID
      at: DateTime
      any: JSON
      kind: String
    }
    input Wish {
      also: Wish
    }
    type Paged {
      paged(first: Int): Paged
      name: String
    }
    type Nested {
      nested: Nested
      name: String
    }
  `,
  resolvers: {
    Query: {
      known_failure: () => {
        throw new BackendError('GenericForbidden', 'Not yours.');
      },
      unknown_failure: async () => {
        throw new Error('secret detail');
      },
      scalars: (_parent, args) => ({ ...args, kind: typeof args.json }),
      nested: () => ({ nested: { nested: { name: 'deep' } } }),
      unserializable: () => 1n,
      paged: () => ({ paged: { name: 'deep' } }),
      caller: (_parent, _args, context) => {
        contexts.push(context);
        return context.caller.accessKey;
      },
    },
  },
};

let server: TestServer;
let engine: GraphqlEngine;
beforeAll(async () => {
  server = await testManagerServer({
    routes: async (ctx) => {
      engine = await createGraphqlEngine(ctx, [keypairGraphql, imageGraphql, probe]);
      return graphqlRoutes(ctx, engine);
    },
  });
});
afterAll(async () => {
  await engine.close();
  await server.close();
});

const envelope = v.strictObject({
  data: v.nullable(v.record(v.string(), v.unknown())),
  errors: v.nullable(
    v.array(
      v.looseObject({
        message: v.string(),
        path: v.optional(v.array(v.union([v.string(), v.number()]))),
        extensions: v.object({ code: v.string() }),
      }),
    ),
  ),
});

/** Sends a body as it is. */
async function sendRaw(body: string): Promise<{ status: number; text: string }> {
  const target = '/admin/gql';
  const { host } = new URL(server.url);
  const contentType = 'application/json';
  const headers = signedHeaders(server.accounts.user, {
    method: 'POST',
    target,
    host,
    contentType,
  });
  const response = await fetch(`${server.url}${target}`, { method: 'POST', headers, body });
  return { status: response.status, text: await response.text() };
}

async function ask(query: string, variables?: unknown, account?: TestAccount) {
  const client = signingClient(server.url, account ?? server.accounts.user);
  const response = await client('POST', '/admin/gql', { query, variables });
  expect(response.status).toBe(200);
  return v.parse(envelope, await response.json());
}

describe('the envelope', () => {
  test('always has both keys', async () => {
    expect(await ask('{ nested { nested { __typename } } }')).toEqual({
      data: { nested: { nested: { __typename: 'Nested' } } },
      errors: null,
    });
  });

  test('an anonymous request is 401', async () => {
    const body = JSON.stringify({ query: '{ __typename }' });
    const response = await fetch(`${server.url}/admin/gql`, { method: 'POST', body });
    expect(response.status).toBe(401);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
  });

  test('a body without a query is 400', async () => {
    const client = signingClient(server.url, server.accounts.user);
    expect((await client('POST', '/admin/gql', { variables: {} })).status).toBe(400);
  });

  test('a document that cannot be parsed or is invalid is 200 with errors', async () => {
    for (const query of [
      '{',
      '{ nothing_like_this }',
      'query A { nested { name } } query B { nested { name } }',
    ]) {
      const { data, errors } = await ask(query);
      expect(data).toBeNull();
      expect(errors?.[0]?.extensions.code).toBe('api_parsing_invalid-parameters');
    }
  });

  test('the operation is chosen under either name of the parameter', async () => {
    const query = 'query A { a: nested { name } } query B { b: nested { name } }';
    const client = signingClient(server.url, server.accounts.user);
    for (const key of ['operationName', 'operation_name']) {
      const response = await client('POST', '/admin/gql', { query, [key]: 'B' });
      expect(await response.json()).toEqual({ data: { b: { name: null } }, errors: null });
    }
  });

  test('/admin/graphql serves bare data, and 400 with the errors', async () => {
    const client = signingClient(server.url, server.accounts.user);
    const good = await client('POST', '/admin/graphql', { query: '{ nested { name } }' });
    expect(await good.json()).toEqual({
      nested: { name: null },
      data: { nested: { name: null } },
      errors: null,
    });
    const bad = await client('POST', '/admin/graphql', { query: '{ known_failure }' });
    expect(bad.status).toBe(400);
    expect(await bad.json()).toMatchObject({
      type: 'https://api.backend.ai/probs/graphql-error',
      title: 'GraphQL-generated error.',
      data: [{ path: ['known_failure'] }],
    });
  });
});

describe('the context', () => {
  test('is one object per request, with its caller', async () => {
    const { user, admin } = server.accounts;
    const [first, second] = await Promise.all([
      ask('{ a: caller b: caller }', undefined, user),
      ask('{ a: caller }', undefined, admin),
    ]);
    expect(first.data).toEqual({ a: user.accessKey, b: user.accessKey });
    expect(second.data).toEqual({ a: admin.accessKey });
    expect(contexts).toHaveLength(3);
    expect(new Set(contexts).size).toBe(2);
  });

  test('cannot be had around authentication', async () => {
    const url = `${server.url}/graphql`;
    expect((await fetch(`${url}?query=%7Bcaller%7D`)).status).toBe(404);
    const headers = { 'Content-Type': 'application/json' };
    const body = JSON.stringify({ query: '{ caller }' });
    expect((await fetch(url, { method: 'POST', headers, body })).status).toBe(404);
  });
});

describe('errors', () => {
  test('of resolvers have title, message, code and path, and null only their own field', async () => {
    const { data, errors } = await ask('{ known_failure nested { name } }');
    expect(data).toEqual({ known_failure: null, nested: { name: null } });
    expect(errors).toMatchObject([
      {
        message: 'Forbidden operation. (Not yours.)',
        path: ['known_failure'],
        extensions: { code: 'backendai_generic_forbidden' },
      },
    ]);
  });

  test('that nobody expected are hidden', async () => {
    const { errors } = await ask('{ unknown_failure }');
    expect(JSON.stringify(errors)).not.toContain('secret detail');
    expect(errors?.[0]?.extensions.code).toBe('backendai_generic_internal-error');
    const unserializable = await ask('{ unserializable }');
    expect(unserializable.data).toBeNull();
    expect(unserializable.errors?.[0]?.extensions.code).toBe('backendai_generic_internal-error');
  });
});

describe('scalars', () => {
  const query = `query ($json: JSONString, $big: BigInt, $id: UUID, $at: DateTime, $any: JSON) {
    scalars(json: $json, big: $big, id: $id, at: $at, any: $any) { json big id at any kind }
  }`;

  test('have their wire formats', async () => {
    const { data, errors } = await ask(query, {
      json: '{"a":1}',
      big: '9007199254740991',
      id: 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11',
      at: '2025-01-02T03:04:05.678+09:00',
      any: { b: [null, true] },
    });
    expect(errors).toBeNull();
    expect(data?.scalars).toEqual({
      json: '{"a":1}',
      big: 9007199254740991,
      id: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
      at: '2025-01-01T18:04:05.678000+00:00',
      any: { b: [null, true] },
      kind: 'object',
    });
  });

  test.each([
    ['json', '{'],
    ['big', '9007199254740993'],
    ['big', 1.5],
    ['id', 'x'],
    ['at', 'soon'],
  ])('%s refuses %p', async (name, value) => {
    const { data, errors } = await ask(query, { [name]: value });
    expect(data).toBeNull();
    expect(errors).toHaveLength(1);
  });

  test('an empty id names nothing', async () => {
    const { data, errors } = await ask(query, { id: '' });
    expect(errors).toBeNull();
    expect(data?.scalars).toMatchObject({ id: '00000000-0000-0000-0000-000000000000' });
  });

  test('literals in documents', async () => {
    const { data, errors } = await ask('{ scalars(big: 12, any: {a: [1, "x", Y]}) { big any } }');
    expect(errors).toBeNull();
    expect(data?.scalars).toEqual({ big: 12, any: { a: [1, 'x', 'Y'] } });
  });
});

describe('limits', () => {
  test('a page size that is no number is refused as such', async () => {
    const query = 'query Q($n: Int) { paged(first: $n) { __typename } }';
    const { data, errors } = await ask(query, { n: { toString: 'x' } });
    expect(data).toBeNull();
    expect(errors?.[0]?.message).toContain('$n');
  });

  test('a document that would exhaust the stack is refused, brackets in texts do not count', async () => {
    const deep = `{ nested ${'{ nested '.repeat(5000)}${'}'.repeat(5000)} }`;
    const { data, errors } = await ask(deep);
    expect(data).toBeNull();
    expect(errors?.[0]?.message).toBe('The document is nested more than 200 levels deep.');
    const text = await ask(`{ nested { name } a: __type(name: "${'('.repeat(500)}") { name } }`);
    expect(text.errors?.[0]?.message).not.toContain('nested');
  });

  /** Repeats until the change of the setting has arrived. */
  async function until<T>(read: () => Promise<T>, holds: (value: T) => boolean): Promise<T> {
    const deadline = Date.now() + 10_000;
    for (;;) {
      const value = await read();
      if (holds(value)) return value;
      if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(value)}`);
      await Bun.sleep(5);
    }
  }

  test('introspection is off unless the configuration allows it', async () => {
    const query = '{ __schema { queryType { name } } }';
    const { errors } = await ask(query);
    expect(errors?.[0]?.message).toBe("Cannot query '__schema': introspection is disabled.");
    const key = 'config/api/allow-graphql-schema-introspection';
    await server.ctx.config.put(key, 'true');
    await until(
      () => ask(query),
      ({ data }) => data !== null,
    );
    await server.ctx.config.delete(key);
    await until(
      () => ask(query),
      ({ data }) => data === null,
    );
  });

  test('depth is limited when configured, through fragments too', async () => {
    const key = 'config/api/max-gql-query-depth';
    const deep = '{ nested { ...N } } fragment N on Nested { nested { name } }';
    expect((await ask(deep)).errors).toBeNull();
    await server.ctx.config.put(key, '2');
    const { errors } = await until(
      () => ask(deep),
      ({ data }) => data === null,
    );
    expect(errors?.[0]?.message).toContain('more than 2 levels');
    expect((await ask('{ nested { name } }')).errors).toBeNull();
    const cyclic = '{ nested { ...N } } fragment N on Nested { nested { ...N } }';
    expect((await ask(cyclic)).data).toBeNull();
    await server.ctx.config.delete(key);
    await until(
      () => ask(deep),
      ({ data }) => data !== null,
    );
  });

  test('cost is limited: root fields, pages within pages, through fragments and variables', async () => {
    const aliases = Array.from({ length: 1500 }, (_, i) => `a${i}: nested { name }`).join(' ');
    const refused = await ask(`{ ${aliases} }`);
    expect(refused.data).toBeNull();
    expect(refused.errors?.[0]?.message).toContain('asks for too much at once');
    const key = 'config/api/max-gql-query-cost';
    await server.ctx.config.put(key, '2000');
    const paged =
      'query ($first: Int = 1) { paged(first: $first) { ...P } } fragment P on Paged { paged(first: 50) { name } }';
    await until(
      () => ask(paged, { first: 40 }),
      ({ data }) => data === null,
    );
    expect((await ask(paged)).errors).toBeNull();
    expect((await ask(paged, { first: 20 })).errors).toBeNull();
    expect((await ask(paged.replace('= 1', '= 40'))).data).toBeNull();
    const bomb = `{ nested { ...F0 } } ${Array.from(
      { length: 60 },
      (_, i) =>
        `fragment F${i} on Nested { a: nested { ...F${i + 1} } b: nested { ...F${i + 1} } }`,
    ).join(' ')} fragment F60 on Nested { name }`;
    expect((await ask(bomb)).errors?.[0]?.message).toContain('asks for too much at once');
    await server.ctx.config.delete(key);
    await until(
      () => ask(paged, { first: 40 }),
      ({ data }) => data !== null,
    );
  });

  test('variables nested without end are refused', async () => {
    const query =
      'query ($any: JSON, $wish: Wish) { scalars(any: $any) { any } wished(wish: $wish) }';
    for (const depth of [200, 5_000, 200_000]) {
      const deep = `${'['.repeat(depth)}${']'.repeat(depth)}`;
      const wish = `${'{"also":'.repeat(depth)}null${'}'.repeat(depth)}`;
      for (const variables of [`{"any":${deep}}`, `{"wish":${wish}}`]) {
        const { status, text } = await sendRaw(
          `{"query":${JSON.stringify(query)},"variables":${variables}}`,
        );
        expect([200, 400]).toContain(status);
        expect(text).not.toContain('stack');
      }
    }
  });

  test('documents are bounded', async () => {
    expect((await ask(`{ ${'a: nested { name } '.repeat(10_000)} }`)).data).toBeNull();
    expect((await ask(`{ nested { name } } #${'x'.repeat(300_000)}`)).data).toBeNull();
  });
});

describe('keypairs', () => {
  const fields = '{ user_id access_key secret_key is_active is_admin }';

  test("what the CLI's ps asks first", async () => {
    const { user } = server.accounts;
    const { data } = await ask(`query { keypair ${fields} }`);
    expect(data?.keypair).toEqual({
      user_id: user.email,
      access_key: user.accessKey,
      secret_key: user.secretKey,
      is_active: true,
      is_admin: false,
    });
  });

  test('all fields', async () => {
    const { data, errors } =
      await ask(`{ keypair { id full_name resource_policy created_at last_used
      rate_limit num_queries rolling_count user projects ssh_public_key user_info { email } } }`);
    expect(errors).toBeNull();
    expect(data?.keypair).toMatchObject({
      id: server.accounts.user.accessKey,
      resource_policy: 'default',
      rate_limit: 10000,
      user: server.accounts.user.userId,
      projects: [],
      user_info: { email: server.accounts.user.email },
    });
    const { rolling_count } = v.parse(v.object({ rolling_count: v.number() }), data?.keypair);
    expect(rolling_count).toBeGreaterThan(0);
  });

  const queryOf = (key: string) => `{ keypair(access_key: "${key}") { access_key } }`;
  test('users may not name another key, admins may within their domain', async () => {
    const { user, admin, superadmin } = server.accounts;
    const refused = await ask(queryOf(admin.accessKey), undefined, user);
    expect(refused.errors?.[0]?.extensions.code).toBe('backendai_generic_forbidden');
    const seen = await ask(queryOf(user.accessKey), undefined, admin);
    expect(seen.data?.keypair).toEqual({ access_key: user.accessKey });
    const elsewhere = await ask('{ keypair(domain_name: "other") { id } }', undefined, admin);
    expect(elsewhere.errors?.[0]?.extensions.code).toBe('backendai_generic_forbidden');
    const none = await ask(queryOf('AKIANOBODY'), undefined, superadmin);
    expect(none).toEqual({ data: { keypair: null }, errors: null });
  });

  test('the list shows superadmins all and users their own', async () => {
    const { user, superadmin } = server.accounts;
    const list = async (account: TestAccount) => {
      const { data } = await ask(
        '{ keypairs(is_active: true) { access_key } }',
        undefined,
        account,
      );
      return v.parse(v.array(v.object({ access_key: v.string() })), data?.keypairs);
    };
    expect(await list(user)).toEqual([{ access_key: user.accessKey }]);
    expect(await list(superadmin)).toHaveLength(3);
  });
});
