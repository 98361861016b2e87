/**
 * `bun run tour --webui DIR [--shots DIR] [--pages /a,/b] [--as superadmin,user]`: signs in to an
 * unmodified WebUI (its unpacked files) in front of a fresh local cluster, as superadmin and as user,
 * visits its pages in a real browser and tells every failed request, GraphQL error and script error.
 * Ends with 1 when there were any. `--shots` keeps a picture of every page. With `--actions` it does
 * what people do with folders instead of only looking at pages.
 */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Browser, startBrowser } from '../browser.ts';
import { folderActions } from './folder-actions.ts';
import { ADMIN_PAGES, isExpected, USER_PAGES } from './pages.ts';
import { type Account, complaintOf, settle, signIn, startSite } from './site.ts';

const { values: options } = parseArgs({
  options: {
    webui: { type: 'string' },
    shots: { type: 'string' },
    pages: { type: 'string' },
    as: { type: 'string', default: 'superadmin,user' },
    actions: { type: 'boolean', default: false },
  },
});
if (options.webui === undefined) {
  console.error('✘ name the unpacked WebUI: bun run tour --webui DIR');
  process.exit(2);
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

const site = await startSite(options.webui);
let problems = 0;
try {
  const { webUrl, accounts } = site;
  await site.backendAi('run', '-t', 'tour', 'python', '-c', 'print("hello world")');
  for (const role of options.actions ? [] : options.as.split(',')) {
    const account = accounts.find((one) => one.role === role);
    if (!account) throw new Error(`there is no account with the role '${role}'`);
    const browser = await startBrowser();
    try {
      problems += await tour(browser, webUrl, account);
    } finally {
      await browser.close();
    }
  }
  if (options.actions) {
    const browser = await startBrowser();
    try {
      problems += await folderActions(browser, site, options.shots ?? null);
    } finally {
      await browser.close();
    }
  }
  console.log(`${problems} problems`);
} finally {
  await site.stop();
}
process.exit(problems === 0 ? 0 : 1);
