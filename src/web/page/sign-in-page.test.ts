/** Signing in on the plain page in a real browser: single sign-on, and second factors. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHmac } from 'node:crypto';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { hashPassword } from '../../manager/user/password.ts';
import { type Browser, type Page, startBrowser } from '../../testing/browser.ts';
import { silentLog } from '../../testing/manager.ts';
import { startTestProvider, type TestProvider } from '../../testing/openid-provider.ts';
import { missingTool, requireOrSkip } from '../../testing/services.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { startWebServer, type WebServer } from '../main.ts';
import { defaultWebSettings } from '../settings.ts';

const PASSWORD = 'correct horse 1!';
const TIMEOUT_MS = 60_000;
const canRun = requireOrSkip(missingTool('chromium', 'chromium'));

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
function codeOf(secret: string, stepsAhead = 0): string {
  const bits = [...secret].map((digit) => DIGITS.indexOf(digit).toString(2).padStart(5, '0'));
  const bytes = (bits.join('').match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + stepsAhead));
  const mac = createHmac('sha1', Buffer.from(bytes)).update(counter).digest();
  const number = mac.readUInt32BE(mac.readUInt8(19) & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, '0');
}

describe.skipIf(!canRun)('the plain page', () => {
  let tenants: Tenants;
  let web: WebServer;
  let provider: TestProvider;
  let browser: Browser;
  beforeAll(async () => {
    tenants = await testTenants();
    const { sql } = tenants.db;
    const hash = await hashPassword(PASSWORD, { algorithm: 'argon2id' });
    await sql`UPDATE users SET password = ${hash}`;
    await sql`UPDATE groups SET name = 'default' WHERE id = ${tenants.projects.default}`;
    web = await startWebServer({
      settings: {
        ...defaultWebSettings,
        cookieSecure: false,
        conf: { service: { 'single-sign-on-vendors': ['openid'] } },
      },
      live: tenants.ctx.webSessions,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      listen: { hostname: '127.0.0.1', port: 0 },
      managerUrl: tenants.url,
    });
    provider = await startTestProvider({
      redirectUri: `${web.url}/func/openid/redirect`,
      people: { ada: { email: 'ada@corp.example', email_verified: true } },
    });
    const prefix = 'config/plugins/webapp/openid';
    await tenants.ctx.config.putMany(
      new Map([
        [`${prefix}/login_uri`, `${web.url}/`],
        [`${prefix}/openid/well_known`, `${provider.issuer}/.well-known/openid-configuration`],
        [`${prefix}/openid/client_id`, provider.clientId],
        [`${prefix}/openid/client_secret`, provider.clientSecret],
      ]),
    );
    browser = await startBrowser();
  }, TIMEOUT_MS);
  afterAll(async () => {
    await browser.close();
    await web.stop();
    await provider.stop();
    await tenants.close();
  });

  const shown = (id: string) => `!document.getElementById('${id}')?.hidden`;
  const text = async (page: Page, id: string) =>
    String(await page.evaluate(`document.getElementById('${id}').innerText`));
  const set = (page: Page, id: string, value: string) =>
    page.evaluate(`document.getElementById('${id}').value = ${JSON.stringify(value)}; true`);
  const submit = (page: Page, id: string) =>
    page.evaluate(`document.getElementById('${id}').requestSubmit(); true`);
  const isSignedIn = `document.getElementById('account')?.hidden === false`;

  test(
    'single sign-on leads through the provider to a session; the token is not left in sight',
    async () => {
      const page = await browser.newPage();
      await page.open(web.url);
      await page.waitFor('single sign-on is offered', shown('openid'));
      await submit(page, 'openid');
      const atProvider = `location.origin === ${JSON.stringify(provider.issuer)}`;
      await page.waitFor('the provider asks', `${atProvider} && !!document.forms[0]`);
      await page.evaluate(`
        document.querySelector('[name=login]').value = 'ada';
        document.querySelector('[name=password]').value = 'any';
        document.forms[0].requestSubmit(); true`);
      const consents = `document.querySelector('[name=prompt]')?.value === 'consent'`;
      await page.waitFor('the provider asks for consent', `${atProvider} && ${consents}`);
      await page.evaluate('document.forms[0].requestSubmit(); true');
      await page.waitFor('the session is open', isSignedIn);
      expect(await page.evaluate('location.href')).toBe(`${web.url}/`);
      expect(await text(page, 'name')).toEndWith('(user)');
      const [row] = await tenants.db.sql`
        SELECT status_info FROM users WHERE email = 'ada@corp.example'`;
      expect(row).toEqual({ status_info: 'openid-created' });
      await page.evaluate(`document.getElementById('sign-out').click()`);
      await page.waitFor('the form is back', shown('sign-in'));
    },
    TIMEOUT_MS,
  );

  test(
    'a second factor that is demanded is enrolled, and then asked for',
    async () => {
      await tenants.ctx.config.put('config/plugins/hook/totp/forced', 'true');
      const page = await browser.newPage();
      await page.open(web.url);
      await page.waitFor('the form is shown', shown('sign-in'));
      await set(page, 'username', 'user@test.example');
      await set(page, 'password', PASSWORD);
      await submit(page, 'sign-in');
      await page.waitFor('enrolling is asked for', shown('enrol'));
      const secret = await text(page, 'enrol-key');
      expect(await page.evaluate(`document.getElementById('enrol-link').href`)).toContain(secret);
      await set(page, 'enrol-code', codeOf(secret, 50));
      await submit(page, 'enrol');
      await page.waitFor(
        'the wrong code is refused',
        `document.getElementById('message').innerText.includes('code')`,
      );
      await set(page, 'enrol-code', codeOf(secret));
      await submit(page, 'enrol');
      await page.waitFor('a code is asked for', `${shown('sign-in')} && ${shown('otp-field')}`);
      await set(page, 'otp', codeOf(secret, 1));
      await submit(page, 'sign-in');
      await page.waitFor('the session is open', isSignedIn);
      await tenants.ctx.config.delete('config/plugins/hook/totp/forced');
    },
    TIMEOUT_MS,
  );
});
