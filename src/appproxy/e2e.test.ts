/** An application of a real session, opened in a real browser through the app proxy of `up`. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, readClientConfig } from '../client/index.ts';
import { systemClock } from '../common/clock.ts';
import { systemRandom } from '../common/random.ts';
import { type RunningCluster, startCluster } from '../standalone/cluster.ts';
import { type Browser, type Page, startBrowser } from '../testing/browser.ts';
import { silentLogger } from '../testing/postgres.ts';
import { freePort, missingTool, requireOrSkip } from '../testing/services.ts';
import { until } from '../testing/until.ts';

const TIMEOUT_MS = 120_000;
const canRun =
  requireOrSkip(missingTool('chromium', 'chromium')) &&
  requireOrSkip(missingTool('python3', 'python3'));

/** Serves a page, and the cookies that it got, on a port of the session. */
const serving = (port: number) => `
import http.server, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ('<h1>hello from the session</h1><p>' + self.path + '</p>').encode()
        self.send_response(200)
        self.send_header('Content-Type', 'text/html')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', ${port}), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print('serving')
`;

interface ServedApp {
  readonly session: string;
  readonly sessionId: string;
  readonly port: number;
}

describe.skipIf(!canRun)('an app of a process session', () => {
  const folder = mkdtempSync(join(tmpdir(), 'bai-apps-'));
  let cluster: RunningCluster;
  let browser: Browser;
  let app: ServedApp;

  const clientOf = (name: string) => {
    const account = cluster.record.accounts.find((one) => one.name === name);
    if (account === undefined) throw new Error(`no account ${name}`);
    return new Client(
      readClientConfig({
        BACKEND_ENDPOINT: cluster.record.endpoint,
        BACKEND_ENDPOINT_TYPE: 'api',
        BACKEND_ACCESS_KEY: account.accessKey,
        BACKEND_SECRET_KEY: account.secretKey,
      }),
    );
  };

  beforeAll(async () => {
    chmodSync(folder, 0o755);
    cluster = await startCluster({
      ...{ envId: 'apps', folder: join(folder, 'apps'), backend: 'process' },
      managerPort: await freePort(),
      clock: systemClock,
      random: systemRandom,
      log: silentLogger,
      progress() {},
    });
    browser = await startBrowser();
    app = await startApp('with-app');
  }, TIMEOUT_MS);
  afterAll(async () => {
    await browser?.close();
    await clientOf('user').session.destroy(app.sessionId, { forced: true });
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  }, TIMEOUT_MS);

  /** A session of the user's that serves the page on a port. */
  async function startApp(session: string): Promise<ServedApp> {
    const [port, client] = [await freePort(), clientOf('user')];
    const { sessionId } = await client.session.create({
      ...{ image: 'python', name: session, preopenPorts: [port] },
    });
    let printed = '';
    const code = serving(port);
    for await (const slice of await client.session.stream(sessionId, { mode: 'query', code })) {
      printed += JSON.stringify(slice);
      if (printed.includes('serving')) break;
    }
    return { session, sessionId, port };
  }

  const opened = async ({ session, sessionId, port }: ServedApp) => {
    const client = clientOf('user');
    const { token, wsproxy_addr } = await client.session.startService(session, {
      app: String(port),
    });
    const path = `/v2/proxy/${token}/${sessionId}/add?app=${port}&protocol=preopen`;
    const added = await fetch(new URL(path, wsproxy_addr));
    return String(Object(await added.json()).url);
  };

  const shows = (words: string) =>
    `document.body !== null && document.body.innerText.includes(${JSON.stringify(words)})`;

  /** Follows the redirections from an address of the app proxy to the application. */
  async function visit(page: Page, url: string): Promise<void> {
    await page.evaluate(`location.assign(${JSON.stringify(url)})`);
    await page.waitFor('the page of the session', shows('hello from the session'));
  }

  test(
    'is shown by a browser that opens its address, and by no other one',
    async () => {
      const page = await browser.newPage();
      await visit(page, await opened(app));
      const origin = String(await page.evaluate('location.origin'));
      await page.open(`${origin}/deep/path?x=1`);
      await page.waitFor('another page of it', shows('/deep/path?x=1'));
      expect((await fetch(origin)).status).toBe(401);
    },
    TIMEOUT_MS,
  );

  test(
    'the terminal of the session is typed into',
    async () => {
      const client = clientOf('user');
      const { token, wsproxy_addr } = await client.session.startService('with-app', {
        app: 'ttyd',
      });
      const path = `/v2/proxy/${token}/${app.sessionId}/add?app=ttyd&protocol=http`;
      const { url } = Object(await (await fetch(new URL(path, wsproxy_addr))).json());
      const page = await browser.newPage();
      await page.evaluate(`location.assign(${JSON.stringify(url)})`);
      const terminal = "document.querySelector('.xterm-helper-textarea') !== null";
      await page.waitFor('the page of the terminal', terminal);
      const rows = "(document.querySelector('.xterm-rows')?.innerText ?? '')";
      await page.waitFor('the prompt', `${rows}.trim() !== ''`);
      await page.type('.xterm-helper-textarea', 'echo typed-$((6*7))');
      await page.waitFor('what is typed', `${rows}.includes('typed-')`);
      await page.evaluate(`document.querySelector('.xterm-helper-textarea').dispatchEvent(
        new KeyboardEvent('keydown', { key: 'Enter', code: 'Enter', keyCode: 13, bubbles: true }))`);
      await page.waitFor('what the shell says', `${rows}.includes('typed-42')`);
    },
    TIMEOUT_MS,
  );

  test(
    'another user cannot start it; the end of the session ends the way to it',
    async () => {
      const ending = await startApp('ending-app');
      const stranger = clientOf('user2');
      const refused = await stranger.session
        .startService(ending.sessionId, { app: String(ending.port) })
        .then(() => 'started', String);
      expect(refused).toContain('There is no session');
      const page = await browser.newPage();
      await visit(page, await opened(ending));
      const origin = String(await page.evaluate('location.origin'));
      await clientOf('user').session.destroy(ending.session, { forced: true });
      await until(
        () =>
          fetch(origin).then(
            () => false,
            () => true,
          ),
        'nothing listens there any more',
        60_000,
      );
    },
    TIMEOUT_MS,
  );
});
