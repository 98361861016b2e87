/** Signing in through a real OpenID Connect provider, from the login page to a session and back. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { silentLog, type TestServer, testManagerServer } from '../../testing/manager.ts';
import {
  type ProvidedPerson,
  startTestProvider,
  type TestProvider,
} from '../../testing/openid-provider.ts';
import { insertProject } from '../../testing/sessions.ts';
import { startWebServer, type WebServer } from '../../web/main.ts';
import { defaultWebSettings } from '../../web/settings.ts';
import { openIdRoutes } from './rest.ts';

const PREFIX = 'config/plugins/webapp/openid';

/** The provider's people, by the name with which they sign in there. */
const people: Record<string, ProvidedPerson> = {
  ada: { email: 'ada@corp.example', email_verified: true, name: 'Ada', groups: ['engineers'] },
  impostor: { email: 'ada@corp.example', email_verified: true, groups: ['engineers'] },
  old: { email: 'user@test.example', email_verified: true, groups: ['engineers'] },
  rumour: { email: 'superadmin@test.example', email_verified: false, groups: ['engineers'] },
  silent: { email: 'silent@corp.example', groups: ['engineers'] },
  guest: { email: 'guest@corp.example', email_verified: true, groups: ['guests'] },
  nobody: { groups: ['engineers'] },
};

let manager: TestServer;
let web: WebServer;
let idp: TestProvider;
let issuer: string;
beforeAll(async () => {
  manager = await testManagerServer({ routes: async (ctx) => openIdRoutes(ctx) });
  await insertProject(manager.db.sql);
  web = await startWebServer({
    settings: { ...defaultWebSettings, cookieSecure: false },
    live: manager.ctx.webSessions,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    listen: { hostname: '127.0.0.1', port: 0 },
    managerUrl: manager.url,
  });
  idp = await startTestProvider({ redirectUri: `${web.url}/func/openid/redirect`, people });
  issuer = idp.issuer;
});
afterAll(async () => {
  await web.stop();
  await manager.close();
  await idp.stop();
});

const configure = (more: Record<string, string> = {}) =>
  manager.ctx.config.putMany(
    new Map(
      Object.entries({
        login_uri: `${web.url}/interactive-login`,
        'openid/well_known': `${issuer}/.well-known/openid-configuration`,
        'openid/client_id': idp.clientId,
        'openid/client_secret': idp.clientSecret,
        'openid/group_order': 'admins, engineers',
        'openid/group_mapping/engineers/domain': 'default',
        'openid/group_mapping/engineers/project': 'default',
        ...more,
      }).map(([key, value]) => [`${PREFIX}/${key}`, value]),
    ),
  );
beforeAll(() => configure());
afterEach(async () => {
  await manager.ctx.config.deletePrefix(PREFIX);
  await configure();
});

/** A browser's cookies by origin, and requests that follow no redirect. */
class Browser {
  readonly #cookies = new Map<string, Map<string, string>>();

  cookies(origin: string): Map<string, string> {
    const known = this.#cookies.get(origin) ?? new Map<string, string>();
    this.#cookies.set(origin, known);
    return known;
  }

  async send(url: string, form?: Record<string, string>): Promise<Response> {
    const jar = this.cookies(new URL(url).origin);
    const response = await fetch(url, {
      method: form === undefined ? 'GET' : 'POST',
      redirect: 'manual',
      headers: { Cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') },
      body: form === undefined ? undefined : new URLSearchParams(form),
    });
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';', 1);
      const at = pair.indexOf('=');
      const value = pair.slice(at + 1);
      if (value === '' || /max-age=0/i.test(line)) jar.delete(pair.slice(0, at));
      else jar.set(pair.slice(0, at), value);
    }
    return response;
  }
}

const locationOf = (response: Response, base: string): string =>
  new URL(response.headers.get('location') ?? '', base).href;

/** Goes through the provider's pages as that person. @returns the address of our callback. */
async function atProvider(browser: Browser, from: string, person: string): Promise<string> {
  let url = from;
  let response = await browser.send(url);
  for (let step = 0; step < 20; step += 1) {
    if (response.status === 302 || response.status === 303) {
      url = locationOf(response, url);
      if (url.startsWith(web.url)) return url;
      response = await browser.send(url);
      continue;
    }
    const page = await response.text();
    const action = /action="([^"]+)"/.exec(page)?.[1];
    const prompt = /name="prompt" value="([^"]+)"/.exec(page)?.[1];
    if (!action || !prompt) throw new Error(`an unexpected page: ${response.status} ${page}`);
    response = await browser.send(action, { prompt, login: person, password: 'any' });
  }
  throw new Error('the provider never sent the browser back');
}

async function begin(browser: Browser, form: Record<string, string> = {}): Promise<string> {
  const response = await browser.send(`${web.url}/func/openid/login`, form);
  expect(response.status).toBe(302);
  return locationOf(response, web.url);
}

async function signInAs(person: string, form: Record<string, string> = {}) {
  const browser = new Browser();
  const callback = await atProvider(browser, await begin(browser, form), person);
  return { browser, callback, response: await browser.send(callback) };
}
async function slugOf(response: Response) {
  const { type } = v.parse(v.object({ type: v.string() }), await response.json());
  return `${response.status} ${type.slice(type.lastIndexOf('/') + 1)}`;
}
const tokenLogin = (sToken: string, extra: Record<string, unknown> = {}) =>
  fetch(`${web.url}/server/token-login`, {
    method: 'POST',
    body: JSON.stringify({ sToken, ...extra }),
  });
const tokenOf = (response: Response): string =>
  new URL(locationOf(response, web.url)).searchParams.get('sToken') ?? '';
const rowOf = async (email: string) =>
  (
    await manager.db.sql`
      SELECT uuid, status, status_info, full_name, role, domain_name, integration_id
        FROM users WHERE email = ${email}`
  )[0];

describe('the whole way', () => {
  test('a newcomer gets an account and a session; the token counts once', async () => {
    const page = `${web.url}/start?x=1`;
    const { response } = await signInAs('ada', { redirect_to: page });
    expect(response.status).toBe(302);
    expect(response.headers.get('cache-control')).toBe('no-store');
    const back = new URL(locationOf(response, web.url));
    const sToken = tokenOf(response);
    expect(back.href).toStartWith(`${page}&sToken=`);
    const signedIn = await tokenLogin(sToken);
    expect(await signedIn.json()).toMatchObject({
      authenticated: true,
      data: { role: 'user', status: 'active' },
    });
    const id = signedIn.headers.get('x-backendai-sessionid') ?? '';
    const proxied = await fetch(`${web.url}/func/auth/role`, {
      headers: { 'X-BackendAI-SessionID': id },
    });
    expect(await proxied.json()).toMatchObject({ global_role: 'user' });
    expect(await rowOf('ada@corp.example')).toMatchObject({
      status: 'active',
      status_info: 'openid-created',
      full_name: 'Ada',
      role: 'user',
      domain_name: 'default',
      integration_id: `openid:${issuer}#ada`,
    });
    const again = await tokenLogin(sToken);
    expect(again.status).toBe(200);
    expect(await again.json()).toMatchObject({
      authenticated: false,
      data: { type: 'https://api.backend.ai/probs/rejected-by-hook' },
    });
  });

  test('the second time it is the same account, and the browser keeps no cookie of it', async () => {
    await signInAs('ada');
    const before = await rowOf('ada@corp.example');
    const { browser, response } = await signInAs('ada');
    expect(response.status).toBe(302);
    expect(new URL(locationOf(response, web.url)).pathname).toBe('/interactive-login');
    expect(await rowOf('ada@corp.example')).toEqual(before);
    expect([...browser.cookies(web.url).keys()]).toEqual([]);
  });

  test('an account of that address is linked, and then belongs to that person', async () => {
    const { userId } = manager.accounts.user;
    await signInAs('old');
    expect(await rowOf('user@test.example')).toMatchObject({
      uuid: userId,
      integration_id: `openid:${issuer}#old`,
    });
    await signInAs('ada');
    const { response } = await signInAs('impostor');
    expect(await slugOf(response)).toBe('401 invalid-openid-session');
  });

  test('a second factor is asked for as with passwords, and the token waits for it', async () => {
    await signInAs('ada');
    await manager.db.sql`UPDATE users SET totp_activated = true, totp_key = 'GEZDGNBVGY3TQOJQ'
      WHERE email = 'ada@corp.example'`;
    const sToken = tokenOf((await signInAs('ada')).response);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      expect(await (await tokenLogin(sToken)).json()).toMatchObject({
        authenticated: false,
        data: { type: 'https://api.backend.ai/probs/require-totp-authentication' },
      });
    }
    await manager.db.sql`UPDATE users SET totp_activated = false WHERE email = 'ada@corp.example'`;
    expect(await (await tokenLogin(sToken)).json()).toMatchObject({ authenticated: true });
  });

  test('an account that was closed does not come in', async () => {
    await signInAs('ada');
    await manager.db.sql`UPDATE users SET status = 'inactive' WHERE email = 'ada@corp.example'`;
    const sToken = tokenOf((await signInAs('ada')).response);
    expect(await (await tokenLogin(sToken)).json()).toMatchObject({
      authenticated: false,
      data: { type: 'https://api.backend.ai/probs/auth-failed' },
    });
    await manager.db.sql`UPDATE users SET status = 'active' WHERE email = 'ada@corp.example'`;
  });
});

describe('refused', () => {
  test('an address that the provider has not verified, unless it is trusted', async () => {
    expect(await slugOf((await signInAs('rumour')).response)).toBe('401 invalid-openid-session');
    expect(await slugOf((await signInAs('silent')).response)).toBe('401 invalid-openid-session');
    expect(await rowOf('superadmin@test.example')).toMatchObject({ integration_id: null });
    await configure({ 'openid/trust_email': 'true' });
    expect((await signInAs('silent')).response.status).toBe(302);
  });

  test('people without an address or without a group; without mappings all may come', async () => {
    expect(await slugOf((await signInAs('nobody')).response)).toBe('401 invalid-openid-session');
    expect(await slugOf((await signInAs('guest')).response)).toBe('401 invalid-openid-session');
    expect(await rowOf('guest@corp.example')).toBeUndefined();
    await manager.ctx.config.deletePrefix(`${PREFIX}/openid/group_mapping`);
    await manager.ctx.config.delete(`${PREFIX}/openid/group_order`);
    expect((await signInAs('guest')).response.status).toBe(302);
  });

  test('a callback in another browser, a second time, or with another state', async () => {
    const browser = new Browser();
    const callback = await atProvider(browser, await begin(browser), 'ada');
    expect(await slugOf(await new Browser().send(callback))).toBe('401 invalid-openid-session');
    const other = new URL(callback);
    other.searchParams.set('state', 'x');
    expect(await slugOf(await browser.send(other.href))).toBe('401 invalid-openid-session');
    expect((await browser.send(callback)).status).toBe(302);
    expect(await slugOf(await browser.send(callback))).toBe('401 invalid-openid-session');
  });

  test('a code of another sign-in', async () => {
    const thief = new Browser();
    const stolen = new URL(await atProvider(new Browser(), await begin(new Browser()), 'ada'));
    const own = new URL(await atProvider(thief, await begin(thief), 'guest'));
    own.searchParams.set('code', stolen.searchParams.get('code') ?? '');
    expect(await slugOf(await thief.send(own.href))).toBe('401 invalid-openid-session');
  });

  test('who gives up at the provider', async () => {
    const browser = new Browser();
    const state = new URL(await begin(browser)).searchParams.get('state') ?? '';
    const query = new URLSearchParams({ state, error: 'access_denied', iss: issuer });
    const response = await browser.send(`${web.url}/func/openid/redirect?${query}`);
    expect(await slugOf(response)).toBe('401 invalid-openid-session');
  });

  test('a page elsewhere as the place to return to', async () => {
    const login = (redirect_to: string) =>
      new Browser().send(`${web.url}/func/openid/login`, { redirect_to });
    for (const page of ['https://evil.example/', '//evil.example/', 'javascript:alert(1)']) {
      expect((await login(page)).status).toBe(400);
    }
    expect((await login('/sub/page')).status).toBe(302);
  });

  test('everybody where it is not, wrongly, or set up for a provider that is away', async () => {
    const login = () => new Browser().send(`${web.url}/func/openid/login`, {});
    await configure({ 'openid/well_known': 'http://127.0.0.1:1/.well-known/openid-configuration' });
    expect(await slugOf(await login())).toBe('503 service-unavailable');
    await manager.ctx.config.delete(`${PREFIX}/openid/client_id`);
    const wrong = await login();
    expect(await wrong.clone().text()).toContain('openid/client_id');
    expect(await slugOf(wrong)).toBe('500 server-misconfigured');
    await manager.ctx.config.deletePrefix(PREFIX);
    expect(await slugOf(await login())).toBe('404 url-not-found');
  });
});
