/** Requests written byte by byte: what ordinary clients can't be made to send. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { connect } from 'node:net';
import * as v from 'valibot';
import { signedHeaders, type TestServer, testManagerServer } from '../../testing/manager.ts';
import { route } from './declare.ts';

let server: TestServer;
beforeAll(async () => {
  server = await testManagerServer({
    routes: [
      route(
        {
          ...{ method: 'GET', path: '/echo/:name', gate: 'any', auth: 'user', summary: 'Echo.' },
          takes: {
            params: v.object({ name: v.string() }),
            query: v.record(v.string(), v.string()),
          },
        },
        async (_, { params, query }) => ({ json: { name: params.name, query } }),
      ),
      route(
        {
          ...{ method: 'DELETE', path: '/echo/:name', gate: 'any', auth: 'user' },
          ...{ summary: 'Echo.', takes: {} },
        },
        async ({ request }) => ({ json: { method: request.method } }),
      ),
    ],
  });
});
afterAll(() => server.close());

/** Sends bytes and reads until the server closes. */
function exchange(text: string): Promise<{ status: number; body: string }> {
  const { port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1', () =>
      socket.write(Buffer.from(text, 'utf8')),
    );
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(Buffer.from(chunk)));
    socket.on('error', reject);
    socket.on('close', () => {
      const answer = Buffer.concat(chunks).toString('utf8');
      const [head = '', ...rest] = answer.split('\r\n\r\n');
      resolve({ status: Number(head.split(' ')[1]), body: rest.join('\r\n\r\n') });
    });
  });
}

function send(
  target: string,
  options: { host?: string; method?: string; extra?: string; body?: string } = {},
) {
  const { host = '127.0.0.1:8091', method = 'GET', extra = '', body = '' } = options;
  const signed = signedHeaders(server.accounts.user, { target, host, method });
  const headers = Object.entries(signed).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = body === '' ? '' : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
  return exchange(
    `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n` +
      `${headers.join('')}${extra}${length}\r\n${body}`,
  );
}

describe('the signature covers the target as written', () => {
  test.each([
    '/echo/a',
    '/echo/a?x=1',
    '/echo/a?',
    '/echo/a%20b?x=%20',
    '/echo/a%2Fb',
    '/echo/a%2fb',
    '/echo/%e4%bd%a0',
    '/echo/%E4%BD%A0?q=%e4%bd%a0',
    '/echo/\u4f60\u597d?q=\u4f60',
    '/echo/a|b?x=a|b',
    '/echo/a"b?x="y"',
    "/echo/it's?x='y'",
    "/echo/a?x='%27'",
    '/echo/a?x=%27y%27',
    '/echo/a?x=[1]{2}',
    '/echo/a{b}[c]',
    '/echo/a%7Bb%7D?x=%22y%22',
    '/echo/a^b`c?x=<1>',
    "/echo/~a!$&'()*+,;=:@",
    '/echo/a+b?x=a+b&x=c%2Bd',
    '/echo/a;b=c?d=%zz',
    '/echo/a?x=a"b<c>d\'e',
  ])('%s', async (target) => {
    const { status, body } = await send(target);
    expect(body).toStartWith('{"name":');
    expect(status).toBe(200);
  });

  test('but not another target that needs other decoding', async () => {
    const { status } = await exchange(
      `GET /echo/b HTTP/1.1\r\nHost: 127.0.0.1:8091\r\nConnection: close\r\n${Object.entries(
        signedHeaders(server.accounts.user, { target: '/echo/a', host: '127.0.0.1:8091' }),
      )
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join('')}\r\n`,
    );
    expect(status).toBe(401);
  });

  test('with short and unusual host names', async () => {
    for (const host of ['m', 'mgr', 'h:1', 'localhost', '[::1]:8091', 'Mixed.Example:80']) {
      expect([host, (await send('/echo/a', { host })).status]).toEqual([host, 200]);
    }
  });
});

describe('routing', () => {
  test('path parameters that are not UTF-8 are 400', async () => {
    expect((await send('/echo/%ff')).status).toBe(400);
  });

  test('a method override routes, and the signature covers the original method', async () => {
    const { status, body } = await send('/echo/a', { extra: 'X-Method-Override: DELETE\r\n' });
    expect(status).toBe(200);
    expect(JSON.parse(body)).toEqual({ method: 'DELETE' });
  });

  test('a GET with a body takes what its query does not say from there', async () => {
    const body = '{"a": 1, "b": true, "c": "x", "d": null}';
    const given = await send('/echo/a?c=y', { body });
    expect(JSON.parse(given.body)).toEqual({ name: 'a', query: { a: '1', b: 'true', c: 'y' } });
    const overridden = await send('/echo/a', {
      method: 'POST',
      extra: 'X-Method-Override: GET\r\n',
      body,
    });
    expect(JSON.parse(overridden.body).query).toEqual({ a: '1', b: 'true', c: 'x' });
    expect((await send('/echo/a', { body: '{' })).status).toBe(400);
    expect((await send('/echo/a', { body: '[1]' })).status).toBe(400);
  });

  test('a body on DELETE is tolerated', async () => {
    const body = '{"a": 1}';
    expect((await send('/echo/a', { method: 'DELETE', body })).status).toBe(200);
  });

  test('a request without a host is refused', async () => {
    expect((await exchange('GET / HTTP/1.1\r\nConnection: close\r\n\r\n')).status).toBe(400);
  });

  test('a trailing slash is another path', async () => {
    expect((await send('/echo/a/')).status).toBe(404);
  });
});
