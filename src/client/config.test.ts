/** Settings from the environment and from `.env` files. */
import { afterAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  ConfigError,
  DEFAULT_ENDPOINT,
  effectiveEnvironment,
  isConfigured,
  parseDotEnv,
  readClientConfig,
} from './config.ts';

const folder = mkdtempSync(join(tmpdir(), 'client-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('defaults', () => {
  expect(isConfigured({})).toBe(false);
  expect(readClientConfig({})).toEqual({
    endpointType: 'api',
    endpoints: [DEFAULT_ENDPOINT],
    accessKey: '',
    secretKey: '',
    domain: 'default',
    group: 'default',
    skipSslCertValidation: false,
    connectionTimeoutMs: 10_000,
    readTimeoutMs: null,
  });
});

test('BACKEND_ wins over SORNA_, which still counts', () => {
  const env = {
    BACKEND_ENDPOINT: 'http://a:1/, https://b',
    SORNA_ENDPOINT: 'http://c',
    SORNA_ACCESS_KEY: 'AK',
    BACKEND_READ_TIMEOUT: '2.5',
    BACKEND_SKIP_SSLCERT_VALIDATION: 'Yes',
  };
  expect(isConfigured(env)).toBe(true);
  const config = readClientConfig(env);
  expect(config.endpoints).toEqual(['http://a:1', 'https://b']);
  expect(config.accessKey).toBe('AK');
  expect(config.readTimeoutMs).toBe(2500);
  expect(config.skipSslCertValidation).toBe(true);
});

test.each([
  [{ BACKEND_ENDPOINT: 'localhost:8081' }, 'BACKEND_ENDPOINT'],
  [{ BACKEND_ENDPOINT: '127.0.0.1' }, 'BACKEND_ENDPOINT'],
  [{ BACKEND_ENDPOINT_TYPE: 'docker' }, 'BACKEND_ENDPOINT_TYPE'],
  [{ BACKEND_CONNECTION_TIMEOUT: 'soon' }, 'BACKEND_CONNECTION_TIMEOUT'],
  [{ BACKEND_SKIP_SSLCERT_VALIDATION: 'maybe' }, 'BACKEND_SKIP_SSLCERT_VALIDATION'],
])('%j is refused, naming the variable', (env, name) => {
  expect(() => readClientConfig(env)).toThrow(ConfigError);
  expect(() => readClientConfig(env)).toThrow(name);
});

test('.env lines', () => {
  const text = [
    '# comment',
    'A=1',
    'export B = "two words"',
    "C='#no comment'",
    'D=x # comment',
    'not a line',
    'E=',
  ].join('\n');
  expect(parseDotEnv(text)).toEqual({ A: '1', B: 'two words', C: '#no comment', D: 'x', E: '' });
});

test('the nearest .env above the working directory overrides the environment', () => {
  const inner = join(folder, 'a', 'b');
  mkdirSync(inner, { recursive: true });
  writeFileSync(join(folder, '.env'), 'BACKEND_GROUP=outer\n');
  expect(effectiveEnvironment({ BACKEND_GROUP: 'env' }, inner).BACKEND_GROUP).toBe('outer');
  writeFileSync(join(folder, 'a', '.env'), 'BACKEND_GROUP=inner\n');
  expect(effectiveEnvironment({ X: '1' }, inner)).toEqual({ X: '1', BACKEND_GROUP: 'inner' });
});
