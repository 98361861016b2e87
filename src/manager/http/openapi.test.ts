/** The OpenAPI document: complete, true to the schemas that parse, and shown only when allowed. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { signingClient, type TestServer, testManagerServer } from '../../testing/manager.ts';
import { describeApi } from '../main.ts';
import { publicRoute, route } from './declare.ts';
import { openApiDocument } from './openapi.ts';
import { aliased, lenientBoolean } from './parameters.ts';

const jobs = route(
  {
    method: 'POST',
    path: '/jobs/:job_id/runs',
    gate: 'all',
    auth: 'admin',
    summary: 'Run a job.',
    takes: {
      params: v.object({ job_id: v.pipe(v.string(), v.uuid()) }),
      query: aliased({ dry_run: ['dryRun'] }, v.object({ dry_run: v.optional(lenientBoolean) })),
      body: v.intersect([
        aliased({ group: ['groupId'] }, v.object({ group: v.pipe(v.string(), v.maxLength(64)) })),
        v.object({ count: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1)), 1) }),
      ]),
    },
  },
  async () => undefined,
);
const files = publicRoute(
  {
    method: 'POST',
    path: '/files',
    gate: 'any',
    summary: 'Get files.',
    takes: { fields: v.object({ names: v.array(v.string()) }) },
    repeats: ['names'],
  },
  async () => undefined,
);
const hidden = publicRoute(
  { method: 'POST', path: '/inside', gate: 'any', summary: 'Hidden.', takes: {}, internal: true },
  async () => undefined,
);

describe('the document of declared operations', () => {
  const { paths } = openApiDocument([jobs, files, hidden], []);

  test('names path, query and body, under all their names', () => {
    expect(paths['/jobs/{job_id}/runs']?.post).toMatchObject({
      operationId: 'post_jobs_job_id_runs',
      summary: 'Run a job.',
      parameters: [
        { name: 'job_id', in: 'path', required: true, schema: { type: 'string', format: 'uuid' } },
        { name: 'dry_run', in: 'query', required: false },
        { name: 'dryRun', in: 'query', required: false, description: 'The same as dry_run.' },
      ],
      requestBody: {
        required: true,
        content: {
          'application/json': {
            schema: {
              type: 'object',
              properties: {
                group: { type: 'string', maxLength: 64 },
                groupId: { type: 'string', maxLength: 64 },
                count: { anyOf: [{ type: 'integer', minimum: 1 }, { type: 'null' }], default: 1 },
              },
              required: [],
              allOf: [{ anyOf: [{ required: ['group'] }, { required: ['groupId'] }] }],
            },
          },
        },
      },
      security: [{ signature: [] }],
      'x-role': 'admin',
      'x-gate': 'all',
    });
  });

  test('puts fields that come in either place in both', () => {
    expect(paths['/files']?.post).toMatchObject({
      parameters: [{ name: 'names', in: 'query', required: false, schema: { type: 'array' } }],
      requestBody: {
        required: false,
        content: { 'application/json': { schema: { required: ['names'] } } },
      },
      security: [],
    });
  });

  test('leaves internal operations out', () => {
    expect(Object.keys(paths)).toEqual(['/files', '/jobs/{job_id}/runs']);
  });
});

describe('the operations of the product', () => {
  const operations = Object.entries(describeApi().paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );

  test('each has a summary of one sentence', () => {
    const without = operations
      .filter(({ operation }) => !/^[A-Z'].{5,90}\.$/.test(operation.summary))
      .map(({ method, path }) => `${method} ${path}`);
    expect(without, 'write one line into `summary` of these routes').toEqual([]);
  });

  test('ids are distinct', () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('each path parameter is declared, or its handler could not read it', () => {
    const undeclared = operations
      .filter(({ path, operation }) => {
        const named = operation.parameters
          .filter((one) => one.in === 'path')
          .map((one) => one.name);
        return (path.match(/{/g) ?? []).length !== named.length;
      })
      .map(({ path }) => path);
    expect(undeclared).toEqual([]);
  });

  test('a query or body of known fields is described by them', () => {
    const opaque = operations
      .filter(({ operation }) => {
        const body = operation.requestBody?.content['application/json']?.schema;
        return body !== undefined && !('properties' in body);
      })
      .map(({ method, path }) => `${method} ${path}`);
    expect(opaque, 'use v.object(), aliased() and v.intersect() for the inputs of these').toEqual(
      [],
    );
  });
});

describe('/spec/openapi', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await testManagerServer({ routes: [jobs, hidden] });
  });
  afterAll(() => server.close());
  const get = (target: string) => signingClient(server.url, server.accounts.user)('GET', target);

  test('is refused unless the configuration allows it', async () => {
    for (const target of ['/spec/openapi', '/spec/openapi/spec.json']) {
      const response = await get(target);
      expect(response.status).toBe(403);
      expect(await response.text()).toContain('allow-openapi-schema-introspection');
    }
  });

  test('then shows the operations of this server as a page and for programs', async () => {
    await server.ctx.config.put('config/api/allow-openapi-schema-introspection', 'yes');
    const page = await get('/spec/openapi');
    expect(page.headers.get('content-type')).toStartWith('text/html');
    expect(await page.text()).toContain('<td>POST /jobs/{job_id}/runs</td>');
    const document = v.parse(
      v.object({ openapi: v.string(), paths: v.record(v.string(), v.unknown()) }),
      await (await get('/spec/openapi/spec.json')).json(),
    );
    expect(document.openapi).toBe('3.1.0');
    expect(Object.keys(document.paths)).toContain('/jobs/{job_id}/runs');
    expect(Object.keys(document.paths)).toContain('/spec/openapi');
    expect(Object.keys(document.paths)).not.toContain('/inside');
  });
});
