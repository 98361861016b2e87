/** A fresh local cluster with an unmodified WebUI, and people who sign in to it in a browser. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import * as v from 'valibot';
import { systemClock } from '../../common/clock.ts';
import type { Page, PageAnswer } from '../browser.ts';

/** A page counts as loaded when nothing was fetched for this long. */
const QUIET_MS = 1200;
/** Longest wait for that; a page that streams is never quiet. */
const SETTLE_MS = 20_000;
/** Until placeholders must have content; a busy machine takes long to run what it fetched. */
const FILL_MS = 60_000;
const START_TIMEOUT_MS = 120_000;
/** The first page loads all scripts there are. */
const SIGN_IN_MS = 60_000;

const cluster = v.object({
  webUrl: v.string(),
  accounts: v.array(
    v.object({ name: v.string(), email: v.string(), role: v.string(), password: v.string() }),
  ),
});
export type Account = v.InferOutput<typeof cluster>['accounts'][number];

export interface Site extends v.InferOutput<typeof cluster> {
  /** Runs a command of the client against it, as the user. */
  backendAi(...args: string[]): Promise<string>;
  stop(): Promise<void>;
}

/** @param webui the WebUI's unpacked files. */
export async function startSite(webui: string): Promise<Site> {
  const home = mkdtempSync(join(tmpdir(), 'bai-tour-'));
  const program = join(import.meta.dir, '../../../backend.ai');
  const place = ['--env-id', 'tour', '--data-dir', home];
  const backendAi = async (...args: string[]): Promise<string> => {
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
  };
  const stop = async () => {
    await backendAi('down', '--sessions', ...place);
    rmSync(home, { recursive: true, force: true });
  };
  try {
    const started = await backendAi(
      ...['--output', 'json', 'up', '--detach', ...place, '--webui', resolve(webui)],
    );
    return { ...v.parse(cluster, JSON.parse(started)), backendAi, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Waits until the page has fetched what it wants. */
export async function settle(page: Page): Promise<void> {
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

const PLACEHOLDERS = '.ant-skeleton, .ant-spin-spinning';

/** What is wrong with a page that keeps showing placeholders; null when its content is there. */
export async function isUnfinished(page: Page): Promise<string | null> {
  const shown = `[...document.querySelectorAll('${PLACEHOLDERS}')].filter((one) => one.checkVisibility()).length`;
  const endMs = systemClock.monotonicMs() + FILL_MS;
  for (;;) {
    await settle(page);
    const count = await page.evaluate(shown);
    if (count === 0) return null;
    if (systemClock.monotonicMs() > endMs) return `${count} placeholders have no content`;
  }
}

export async function signIn(page: Page, url: string, { email, password }: Account): Promise<void> {
  await page.open(url);
  await settle(page);
  const form = `document.querySelector('input[type=password]') !== null`;
  await page.waitFor('there is the form to sign in with', form, SIGN_IN_MS);
  await page.type('input[type=text], input[type=email]', email);
  await page.type('input[type=password]', password);
  await page.evaluate(`(() => {
    const buttons = [...document.querySelectorAll('button')];
    buttons.find((one) => /^(log ?in|sign ?in)$/i.test(one.innerText.trim()))?.click();
  })()`);
  await page.waitFor(
    `${email} is signed in`,
    `!document.querySelector('input[type=password]') && document.querySelectorAll('a[href]').length > 0`,
    SIGN_IN_MS,
  );
  await settle(page);
}

const graphqlErrors = v.object({ errors: v.nullish(v.array(v.object({ message: v.string() }))) });

/** What is wrong with an answer; null when nothing is. */
export function complaintOf(answer: PageAnswer): string | null {
  const { pathname, search } = new URL(answer.url);
  const what = `${answer.method} ${pathname}${search}`;
  const asked = (answer.sent ?? '').replace(/\s+/g, ' ').slice(0, 160);
  if (answer.failure !== null) return `${what} ${answer.failure} ${asked}`;
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
