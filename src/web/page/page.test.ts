/** The plain page in a real browser, in front of a real manager. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { hashPassword } from '../../manager/user/password.ts';
import { type Browser, type Page, startBrowser } from '../../testing/browser.ts';
import { silentLog } from '../../testing/manager.ts';
import { missingTool, requireOrSkip } from '../../testing/services.ts';
import { startTestServer } from '../../testing/session-server.ts';
import { startWebServer, type WebServer } from '../main.ts';
import { defaultWebSettings } from '../settings.ts';

const PASSWORD = 'correct horse 1!';
const canRun = requireOrSkip(missingTool('chromium', 'chromium'));

describe.skipIf(!canRun)('the plain page', () => {
  let manager: Awaited<ReturnType<typeof startTestServer>>;
  let web: WebServer;
  let browser: Browser;
  beforeAll(async () => {
    manager = await startTestServer();
    const hash = await hashPassword(PASSWORD, { algorithm: 'argon2id' });
    await manager.sql`UPDATE users SET password = ${hash}`;
    web = await startWebServer({
      settings: { ...defaultWebSettings, cookieSecure: false },
      live: manager.webSessions,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      listen: { hostname: '127.0.0.1', port: 0 },
      managerUrl: manager.url,
    });
    browser = await startBrowser();
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    await web.stop();
    await manager.close();
  });

  const shown = (id: string) => `!document.getElementById('${id}').hidden`;
  const text = async (page: Page, id: string) =>
    String(await page.evaluate(`document.getElementById('${id}').innerText`));

  async function fillIn(page: Page, email: string, password: string): Promise<void> {
    await page.open(web.url);
    await page.waitFor('the form is shown', shown('sign-in'));
    await page.evaluate(`
      document.getElementById('username').value = ${JSON.stringify(email)};
      document.getElementById('password').value = ${JSON.stringify(password)};
      document.getElementById('sign-in').requestSubmit();`);
  }

  async function signOut(page: Page): Promise<void> {
    await page.evaluate(`document.getElementById('sign-out').click()`);
    await page.waitFor('the form is back', shown('sign-in'));
  }

  test('signs a user in, lists their sessions, and keeps them signed in', async () => {
    const page = await browser.newPage();
    await fillIn(page, 'user@test.example', PASSWORD);
    await page.waitFor('sessions are listed', `document.body.innerText.includes('RUNNING')`);
    expect(await text(page, 'sessions')).toContain('work');
    expect(await text(page, 'name')).toBe(`${manager.accounts.user.accessKey} (user)`);
    expect(await page.evaluate(shown('agents-section'))).toBe(false);
    await page.open(`${web.url}/index.html`);
    await page.waitFor('still signed in', shown('account'));
    await signOut(page);
    expect(page.complaints).toEqual([]);
  }, 60_000);

  test('what comes after the sign-out is not shown to whoever is next', async () => {
    const page = await browser.newPage();
    await fillIn(page, 'user@test.example', PASSWORD);
    await page.waitFor('sessions are listed', `document.body.innerText.includes('RUNNING')`);
    await page.evaluate(`
      const send = window.fetch;
      window.fetch = async (path, init) => {
        const response = await send(path, init);
        if (!String(path).includes('/admin/gql')) return response;
        const text = await response.text();
        await new Promise((resolve) => { window.letGo = resolve; });
        // Read already: nothing but promises stands between the answer and the page.
        return Object.assign(new Response(null, response), { text: () => Promise.resolve(text) });
      };
      document.getElementById('refresh').click();`);
    await page.waitFor('the list is on its way', 'window.letGo !== undefined');
    await signOut(page);
    await page.evaluate(`
      window.letGo();
      // Everything that waits for the answer has had its turn by then.
      new Promise((resolve) => setTimeout(resolve, 0)).then(() => { window.isOver = true; });`);
    await page.waitFor('the answer was taken', 'window.isOver === true');
    expect(await page.evaluate("document.querySelectorAll('#sessions td').length")).toBe(0);
  }, 60_000);

  test('shows a superadmin the agents, too', async () => {
    const page = await browser.newPage();
    await fillIn(page, 'superadmin@test.example', PASSWORD);
    await page.waitFor('agents are listed', `document.body.innerText.includes('i-one')`);
    expect(page.complaints).toEqual([]);
    await signOut(page);
  }, 60_000);

  test('says why nobody was signed in', async () => {
    const page = await browser.newPage();
    await fillIn(page, 'user@test.example', 'wrong');
    await page.waitFor(
      'the refusal is shown',
      `${shown('message')} && document.getElementById('message').innerText !== ''`,
    );
    expect(await text(page, 'message')).toContain('mismatch');
    expect(await page.evaluate(shown('account'))).toBe(false);
  }, 60_000);
});
