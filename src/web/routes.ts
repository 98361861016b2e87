/** The web server's routes: sign-in, health, what goes to the manager, and pages. */
import * as v from 'valibot';
import { VERSION } from '../common/version.ts';
import type { LiveStore } from '../stores/live/port.ts';
import type { EndpointPool } from './endpoints.ts';
import type { Login } from './login.ts';
import type { Pages } from './pages.ts';
import { readPlainBody } from './payload.ts';
import { WebProblem } from './problems.ts';
import { type ProxyDependencies, passOn } from './proxy.ts';
import { type Incoming, parseJson, publicOrigin, targetOf } from './request.ts';
import type { BrowserSessions } from './session.ts';

export type Handler = (incoming: Incoming) => Promise<Response>;

export interface WebRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD';
  /** A path, or one that ends in a wildcard. */
  readonly path: string;
  readonly handler: Handler;
}

export interface RouteDependencies {
  readonly proxy: ProxyDependencies;
  readonly pool: EndpointPool;
  readonly sessions: BrowserSessions;
  readonly login: Login;
  readonly live: LiveStore;
  readonly pages: Pages;
  readonly domain: string;
  /** Connects the browser's WebSocket to the manager's, in the name of the keypair. */
  passSocket(incoming: Incoming): Promise<Response>;
}

const PREFIX = '/func';

const get = (path: string, handler: Handler): WebRoute => ({ method: 'GET', path, handler });
const post = (path: string, handler: Handler): WebRoute => ({ method: 'POST', path, handler });

/** Path and query at the manager. */
export const managerTarget = (request: Request): string =>
  targetOf(request).slice(PREFIX.length) || '/';

function healthRoutes({ pool, live }: RouteDependencies): WebRoute[] {
  const state = async () => {
    const store = await live.ping().then(
      () => true,
      () => false,
    );
    return { manager: pool.healthyCount > 0, session_store: store };
  };
  const isReady = async () => Object.values(await state()).every(Boolean);
  return [
    get('/health', async () => {
      const connectivity = await state();
      const status = Object.values(connectivity).every(Boolean) ? 'ok' : 'degraded';
      return Response.json({ status, version: VERSION, component: 'webserver', connectivity });
    }),
    get('/livez', async () => new Response(null)),
    get('/readyz', async () => new Response(null, { status: (await isReady()) ? 200 : 503 })),
    get(`${PREFIX}/ping`, async () => Response.json({ version: VERSION, details: 'Success' })),
  ];
}

const loginRoutes = ({ login }: RouteDependencies): WebRoute[] => [
  post('/server/login-check', (incoming) => login.check(incoming)),
  post('/server/login', (incoming) => login.login(incoming)),
  post('/server/token-login', (incoming) => login.loginByToken(incoming)),
  post('/server/logout', (incoming) => login.logout(incoming)),
  post('/server/extend-login-session', (incoming) => login.extend(incoming)),
  post('/server/update-password-no-auth', (incoming) => login.replacePassword(incoming)),
];

const isUpgrade = (request: Request): boolean =>
  request.headers.get('upgrade')?.toLowerCase() === 'websocket';

function managerRoutes(deps: RouteDependencies): WebRoute[] {
  const { proxy, sessions, domain, passSocket } = deps;
  const anonymous: Handler = (incoming) =>
    passOn(proxy, incoming, { target: managerTarget(incoming.request), token: null });
  const signed: Handler = async (incoming) => {
    const { token } = await sessions.load(incoming.request);
    if (token === null) throw new WebProblem('auth-failed', 'Unauthorized access');
    incoming.waitForever();
    return passOn(proxy, incoming, { target: managerTarget(incoming.request), token });
  };
  const signup: Handler = async (incoming) => {
    const { request } = incoming;
    const body = await readPlainBody(request, publicOrigin(request, proxy.forcedScheme));
    const fields = parseJson(v.record(v.string(), v.unknown()), body);
    return passOn(proxy, incoming, {
      target: managerTarget(request),
      token: null,
      body: new Uint8Array(Buffer.from(JSON.stringify({ ...fields, domain }))),
    });
  };
  const generic: Handler = (incoming) =>
    incoming.request.method === 'GET' && isUpgrade(incoming.request)
      ? passSocket(incoming)
      : signed(incoming);
  return [
    get(`${PREFIX}/`, anonymous),
    ...['cloud', 'custom-auth', 'openid'].flatMap((name) => [
      get(`${PREFIX}/${name}/*`, anonymous),
      post(`${PREFIX}/${name}/*`, anonymous),
    ]),
    post(`${PREFIX}/saml/*`, anonymous),
    post(`${PREFIX}/totp/anon`, anonymous),
    post(`${PREFIX}/totp/anon/*`, anonymous),
    post(`${PREFIX}/auth/signup`, signup),
    get(`${PREFIX}/stream/kernel/_/events`, signed),
    get(`${PREFIX}/stream/session/:name/apps`, signed),
    get(`${PREFIX}/stream/*`, passSocket),
    ...(['HEAD', 'GET', 'PUT', 'POST', 'PATCH', 'DELETE'] as const).map((method) => ({
      method,
      path: `${PREFIX}/*`,
      handler: generic,
    })),
  ];
}

/** All routes; the more specific path wins. */
export const webRoutes = (deps: RouteDependencies): WebRoute[] => [
  ...loginRoutes(deps),
  ...healthRoutes(deps),
  ...managerRoutes(deps),
  ...deps.pages.routes(),
];
