/** webserver.conf: upstream's sections and keys, read into what the web server is started with. */
import * as v from 'valibot';
import type { SearchPlaces } from '../common/config/find.ts';
import { loadConfigFile } from '../common/config/load.ts';
import {
  loggingSection,
  namesRedisService,
  type OtelSettings,
  otelSection,
  REDIS_SERVICE_MESSAGE,
  type RedisSettings,
  redisKeys,
  redisPlaceOf,
} from '../common/config/sections.ts';
import {
  boolean,
  type HostPort,
  hostPort,
  integer,
  textOrNothing,
} from '../common/config/values.ts';
import type { WebSettings } from './settings.ts';

/** One URL, several comma-separated ones, or a list. */
const endpoints = v.pipe(
  v.union([v.string(), v.array(v.string())], 'expected the URL of a manager'),
  v.transform((value) =>
    (typeof value === 'string' ? value.split(',') : value).map((url) => url.trim()).filter(Boolean),
  ),
  v.array(v.pipe(v.string(), v.url('expected the URL of a manager'))),
  v.minLength(1, 'expected the URL of a manager'),
);

const port = v.pipe(integer, v.minValue(0), v.maxValue(65_535));
const positive = v.pipe(integer, v.minValue(1, 'expected at least 1'));

const serviceSection = v.pipe(
  v.looseObject({
    ip: v.optional(v.string(), '0.0.0.0'),
    port: v.optional(port, 8080),
    mode: v.optional(v.picklist(['webui', 'static']), 'webui'),
    'static-path': v.optional(textOrNothing),
    'force-endpoint-protocol': v.optional(
      v.pipe(
        textOrNothing,
        v.union([v.undefined(), v.picklist(['http', 'https'])], 'expected "http" or "https"'),
      ),
    ),
    // Ours: health and metrics, away from what browsers reach.
    'internal-addr': v.optional(hostPort()),
    'ssl-enabled': v.optional(boolean, false),
    'ssl-cert': v.optional(textOrNothing),
    'ssl-privkey': v.optional(textOrNothing),
  }),
  v.check(
    (section) => !section['ssl-enabled'] || Boolean(section['ssl-cert'] && section['ssl-privkey']),
    'expected ssl-cert and ssl-privkey, since ssl-enabled is true',
  ),
);

const apiSection = v.looseObject({
  domain: v.optional(v.string(), 'default'),
  endpoint: endpoints,
  text: v.optional(v.string()),
  'auth-token-name': v.optional(v.pipe(v.string(), v.minLength(1)), 'sToken'),
  'load-balancing-policy': v.optional(
    v.picklist(['round_robin', 'random', 'least_connections']),
    'round_robin',
  ),
});

const sessionSection = v.looseObject({
  redis: v.optional(
    v.pipe(v.looseObject(redisKeys), v.check(namesRedisService, REDIS_SERVICE_MESSAGE)),
  ),
  'max-age': v.optional(positive, 604_800),
  'login-session-extension-sec': v.optional(positive),
  'login-allowed-fail-count': v.optional(positive, 10),
  'login-block-time': v.optional(positive, 1200),
});

const sources = v.optional(v.array(v.string()));
const securitySection = v.looseObject({
  'request-policies': v.optional(v.array(v.string()), []),
  'response-policies': v.optional(v.array(v.string()), []),
  'cookie-secure': v.optional(boolean, true),
  csp: v.optional(
    v.strictObject({
      'default-src': sources,
      'connect-src': sources,
      'img-src': sources,
      'media-src': sources,
      'font-src': sources,
      'script-src': sources,
      'style-src': sources,
      'frame-src': sources,
      'object-src': sources,
      'frame-ancestors': sources,
      'form-action': sources,
    }),
  ),
});

const freeSection = v.optional(v.looseObject({}), {});

const webFile = v.looseObject({
  service: v.optional(serviceSection, {}),
  security: v.optional(securitySection, {}),
  api: apiSection,
  session: v.optional(sessionSection, {}),
  logging: v.optional(loggingSection, {}),
  otel: v.optional(otelSection, {}),
  resources: freeSection,
  environments: freeSection,
  ui: freeSection,
  plugin: freeSection,
  pipeline: freeSection,
});
type WebFile = v.InferOutput<typeof webFile>;

export interface WebConfig {
  readonly path: string;
  readonly listen: {
    readonly hostname: string;
    readonly port: number;
    readonly tls?: { readonly certFile: string; readonly keyFile: string };
  };
  readonly managerUrls: readonly string[];
  /** Health and metrics; null: nowhere. */
  readonly serviceAddr: HostPort | null;
  /** Null: sign-ins are kept in this process, and end with it. */
  readonly redis: RedisSettings | null;
  readonly logging: WebFile['logging'];
  readonly otel: OtelSettings;
  readonly settings: WebSettings;
}

function toSettings(file: WebFile): WebSettings {
  const { service, security, api, session } = file;
  const { resources, environments, ui, plugin, pipeline } = file;
  const csp = Object.entries(security.csp ?? {}).flatMap(([directive, list]) =>
    list === undefined ? [] : [[directive, list] as const],
  );
  return {
    mode: service.mode,
    staticPath: service['static-path'] ?? null,
    forcedScheme: service['force-endpoint-protocol'] ?? null,
    domain: api.domain,
    authTokenName: api['auth-token-name'],
    balancing: api['load-balancing-policy'],
    sessionMaxAgeSec: session['max-age'],
    sessionExtensionSec: session['login-session-extension-sec'] ?? session['max-age'],
    loginAllowedFailures: session['login-allowed-fail-count'],
    loginBlockSec: session['login-block-time'],
    cookieSecure: security['cookie-secure'],
    requestPolicies: security['request-policies'],
    responsePolicies: security['response-policies'],
    csp: csp.length === 0 ? null : Object.fromEntries(csp),
    conf: { service, api, session, resources, environments, ui, plugin, pipeline },
  };
}

/**
 * Loads webserver.conf.
 * @throws UserError naming the file, line and key of every problem, or the places looked at.
 */
export function loadWebConfig(options: {
  readonly explicitPath?: string;
  readonly places: SearchPlaces;
  readonly env: Readonly<Record<string, string | undefined>>;
}): WebConfig {
  const { path, value } = loadConfigFile({
    ...options,
    component: 'webserver',
    fileName: 'webserver.conf',
    schema: webFile,
    overrides: {},
  });
  const { service, api } = value;
  const { 'ssl-cert': certFile, 'ssl-privkey': keyFile } = service;
  const hasTls = service['ssl-enabled'] && certFile && keyFile;
  return {
    path,
    listen: {
      hostname: service.ip,
      port: service.port,
      tls: hasTls ? { certFile, keyFile } : undefined,
    },
    managerUrls: api.endpoint,
    serviceAddr: service['internal-addr'] ?? null,
    redis: redisPlaceOf(value.session.redis),
    logging: value.logging,
    otel: value.otel,
    settings: toSettings(value),
  };
}
