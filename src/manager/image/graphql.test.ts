/** The image fields: what is listed to whom, and how tags and labels read. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import {
  signingClient,
  type TestAccount,
  type TestServer,
  testManagerServer,
} from '../../testing/manager.ts';
import { createGraphqlEngine, type GraphqlEngine } from '../graphql/engine.ts';
import { graphqlRoutes } from '../graphql/rest.ts';
import { imageGraphql, isListed, parseTag } from './graphql.ts';

describe('parseTag', () => {
  test.each([
    ['3.11', '3.11', []],
    ['3.11-ubuntu22.04', '3.11', [{ key: 'ubuntu', value: '22.04' }]],
    [
      '2.1-py39-cuda12.1',
      '2.1',
      [
        { key: 'py', value: '39' },
        { key: 'cuda', value: '12.1' },
      ],
    ],
    ['latest', 'latest', []],
    ['1-20240101', '1', [{ key: '20240101', value: '' }]],
  ])('%s', (tag, version, tags) => {
    expect(parseTag(tag)).toEqual({ version, tags });
  });
});

describe('isListed', () => {
  const mine = { userId: 'me', isSuperadmin: false };
  const own = { 'ai.backend.customized-image.owner': 'user:me' };
  const others = { 'ai.backend.customized-image.owner': 'user:you' };
  const operation = { 'ai.backend.features': 'query operation' };
  test.each([
    ['a plain image', {}, 'general', true],
    ['a plain image', {}, 'operational', false],
    ['an operational image', operation, 'general', false],
    ['an operational image', operation, 'operational', true],
    ['my own image', own, 'customized', true],
    ['my own image', own, 'general', false],
    ["somebody else's image", others, 'customized', false],
    ["somebody else's image", others, 'customized-global', false],
  ] as const)('%s %p under %s: %p', (_name, labels, filter, expected) => {
    expect(isListed(labels, new Set([filter]), mine)).toBe(expected);
  });

  test('superadmins see all customised images when they ask for them', () => {
    const viewer = { userId: 'root', isSuperadmin: true };
    expect(isListed(others, new Set(['customized-global'] as const), viewer)).toBe(true);
  });
});

describe('image and images', () => {
  let server: TestServer;
  let engine: GraphqlEngine;
  const ids = { allowed: crypto.randomUUID(), elsewhere: crypto.randomUUID() };

  beforeAll(async () => {
    server = await testManagerServer({
      routes: async (ctx) => {
        engine = await createGraphqlEngine(ctx, [imageGraphql]);
        return graphqlRoutes(ctx, engine);
      },
    });
    const { sql } = server.db;
    const add = async (id: string, registry: string) => {
      const registryId = crypto.randomUUID();
      await sql`INSERT INTO container_registries (id, url, registry_name, type)
        VALUES (${registryId}, ${`https://${registry}`}, ${registry}, 'docker')`;
      await sql`INSERT INTO images (id, name, project, image, tag, registry, registry_id,
          architecture, config_digest, size_bytes, type, labels, resources)
        VALUES (${id}, ${`${registry}/stable/python:3.11-ubuntu22.04`}, 'stable', 'stable/python',
          '3.11-ubuntu22.04', ${registry}, ${registryId}, 'x86_64', 'sha256:abc', 5000000000,
          'COMPUTE', '{"ai.backend.role":"COMPUTE"}', '{"cpu":{"min":"1","max":null}}')`;
    };
    await add(ids.allowed, 'local');
    await add(ids.elsewhere, 'elsewhere.example');
    await sql`INSERT INTO image_aliases (alias, image) VALUES ('python', ${ids.allowed})`;
  });
  afterAll(async () => {
    await engine.close();
    await server.close();
  });

  async function ask(query: string, account: TestAccount = server.accounts.user) {
    const response = await signingClient(server.url, account)('POST', '/admin/gql', { query });
    return v.parse(
      v.object({
        data: v.nullable(v.record(v.string(), v.unknown())),
        errors: v.nullable(v.array(v.object({ message: v.string() }))),
      }),
      await response.json(),
    );
  }

  const list = '{ images { id } }';
  test('users see images of registries that their domain allows, superadmins all', async () => {
    expect((await ask(list)).data?.images).toEqual([{ id: ids.allowed }]);
    const all = await ask(list, server.accounts.superadmin);
    expect(all.data?.images).toHaveLength(2);
  });

  test('all fields of one image, by alias', async () => {
    const { data, errors } = await ask(`{ image(reference: "python") { id name namespace
      base_image_name project humanized_name tag tags { key value } version registry architecture
      is_local digest labels { key value } aliases size_bytes status
      resource_limits { key min max } supported_accelerators hash } }`);
    expect(errors).toBeNull();
    expect(data?.image).toEqual({
      id: ids.allowed,
      name: 'stable/python',
      namespace: 'stable/python',
      base_image_name: 'python',
      project: 'stable',
      humanized_name: 'stable/python',
      tag: '3.11-ubuntu22.04',
      tags: [{ key: 'ubuntu', value: '22.04' }],
      version: '3.11',
      registry: 'local',
      architecture: 'x86_64',
      is_local: false,
      digest: 'sha256:abc',
      labels: [{ key: 'ai.backend.role', value: 'COMPUTE' }],
      aliases: ['python'],
      size_bytes: 5000000000,
      status: 'ALIVE',
      resource_limits: [{ key: 'cpu', min: '1', max: 'Infinity' }],
      supported_accelerators: ['*'],
      hash: 'sha256:abc',
    });
  });

  test('an image of another registry is not found by id', async () => {
    const query = `{ image(id: "${ids.elsewhere}") { id } }`;
    expect((await ask(query)).errors?.[0]?.message).toContain('No such environment image.');
    const seen = await ask(query, server.accounts.superadmin);
    expect(seen.data?.image).toEqual({ id: ids.elsewhere });
  });

  test('statuses and filters', async () => {
    expect((await ask('{ images(filter_by_statuses: [DELETED]) { id } }')).data?.images).toEqual(
      [],
    );
    expect((await ask('{ images(is_operation: true) { id } }')).data?.images).toEqual([]);
    const unknown = await ask('{ images(load_filters: ["odd"]) { id } }');
    expect(unknown.errors?.[0]?.message).toContain("'odd'");
  });
});
