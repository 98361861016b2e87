/** What browsers are shown: the WebUI's files and its configuration, or the plain page. */
import * as v from 'valibot';
import type { Random } from '../common/random.ts';
import { plainPage } from './page/page.ts';
import { WebProblem } from './problems.ts';
import { type Incoming, publicOrigin, targetOf } from './request.ts';
import type { WebRoute } from './routes.ts';
import { type CspSettings, contentSecurityPolicy } from './security.ts';
import type { WebSettings } from './settings.ts';
import type { StaticFiles } from './static-files.ts';
import { webuiConfigIni, webuiConfigToml } from './webui-config.ts';

const NONCE_BYTES = 16;

/** The plain page asks only app proxies elsewhere, which a resource group may have anywhere. */
const PLAIN_PAGE_CSP: CspSettings = {
  'default-src': ["'none'"],
  'connect-src': ["'self'", 'https:', 'http:'],
  'img-src': ['data:'],
  'script-src': [],
  'style-src': [],
  'form-action': ["'none'"],
  'base-uri': ["'none'"],
  'frame-ancestors': ["'none'"],
};

/** Chromium asks for the targets of redirects, too: the provider may be anywhere. */
const WITH_OPENID: CspSettings = {
  ...PLAIN_PAGE_CSP,
  'form-action': ["'self'", 'https:', 'http:'],
};

/** `single-sign-on-vendors` of webserver.conf: a list, or words with commas. */
const vendors = v.union([
  v.array(v.string()),
  v.pipe(
    v.string(),
    v.transform((text) => text.split(',').map((word) => word.trim())),
  ),
]);

/** Whether people may sign in through an OpenID Connect provider. */
function offersOpenId({ conf }: WebSettings): boolean {
  const wanted = conf.service?.['single-sign-on-vendors'] ?? conf.service?.single_sign_on_vendors;
  const parsed = v.safeParse(vendors, wanted);
  return parsed.success && parsed.output.includes('openid');
}

const notFound = () => new WebProblem('generic-not-found', 'There is no such file.');

/**
 * What the WebUI asks before it ends a session: whether its proxy of old, which kept tunnels by access
 * key, has some of that session to close. Circuits of the app proxy end with their session.
 */
const noOldTunnels: WebRoute['handler'] = async () =>
  Response.json({ code: 404, message: 'There are no tunnels to close.' });

export class Pages {
  readonly #settings: WebSettings;
  /** Null: no WebUI is configured. */
  readonly #files: StaticFiles | null;
  readonly #random: Random;

  constructor(settings: WebSettings, files: StaticFiles | null, random: Random) {
    this.#settings = settings;
    this.#files = files;
    this.#random = random;
  }

  routes(): WebRoute[] {
    const { mode, conf } = this.#settings;
    const config = (write: typeof webuiConfigToml): WebRoute['handler'] => {
      return async ({ request }) =>
        new Response(write(conf, publicOrigin(request, this.#settings.forcedScheme)), {
          headers: { 'Content-Type': 'text/plain; charset=utf-8', 'Cache-Control': 'no-store' },
        });
    };
    return [
      ...(mode === 'webui'
        ? [
            { method: 'GET' as const, path: '/config.toml', handler: config(webuiConfigToml) },
            { method: 'GET' as const, path: '/config.ini', handler: config(webuiConfigIni) },
            { method: 'GET' as const, path: '/v2/proxy/*', handler: noOldTunnels },
          ]
        : []),
      { method: 'GET', path: '/*', handler: (incoming) => this.#page(incoming) },
    ];
  }

  async #page({ request }: Incoming): Promise<Response> {
    const path = targetOf(request).split('?', 1)[0] ?? '/';
    const files = this.#files;
    if (files === null) {
      if (path !== '/' && path !== '/index.html') throw notFound();
      const hasOpenId = offersOpenId(this.#settings);
      const csp = hasOpenId ? WITH_OPENID : PLAIN_PAGE_CSP;
      return this.#html((nonce) => Promise.resolve(plainPage(nonce, hasOpenId)), csp);
    }
    const found = path === '/' || path === '/index.html' ? null : await files.find(path);
    if (found !== null) return files.respond(found);
    if (this.#settings.mode === 'static' && path !== '/' && path !== '/index.html') {
      throw notFound();
    }
    return this.#html((nonce) => files.index(nonce), this.#settings.csp);
  }

  async #html(
    write: (nonce: string) => Promise<string | null>,
    csp: CspSettings | null,
  ): Promise<Response> {
    const nonce = Buffer.from(this.#random.bytes(NONCE_BYTES)).toString('base64url');
    const html = await write(nonce);
    if (html === null) throw notFound();
    return new Response(html, {
      headers: {
        'Content-Type': 'text/html; charset=utf-8',
        'Cache-Control': 'no-store',
        ...(csp === null ? {} : { 'Content-Security-Policy': contentSecurityPolicy(csp, nonce) }),
      },
    });
  }
}
