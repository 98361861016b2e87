/** Apps of sessions, opened from the plain page in a real browser: a whole cluster is behind it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, readClientConfig } from '../../client/index.ts';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { type RunningCluster, startCluster } from '../../standalone/cluster.ts';
import { type Browser, type Page, startBrowser } from '../../testing/browser.ts';
import { silentLogger } from '../../testing/postgres.ts';
import { freePort, missingTool, requireOrSkip } from '../../testing/services.ts';

const TIMEOUT_MS = 120_000;
const canRun =
  requireOrSkip(missingTool('chromium', 'chromium')) &&
  requireOrSkip(missingTool('python3', 'python3'));

describe.skipIf(!canRun)('apps on the plain page', () => {
  const folder = mkdtempSync(join(tmpdir(), 'bai-page-apps-'));
  let cluster: RunningCluster;
  let browser: Browser;
  let sessionId: string;

  const accountOf = (name: string) => {
    const account = cluster.record.accounts.find((one) => one.name === name);
    if (account === undefined) throw new Error(`no account ${name}`);
    return account;
  };
  const clientOf = (name: string) =>
    new Client(
      readClientConfig({
        BACKEND_ENDPOINT: cluster.record.endpoint,
        BACKEND_ENDPOINT_TYPE: 'api',
        BACKEND_ACCESS_KEY: accountOf(name).accessKey,
        BACKEND_SECRET_KEY: accountOf(name).secretKey,
      }),
    );

  beforeAll(async () => {
    chmodSync(folder, 0o755);
    cluster = await startCluster({
      ...{ envId: 'page', folder: join(folder, 'page'), backend: 'process' },
      managerPort: await freePort(),
      clock: systemClock,
      random: systemRandom,
      log: silentLogger,
      progress() {},
    });
    browser = await startBrowser();
    const created = await clientOf('user').session.create({ image: 'python', name: 'with-apps' });
    sessionId = created.sessionId;
  }, TIMEOUT_MS);
  afterAll(async () => {
    await browser?.close();
    await clientOf('user').session.destroy(sessionId, { forced: true });
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  }, TIMEOUT_MS);

  async function signIn(name: string): Promise<Page> {
    const { email, password } = accountOf(name);
    const page = await browser.newPage();
    await page.open(cluster.record.webUrl);
    const isSignedIn = `!document.getElementById('account').hidden`;
    const isForm = `!document.getElementById('sign-in').hidden`;
    await page.waitFor('a form or an account', `${isForm} || ${isSignedIn}`);
    // Tabs share the cookie: somebody may be signed in already.
    if (await page.evaluate(isSignedIn))
      await page.click('sign out', `document.getElementById('sign-out')`);
    await page.waitFor('the form', isForm);
    await page.evaluate(`
      document.getElementById('username').value = ${JSON.stringify(email)};
      document.getElementById('password').value = ${JSON.stringify(password)};
      document.getElementById('sign-in').requestSubmit();`);
    await page.waitFor('sessions are listed', `document.querySelector('#sessions td') !== null`);
    return page;
  }

  const button = (title: string) =>
    `[...document.querySelectorAll('#sessions button')].find((one) => one.textContent === ${JSON.stringify(title)})`;
  const message = "document.getElementById('message').innerText";

  async function clickApp(page: Page, title: string): Promise<void> {
    await page.click(`a button for ${title}`, button(title));
  }

  /** Types into the terminal that a click on the page opens. */
  async function useTerminal(page: Page, word: string): Promise<void> {
    await clickApp(page, 'Terminal');
    const isApp = (url: string) =>
      url.startsWith('http') && !url.startsWith(cluster.record.webUrl) && !/\/v2\/|setup/.test(url);
    const terminal = await browser.openedPage('the terminal has a tab', isApp);
    const input = '.xterm-helper-textarea';
    const rows = "(document.querySelector('.xterm-rows')?.innerText ?? '')";
    await terminal.waitFor('the prompt', `${rows}.trim() !== ''`, 30_000);
    expect(await terminal.evaluate('window.opener === null')).toBe(true);
    await terminal.type(input, `echo ${word}-$((6*7))`);
    await terminal.waitFor('what is typed', `${rows}.includes('${word}-')`, 30_000);
    await terminal.press('Enter');
    await terminal.waitFor('what the shell says', `${rows}.includes('${word}-42')`, 30_000);
    await terminal.evaluate('setTimeout(() => window.close())');
  }

  test.each(['user', 'domain-admin', 'admin'])(
    'the terminal of a session opens in a new tab for %s',
    async (name) => {
      const page = await signIn(name);
      await useTerminal(page, 'hello');
      expect(await page.evaluate(message)).toBe('');
      expect(page.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    'tells where programs connect to an app that no browser shows',
    async () => {
      const page = await signIn('user');
      await clickApp(page, 'sshd');
      await page.waitFor('the address', `${message}.includes('tcp://')`, 30_000);
      const [, port = ''] = /tcp:\/\/[^:]+:(\d+)/.exec(String(await page.evaluate(message))) ?? [];
      const banner = Promise.withResolvers<string>();
      const socket = await Bun.connect({
        hostname: '127.0.0.1',
        port: Number(port),
        socket: {
          data: (_socket, data) => banner.resolve(data.toString()),
          close: () => banner.reject(new Error('closed')),
        },
      });
      expect(await banner.promise).toStartWith('SSH-2.0-');
      socket.end();
    },
    TIMEOUT_MS,
  );

  test(
    'others see none of it',
    async () => {
      const page = await signIn('user2');
      expect(await page.evaluate("document.querySelectorAll('#sessions button').length")).toBe(0);
    },
    TIMEOUT_MS,
  );

  test(
    'says in words why an app was not opened, and closes the tab that was meant for it',
    async () => {
      const page = await signIn('user');
      await page.evaluate(`window.openedTabs = [];
        const open = window.open.bind(window);
        window.open = (...args) => { const tab = open(...args); window.openedTabs.push(tab); return tab; };`);
      await clientOf('user').session.destroy('with-apps', { forced: true });
      await clickApp(page, 'Terminal');
      await page.waitFor('the reason', `${message} !== ''`, 30_000);
      expect(await page.evaluate(message)).toContain('There is no session');
      await page.waitFor('no tab is left', 'openedTabs.length === 1 && openedTabs[0].closed');
    },
    TIMEOUT_MS,
  );
});
