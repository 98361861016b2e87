/**
 * `bun run tour --webui DIR [--shots DIR] [--pages /a,/b] [--as superadmin,user]`: signs in to an
 * unmodified WebUI (its unpacked files) in front of a fresh local cluster, as superadmin and as user,
 * visits its pages in a real browser and tells every failed request, GraphQL error, script error and
 * placeholder that gets no content.
 * Ends with 1 when there were any. `--shots` keeps a picture of every page. With
 * `--actions folders,sessions,apps` it does what people do there instead of looking at pages.
 */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Browser, startBrowser } from '../browser.ts';
import { appActions } from './app-actions.ts';
import { folderActions } from './folder-actions.ts';
import { ADMIN_PAGES, USER_PAGES } from './pages.ts';
import { sessionActions } from './session-actions.ts';
import { type Account, complaintOf, isUnfinished, signIn, startSite } from './site.ts';
import { Watch } from './visit.ts';

const { values: options } = parseArgs({
  options: {
    webui: { type: 'string' },
    shots: { type: 'string' },
    pages: { type: 'string' },
    as: { type: 'string', default: 'superadmin,user' },
    actions: { type: 'string' },
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
  const watch = new Watch(page, account.role);
  for (const path of ['(sign-in)', ...pages]) {
    if (path !== '(sign-in)') {
      await page.open(`${url}${path}`);
    }
    const unfinished = await isUnfinished(page);
    const { requests, wrong: seen } = watch.news();
    const wrong = unfinished === null ? seen : [unfinished, ...seen];
    problems += wrong.length;
    console.log(`${wrong.length === 0 ? '✓' : '✗'} ${account.role} ${path} (${requests} requests)`);
    for (const text of wrong) console.log(`    ${text}`);
    const name = path.replaceAll(/\W+/g, '-').replace(/^-|-$/g, '') || 'root';
    if (shots) await Bun.write(join(shots, `${name}.png`), await page.screenshot());
  }
  return problems;
}

const ACTIONS = new Map([
  ['folders', folderActions],
  ['sessions', sessionActions],
  ['apps', appActions],
]);
const chosen = options.actions?.split(',') ?? [];
const actions = chosen.map((name) => ACTIONS.get(name)).filter((one) => one !== undefined);
if (actions.length < chosen.length) {
  console.error(`✘ known actions: ${[...ACTIONS.keys()].join(', ')}`);
  process.exit(2);
}

const site = await startSite(options.webui);
let problems = 0;
try {
  const { webUrl, accounts } = site;
  // Something to be seen on the pages.
  if (actions.length === 0) {
    await site.backendAi('run', '-t', 'tour', 'python', '-c', 'print("hello world")');
  }
  for (const role of actions.length > 0 ? [] : options.as.split(',')) {
    const account = accounts.find((one) => one.role === role);
    if (!account) throw new Error(`there is no account with the role '${role}'`);
    const browser = await startBrowser();
    try {
      problems += await tour(browser, webUrl, account);
    } finally {
      await browser.close();
    }
  }
  for (const action of actions) {
    const browser = await startBrowser();
    try {
      problems += await action(browser, site, options.shots ?? null);
    } finally {
      await browser.close();
    }
  }
  console.log(`${problems} problems`);
} finally {
  await site.stop();
}
process.exit(problems === 0 ? 0 : 1);
