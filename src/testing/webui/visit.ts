/** What a person does in the WebUI: clicks and looks, step by step, and what goes wrong meanwhile. */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Browser, Page } from '../browser.ts';
import { isExpected } from './pages.ts';
import { type Account, complaintOf, type Site, settle, signIn } from './site.ts';

/** Pages and their parts are loaded piece by piece, on machines that do other things too. */
export const STEP_MS = 60_000;

export const quoted = (text: string): string => JSON.stringify(text);

/** An expression for the last element to be seen that matches; dialogs come after what they cover. */
export const shown = (selector: string, text = ''): string =>
  `[...document.querySelectorAll(${quoted(selector)})].filter((one) =>
     one.getClientRects().length > 0 && one.innerText.trim().endsWith(${quoted(text)})).at(-1)`;

/** The row of a table that has this text. */
export const rowOf = (text: string): string =>
  `[...document.querySelectorAll('tr')].filter((row) =>
     row.getClientRects().length > 0 && row.innerText.includes(${quoted(text)})).at(-1)`;

/** An element within the row of a table that has this text. */
export const inRow = (text: string, selector: string): string =>
  `${rowOf(text)}?.querySelector(${quoted(selector)})`;

/** What is wrong with all that a page has fetched and said since it was asked last. */
export class Watch {
  readonly #page: Page;
  readonly #role: string;
  #answers = 0;
  #complaints = 0;

  constructor(page: Page, role: string) {
    this.#page = page;
    this.#role = role;
  }

  news(): { requests: number; wrong: string[] } {
    const answers = this.#page.answers.slice(this.#answers);
    const complaints = this.#page.complaints.slice(this.#complaints);
    this.#answers += answers.length;
    this.#complaints += complaints.length;
    const wrong = [
      ...answers.map(complaintOf).filter((text) => text !== null),
      // The browser repeats failed requests; they are told better above.
      ...complaints.filter((text) => !text.startsWith('Failed to load resource')),
    ];
    return {
      requests: answers.length,
      wrong: wrong.filter((text) => !isExpected(this.#role, text)),
    };
  }
}

/** One person in one tab. Actions extend it with what is done. */
export class Visit {
  /** The tab in front, of which pictures are taken. */
  front: Page;
  readonly browser: Browser;
  readonly page: Page;
  readonly site: Site;
  readonly account: Account;
  /** Of all tabs that were opened. */
  readonly #watches: Watch[];

  constructor(browser: Browser, page: Page, site: Site, account: Account) {
    this.browser = browser;
    this.page = page;
    this.front = page;
    this.site = site;
    this.account = account;
    this.#watches = [new Watch(page, account.role)];
  }

  /** What went wrong since it was asked last. */
  news(): { requests: number; wrong: string[] } {
    const all = this.#watches.map((watch) => watch.news());
    return {
      requests: all.reduce((sum, { requests }) => sum + requests, 0),
      wrong: all.flatMap(({ wrong }) => wrong),
    };
  }

  /** The tab that the WebUI or an app has opened last, in front. */
  async opened(what: string, isMeant: (url: string) => boolean): Promise<Page> {
    const page = await this.browser.openedPage(what, isMeant);
    this.#watches.push(new Watch(page, this.account.role));
    await this.show(page);
    return page;
  }

  /** Puts a tab before the others. */
  async show(page: Page): Promise<void> {
    this.front = page;
    await page.show();
  }

  open(path: string): Promise<void> {
    return this.page.open(`${this.site.webUrl}${path}`).then(() => settle(this.page));
  }

  async click(what: string, expression: string): Promise<void> {
    await this.page.click(`there is ${what}`, expression, STEP_MS);
    await settle(this.page);
  }

  waitFor(what: string, expression: string): Promise<void> {
    return this.page.waitFor(what, expression, STEP_MS);
  }

  /** Waits until the text is on the page. */
  see(text: string): Promise<void> {
    // Editors put hard spaces.
    const expression = `document.body.innerText.replaceAll('\\u00a0', ' ').includes(${quoted(text)})`;
    return this.waitFor(`'${text}' is to be seen`, expression);
  }

  /** Brings the page to where the next step begins, after one that failed somewhere on its way. */
  recover(): Promise<void> {
    return Promise.resolve();
  }

  /** What is to be done when all steps are taken. */
  cleanUp(): void {}

  /** Closes the uppermost dialog or drawer and waits until it is gone. */
  async close(): Promise<void> {
    const closers = `[...document.querySelectorAll('.ant-modal-close, .ant-drawer-close')]
      .filter((one) => one.getClientRects().length > 0)`;
    const open = Number(await this.page.evaluate(`${closers}.length`));
    await this.page.click('a dialog can be closed', `${closers}.at(-1)`, STEP_MS);
    await this.waitFor('it is closed', `${closers}.length < ${open}`);
  }
}

/** What somebody does in the WebUI: the names and bodies of the steps, in order. */
export type Steps = readonly (readonly [name: string, body: () => Promise<void>])[];

/**
 * Signs in and takes the steps one after another; those after a failure are taken all the same.
 * @param shotsFolder keeps a picture of the page after each step; null for none.
 * @returns how many things went wrong: failed steps, requests and scripts.
 */
export async function takeSteps<V extends Visit>(
  name: string,
  site: Site,
  browser: Browser,
  shotsFolder: string | null,
  visitOf: (...args: ConstructorParameters<typeof Visit>) => V,
  stepsOf: (visit: V) => Steps,
): Promise<number> {
  const account = site.accounts.find((one) => one.name === 'user');
  if (!account) throw new Error('there is no account user');
  const shots = shotsFolder === null ? null : resolve(shotsFolder, name);
  if (shots) mkdirSync(shots, { recursive: true });
  const page = await browser.newPage();
  const visit = visitOf(browser, page, site, account);
  const steps: Steps = [['sign in', () => signIn(page, site.webUrl, account)], ...stepsOf(visit)];
  let problems = 0;
  for (const [at, [step, body]] of steps.entries()) {
    const failed: string[] = [];
    await body().catch((error: unknown) => failed.push(String(error)));
    const { requests, wrong } = visit.news();
    const all = [...failed, ...wrong];
    console.log(`${all.length === 0 ? '✓' : '✗'} ${name}: ${step} (${requests} requests)`);
    for (const text of all) console.log(`    ${text}`);
    problems += all.length;
    if (shots) {
      const file = `${at}-${step.replaceAll(/\W+/g, '-')}.png`;
      await Bun.write(join(shots, file), await visit.front.screenshot());
    }
    if (failed.length > 0) {
      const recovered = visit.recover();
      await recovered.catch((error: unknown) => console.log(`    afterwards: ${error}`));
    }
  }
  visit.cleanUp();
  return problems;
}
