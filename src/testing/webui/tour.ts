/**
 * `bun run tour --webui DIR [--shots DIR] [--pages /a,/b] [--as superadmin,user]`: signs in to an
 * unmodified WebUI (its unpacked files) in front of a fresh local cluster, as superadmin and as user,
 * visits its pages in a real browser and tells every failed request, GraphQL error and script error.
 * Ends with 1 when there were any. `--shots` keeps a picture of every page.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { systemClock } from '../../common/clock.ts';
import { type Browser, type Page, type PageAnswer, startBrowser } from '../browser.ts';
import { ADMIN_PAGES, isExpected, USER_PAGES } from './pages.ts';

/** A page counts as loaded when nothing was fetched for this long. */
const QUIET_MS = 1200;
/** Longest wait for that; a page that streams is never quiet. */
const SETTLE_MS = 20_000;
const START_TIMEOUT_MS = 120_000;

const { values: options } = parseArgs({
  options: {
    webui: { type: 'string' },
    shots: { type: 'string' },
    pages: { type: 'string' },
    as: { type: 'string', default: 'superadmin,user' },
  },
});
if (options.webui === undefined) {
  console.error('✘ name the unpacked WebUI: bun run tour --webui DIR');
  process.exit(2);
}

const cluster = v.object({
  webUrl: v.string(),
  accounts: v.array(v.object({ email: v.string(), role: v.string(), password: v.string() })),
});
type Account = v.InferOutput<typeof cluster>['accounts'][number];

const home = mkdtempSync(join(tmpdir(), 'bai-tour-'));
const program = join(import.meta.dir, '../../../backend.ai');
const place = ['--env-id', 'tour', '--data-dir', home];

async function backendAi(...args: string[]): Promise<string> {
  const child = Bun.spawn([program, ...args], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
    env: { ...process.env, HOME: home, BACKEND_DATA_DIR: home, BACKEND_ENV_ID: 'tour' },
    timeout: START_TIMEOUT_MS,
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`backend.ai ${args.join(' ')} failed`);
  return text;
}

/** Waits until the page has fetched what it wants. */
async function settle(page: Page): Promise<void> {
  const endMs = systemClock.monotonicMs() + SETTLE_MS;
  let seen = -1;
  let quietSinceMs = systemClock.monotonicMs();
  while (systemClock.monotonicMs() < endMs) {
    const now = page.answers.length + page.pending;
    if (now !== seen || page.pending > 0) quietSinceMs = systemClock.monotonicMs();
    seen = now;
    if (systemClock.monotonicMs() - quietSinceMs > QUIET_MS) return;
    await systemClock.sleep(50);
  }
}

async function signIn(page: Page, url: string, { email, password }: Account): Promise<void> {
  await page.open(url);
  await settle(page);
  await page.type('input[type=text], input[type=email]', email);
  await page.type('input[type=password]', password);
  await page.evaluate(`(() => {
    const buttons = [...document.querySelectorAll('button')];
    buttons.find((one) => /^(log ?in|sign ?in)$/i.test(one.innerText.trim()))?.click();
  })()`);
  await page.waitFor(
    `${email} is signed in`,
    `!document.querySelector('input[type=password]') && document.querySelectorAll('a[href]').length > 0`,
  );
  await settle(page);
}

const graphqlErrors = v.object({ errors: v.nullish(v.array(v.object({ message: v.string() }))) });

/** What is wrong with an answer; null when nothing is. */
function complaintOf(answer: PageAnswer): string | null {
  const { pathname, search } = new URL(answer.url);
  const what = `${answer.method} ${pathname}${search}`;
  const asked = (answer.sent ?? '').replace(/\s+/g, ' ').slice(0, 160);
  if (answer.status >= 400) {
    return `${what} ${answer.status} ${(answer.body ?? '').slice(0, 300)} ${asked}`;
  }
  if (!answer.url.includes('/admin/gql') || answer.body === null) return null;
  const parsed = v.safeParse(graphqlErrors, JSON.parse(answer.body));
  const messages = parsed.success ? (parsed.output.errors ?? []) : [];
  return messages.length === 0
    ? null
    : `${what} ${messages.map(({ message }) => message).join(' | ')} ⟵ ${asked}`;
}

async function tour(browser: Browser, url: string, account: Account): Promise<number> {
  const shots = options.shots === undefined ? null : resolve(options.shots, account.role);
  if (shots) mkdirSync(shots, { recursive: true });
  const page = await browser.newPage();
  try {
    await signIn(page, url, account);
  } catch (error) {
    if (shots) await Bun.write(join(shots, 'failed-sign-in.png'), await page.screenshot());
    for (const text of page.answers.map(complaintOf)) if (text !== null) console.log(`    ${text}`);
    for (const text of page.complaints) console.log(`    ${text}`);
    throw error;
  }
  const wanted = account.role === 'superadmin' ? ADMIN_PAGES : USER_PAGES;
  const pages = options.pages?.split(',') ?? wanted;
  let problems = 0;
  let answersSeen = 0;
  let complaintsSeen = 0;
  for (const path of ['(sign-in)', ...pages]) {
    if (path !== '(sign-in)') {
      await page.open(`${url}${path}`);
      await settle(page);
    }
    const answers = page.answers.slice(answersSeen);
    answersSeen += answers.length;
    const complaints = page.complaints.slice(complaintsSeen);
    complaintsSeen += complaints.length;
    const wrong = [
      ...answers.map(complaintOf).filter((text) => text !== null),
      // The browser repeats failed requests; they are told better above.
      ...complaints.filter((text) => !text.startsWith('Failed to load resource')),
    ].filter((text) => !isExpected(account.role, text));
    problems += wrong.length;
    console.log(
      `${wrong.length === 0 ? '✓' : '✗'} ${account.role} ${path} (${answers.length} requests)`,
    );
    for (const text of wrong) console.log(`    ${text}`);
    const name = path.replaceAll(/\W+/g, '-').replace(/^-|-$/g, '') || 'root';
    if (shots) await Bun.write(join(shots, `${name}.png`), await page.screenshot());
  }
  return problems;
}

let problems = 0;
try {
  const started = await backendAi(
    ...['--output', 'json', 'up', '--detach', ...place, '--webui', resolve(options.webui)],
  );
  const { webUrl, accounts } = v.parse(cluster, JSON.parse(started));
  await backendAi('run', '-t', 'tour', 'python', '-c', 'print("hello world")');
  for (const role of options.as.split(',')) {
    const account = accounts.find((one) => one.role === role);
    if (!account) throw new Error(`there is no account with the role '${role}'`);
    const browser = await startBrowser();
    try {
      problems += await tour(browser, webUrl, account);
    } finally {
      await browser.close();
    }
  }
  console.log(`${problems} problems`);
} finally {
  await backendAi('down', '--sessions', ...place);
  rmSync(home, { recursive: true, force: true });
}
process.exit(problems === 0 ? 0 : 1);
