/** The routes that open applications: the manager's configuration, and the two steps of a browser. */
import * as v from 'valibot';
import { isAddressBlock } from '../../common/address-blocks.ts';
import { BackendError } from '../../common/errors.ts';
import { type ApiRoute, openRoute } from '../shared/api-server.ts';
import { protocol } from '../shared/protocol.ts';
import type { CircuitRequest, CoordinatorService } from './service.ts';

const uuid = v.pipe(v.string(), v.uuid('expected a UUID'), v.toLowerCase());

const configuration = v.object({
  login_session_token: v.nullish(v.pipe(v.string(), v.maxLength(127)), null),
  kernel_host: v.pipe(v.string(), v.nonEmpty(), v.maxLength(255)),
  kernel_port: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535)),
  session: v.pipe(
    v.object({
      id: uuid,
      user_uuid: uuid,
      project_id: v.optional(uuid),
      group_id: v.optional(uuid),
      access_key: v.nullish(v.string(), ''),
      domain_name: v.string(),
    }),
    v.check(
      ({ project_id, group_id }) => (project_id ?? group_id) !== undefined,
      'expected project_id',
    ),
  ),
});

/** As a query writes it. */
const yesOrNo = v.pipe(
  v.union([v.boolean(), v.string()]),
  v.transform((value) => value === true || /^(true|1|yes|on)$/i.test(String(value))),
);

const jsonObject = v.union([
  v.record(v.string(), v.unknown()),
  v.pipe(
    v.string(),
    v.parseJson(undefined, 'expected a JSON object'),
    v.check((value) => !Array.isArray(value), 'expected a JSON object'),
    v.nullable(v.record(v.string(), v.unknown())),
    v.transform((value) => value ?? {}),
  ),
]);

const addressList = v.pipe(
  v.string(),
  v.maxLength(255, 'at most 255 characters'),
  v.transform((text) =>
    text
      .split(',')
      .map((block) => block.trim())
      .filter((block) => block !== ''),
  ),
  v.check(
    (blocks) => blocks.every(isAddressBlock),
    'expected addresses or CIDR blocks, separated by commas',
  ),
  v.transform((blocks) => (blocks.length === 0 ? null : blocks.join(','))),
);

const portNumber = v.pipe(
  v.union([v.number(), v.pipe(v.string(), v.regex(/^\d{1,5}$/), v.transform(Number))]),
  v.integer(),
  v.minValue(1),
  v.maxValue(65535),
);

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;

const request = v.object({
  app: v.pipe(v.string(), v.nonEmpty(), v.maxLength(255)),
  protocol,
  port: v.nullish(portNumber, null),
  subdomain: v.nullish(
    v.pipe(v.string(), v.regex(LABEL, 'expected letters, digits and hyphens, up to 63')),
    null,
  ),
  envs: v.nullish(jsonObject, {}),
  args: v.nullish(v.pipe(v.string(), v.maxLength(1000, 'at most 1000 characters')), null),
  open_to_public: v.nullish(yesOrNo, false),
  allowed_client_ips: v.nullish(addressList, null),
  redirect: v.nullish(v.pipe(v.string(), v.maxLength(4096)), ''),
  no_reuse: v.nullish(yesOrNo, false),
});

const authRequest = v.object({ ...request.entries, token: uuid, session_id: uuid });

const toCircuitRequest = (given: v.InferOutput<typeof authRequest>): CircuitRequest => ({
  token: given.token,
  sessionId: given.session_id,
  app: given.app,
  protocol: given.protocol,
  port: given.port,
  subdomain: given.subdomain,
  envs: given.envs,
  args: given.args,
  openToPublic: given.open_to_public,
  allowedClientIps: given.allowed_client_ips,
  redirect: given.redirect,
  isNew: given.no_reuse,
});

/**
 * @param checkSecret refuses callers without the secret.
 */
export function proxyRoutes(
  service: CoordinatorService,
  checkSecret: (headers: Headers) => Promise<void>,
): ApiRoute[] {
  const { settings } = service.ctx;
  return [
    openRoute('POST', '/v2/conf', configuration, async (given, { headers }) => {
      if (!settings.allowsUnauthorizedConfigure) await checkSecret(headers);
      const { session } = given;
      const token = await service.configure({
        login_session_token: given.login_session_token,
        kernel_host: given.kernel_host,
        kernel_port: given.kernel_port,
        session_id: session.id,
        user_uuid: session.user_uuid,
        group_id: session.project_id ?? session.group_id ?? '',
        access_key: session.access_key ?? '',
        domain_name: session.domain_name,
      });
      return { json: { token } };
    }),
    openRoute(
      'GET',
      '/v2/proxy/:token/:session_id/add',
      v.record(v.string(), v.string()),
      async (given, { params }) => {
        const parsed = v.safeParse(authRequest, { ...given, ...params });
        if (!parsed.success) {
          const [issue] = parsed.issues;
          throw new BackendError(
            'InvalidAPIParameters',
            `${v.getDotPath(issue) ?? 'the query'}: ${issue.message}`,
          );
        }
        const query = new URLSearchParams({ ...given, ...params });
        return {
          json: { code: 200, url: `${settings.advertisedUrl}/v2/proxy/auth?${query}` },
        };
      },
    ),
    openRoute('GET', '/v2/proxy/auth', authRequest, async (given, { headers }) => {
      const { redirectUrl, isReused } = await service.open(toCircuitRequest(given));
      if (headers.get('Accept')?.includes('application/json')) {
        return { json: { redirect_url: redirectUrl, reuse: isReused } };
      }
      return new Response(null, { status: 308, headers: { Location: redirectUrl } });
    }),
  ];
}
