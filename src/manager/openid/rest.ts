/** `/openid`: where browsers begin a sign-in through a provider, and where they come back. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { publicRoute } from '../http/declare.ts';
import type { Route, RouteRequest } from '../http/route.ts';
import { Provider } from './provider.ts';
import * as service from './service.ts';

/** The path under which browsers see these operations, through the web server. */
const COOKIE_PATH = '/func/openid';
const COOKIE = 'BACKENDAI_OPENID';
/** Largest form. Bytes. */
const MAX_FORM_BYTES = 16 * 1024;

function cookieOf(request: Request): string | null {
  for (const part of (request.headers.get('cookie') ?? '').split(';')) {
    const [name, value] = part.trim().split('=', 2);
    if (name === COOKIE && value) return value;
  }
  return null;
}

const cookie = (value: string, maxAgeSec: number, isSecure: boolean): string =>
  `${COOKIE}=${value}; Path=${COOKIE_PATH}; HttpOnly; SameSite=Lax; Max-Age=${maxAgeSec}` +
  (isSecure ? '; Secure' : '');

function found(location: string, setCookie: string): Response {
  return new Response(null, {
    status: 302,
    // The address holds a secret: no cache keeps it, no later page is told of it.
    headers: {
      Location: location,
      'Set-Cookie': setCookie,
      'Cache-Control': 'no-store',
      'Referrer-Policy': 'no-referrer',
    },
  });
}

async function formOf({ request }: RouteRequest): Promise<URLSearchParams> {
  const text = await request.text();
  if (text.length > MAX_FORM_BYTES) {
    throw new BackendError('InvalidAPIParameters', `The form exceeds ${MAX_FORM_BYTES} bytes.`);
  }
  return new URLSearchParams(text);
}

export function openIdRoutes(ctx: ManagerContext): Route[] {
  const provider = new Provider(ctx.clock);
  return [
    publicRoute(
      {
        method: 'POST',
        path: '/openid/login',
        gate: 'any',
        summary: 'Send the browser to the OpenID Connect provider.',
        takes: {},
        consumes: 'application/x-www-form-urlencoded',
      },
      async (request) => {
        const form = await formOf(request);
        const { location, browserSecret, isSecure } = await service.begin(ctx, provider, {
          ...request,
          redirectTo: form.get('redirect_to'),
          force: form.get('force') === 'true',
        });
        return found(location, cookie(browserSecret, service.PENDING_MS / 1000, isSecure));
      },
    ),
    publicRoute(
      {
        method: 'GET',
        path: '/openid/redirect',
        gate: 'any',
        summary: 'Where the OpenID Connect provider sends the browser back.',
        takes: { query: v.record(v.string(), v.string()) },
      },
      async (request, { query }) => {
        const location = await service.finish(ctx, provider, {
          ...request,
          search: new URLSearchParams(query),
          browserSecret: cookieOf(request.request),
        });
        return found(location, cookie('', 0, location.startsWith('https:')));
      },
    ),
  ];
}
