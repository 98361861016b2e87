/**
 * Where the client connects and as whom: environment variables `BACKEND_*` (older name `SORNA_*`),
 * overridden by the nearest `.env` file at or above the working directory.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

export const DEFAULT_ENDPOINT = 'https://api.cloud.backend.ai';

/** Whom the client talks to: a manager, with a keypair, or a web server, with a sign-in. */
export type EndpointType = 'api' | 'session';

export interface ClientConfig {
  readonly endpointType: EndpointType;
  /** Absolute URLs without a trailing slash; tried in this order. Never empty. */
  readonly endpoints: readonly string[];
  /** Empty: requests go unsigned. Keys are not used with a web server. */
  readonly accessKey: string;
  readonly secretKey: string;
  readonly domain: string;
  readonly group: string;
  readonly skipSslCertValidation: boolean;
  /** Longest wait for an endpoint's first answer. Milliseconds. */
  readonly connectionTimeoutMs: number;
  /** Longest wait for the answer of one request; null: no limit of ours. Milliseconds. */
  readonly readTimeoutMs: number | null;
}

/** A setting that makes no sense; `message` names the variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Parses `KEY=value` lines; quotes around a value and `export` before the key are dropped. */
export function parseDotEnv(text: string): Record<string, string> {
  const values: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line);
    if (!match) continue;
    const [, key = '', raw = ''] = match;
    const quoted = /^(["'])(.*)\1$/.exec(raw);
    values[key] = quoted ? (quoted[2] ?? '') : raw.replace(/\s+#.*$/, '');
  }
  return values;
}

function findDotEnv(start: string): string | null {
  for (let folder = resolve(start); ; folder = dirname(folder)) {
    const candidate = join(folder, '.env');
    if (existsSync(candidate)) return candidate;
    if (folder === dirname(folder)) return null;
  }
}

/** The environment as the client sees it, the nearest `.env` included. */
export function effectiveEnvironment(env: Environment, cwd: string): Environment {
  const path = findDotEnv(cwd);
  return path === null ? env : { ...env, ...parseDotEnv(readFileSync(path, 'utf8')) };
}

function setting(env: Environment, name: string): string | undefined {
  return env[`BACKEND_${name}`] ?? env[`SORNA_${name}`];
}

const commaList = (text: string): string[] =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

function parseEndpoint(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new ConfigError(
      `BACKEND_ENDPOINT: '${text}' is not an absolute URL such as http://127.0.0.1:8081.`,
    );
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new ConfigError(`BACKEND_ENDPOINT: '${text}' must start with http:// or https://.`);
  }
  return url.href.replace(/\/+$/, '');
}

function seconds(env: Environment, name: string, fallback: number): number {
  const text = setting(env, name);
  if (text === undefined || text === '') return fallback;
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) {
    throw new ConfigError(`BACKEND_${name}: '${text}' is not a number of seconds.`);
  }
  return value;
}

function switchSetting(env: Environment, name: string): boolean {
  const text = (setting(env, name) ?? 'no').toLowerCase();
  if (['y', 'yes', 't', 'true', '1'].includes(text)) return true;
  if (['n', 'no', 'f', 'false', '0', ''].includes(text)) return false;
  throw new ConfigError(`BACKEND_${name}: '${text}' is neither yes nor no.`);
}

function endpointTypeOf(env: Environment): EndpointType {
  const type = setting(env, 'ENDPOINT_TYPE') || 'api';
  if (type === 'api' || type === 'session') return type;
  throw new ConfigError(
    `BACKEND_ENDPOINT_TYPE: '${type}' is unknown; use 'api' (a manager, with a keypair) or 'session' (a web server, with a sign-in).`,
  );
}

/** Whether the environment says anything about where to connect. */
export function isConfigured(env: Environment): boolean {
  return ['ENDPOINT', 'ACCESS_KEY', 'SECRET_KEY'].some((name) => setting(env, name));
}

/**
 * Reads the settings from an environment that `effectiveEnvironment` made.
 * @throws ConfigError naming the variable that is wrong.
 */
export function readClientConfig(env: Environment): ClientConfig {
  const endpoints = commaList(setting(env, 'ENDPOINT') ?? '').map(parseEndpoint);
  const readTimeout = seconds(env, 'READ_TIMEOUT', 0);
  return {
    endpointType: endpointTypeOf(env),
    endpoints: endpoints.length > 0 ? endpoints : [DEFAULT_ENDPOINT],
    accessKey: setting(env, 'ACCESS_KEY') ?? '',
    secretKey: setting(env, 'SECRET_KEY') ?? '',
    domain: setting(env, 'DOMAIN') || 'default',
    group: setting(env, 'GROUP') || 'default',
    skipSslCertValidation: switchSetting(env, 'SKIP_SSLCERT_VALIDATION'),
    connectionTimeoutMs: seconds(env, 'CONNECTION_TIMEOUT', 10) * 1000,
    readTimeoutMs: readTimeout === 0 ? null : readTimeout * 1000,
  };
}
