/** What people do with folders in the WebUI: each step is done with mouse and keys, and its effect checked. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Browser, Page } from '../browser.ts';
import { until } from '../until.ts';
import { complaintOf, type Site, settle, signIn } from './site.ts';

/** Pages and their parts are loaded piece by piece, on machines that do other things too. */
const STEP_MS = 60_000;
const FOLDER = 'tour-data';
const GUEST = 'user2@lablup.com';

const quoted = (text: string): string => JSON.stringify(text);
/** An expression for the last element to be seen that matches; dialogs come after what they cover. */
const shown = (selector: string, text = ''): string =>
  `[...document.querySelectorAll(${quoted(selector)})].filter((one) =>
     one.getClientRects().length > 0 && one.innerText.trim().endsWith(${quoted(text)})).at(-1)`;
/** The same within the row of a table that has this text. */
const inRow = (text: string, selector: string): string =>
  `[...document.querySelectorAll('tr')].filter((row) =>
     row.getClientRects().length > 0 && row.innerText.includes(${quoted(text)}))
     .at(-1)?.querySelector(${quoted(selector)})`;

class FolderVisit {
  readonly #page: Page;
  readonly #site: Site;
  readonly #downloads: string;

  constructor(page: Page, site: Site, downloads: string) {
    this.#page = page;
    this.#site = site;
    this.#downloads = downloads;
  }

  async #click(what: string, expression: string): Promise<void> {
    await this.#page.click(`there is ${what}`, expression, STEP_MS);
    await settle(this.#page);
  }

  #see(text: string): Promise<void> {
    // Editors put hard spaces.
    const expression = `document.body.innerText.replaceAll('\\u00a0', ' ').includes(${quoted(text)})`;
    return this.#page.waitFor(`'${text}' is to be seen`, expression, STEP_MS);
  }

  /** Waits until the folder's directory has exactly these entries. */
  async #holds(directory: string, names: readonly string[]): Promise<void> {
    const wanted = names.join(' ');
    const list = async () => {
      const text = await this.#site.backendAi(
        '--output',
        'json',
        'vfolder',
        'ls',
        FOLDER,
        directory,
      );
      const { items }: { items: { name: string }[] } = JSON.parse(text);
      return items.map(({ name }) => name).join(' ') === wanted;
    };
    await until(list, `${directory} holds ${wanted}`, STEP_MS);
  }

  async create(): Promise<void> {
    await this.#page.open(`${this.#site.webUrl}/data`);
    await this.#click('the button that makes folders', shown('button', 'Create Folder'));
    await this.#page.type('#name', FOLDER);
    await this.#click('its confirmation', shown('[data-testid=create-folder-button]'));
    await this.#see(FOLDER);
    await this.#holds('.', []);
  }

  async uploadDirectory(from: string): Promise<void> {
    await this.#click("the folder's name", shown('td a', FOLDER));
    await this.#click('the upload menu', shown('button', 'Upload'));
    const input = 'input[type=file][webkitdirectory]';
    await this.#page.waitFor('directories can be chosen', `!!document.querySelector('${input}')`);
    await this.#page.chooseFiles(input, [from]);
    await settle(this.#page);
    await this.#holds('.', ['sent']);
    await this.#holds('sent/inner', ['two.txt']);
  }

  async preview(): Promise<void> {
    await this.#click('the directory', shown('td a', 'sent'));
    await this.#click("the file's menu", inRow('one.txt', '[aria-label="More options"]'));
    await this.#click('the editor', shown('button, [role=menuitem]', 'Edit File'));
    await this.#see('what the first file says');
    await this.#click('the way out of the editor', shown('button', 'Cancel'));
  }

  async rename(): Promise<void> {
    await this.#click('the pencil beside the name', inRow('one.txt', '[aria-label="edit"]'));
    const input = `document.activeElement?.tagName === 'INPUT' ? document.activeElement : null`;
    await this.#page.waitFor('the name can be edited', `!!(${input})`, STEP_MS);
    await this.#page.evaluate(`(${input}).select()`);
    await this.#page.type(':focus', 'first.txt');
    await this.#page.press('Enter');
    await this.#holds('sent', ['first.txt', 'inner']);
  }

  async downloadSeveral(): Promise<void> {
    await this.#page.downloadTo(this.#downloads);
    await this.#click('the choice of the file', inRow('first.txt', 'input[type=checkbox]'));
    await this.#click('the choice of the directory', inRow('inner', 'input[type=checkbox]'));
    await this.#see('2 selected');
    const download = `[...document.querySelectorAll('button')].filter((one) =>
      one.getClientRects().length > 0 && one.closest('td') === null &&
      one.querySelector('.lucide-download') !== null).at(-1)`;
    await this.#click('the download of what is chosen', download);
    const complete = () => {
      const [name] = readdirSync(this.#downloads).filter((one) => one.endsWith('.zip'));
      return name === undefined
        ? null
        : readFileSync(join(this.#downloads, name)).includes('inner/two.txt');
    };
    await until(complete, 'an archive of both is downloaded', STEP_MS);
  }

  async deleteFile(): Promise<void> {
    await this.#page.open(`${this.#site.webUrl}/data`);
    await this.#click("the folder's name", shown('td a', FOLDER));
    await this.#click('the directory', shown('td a', 'sent'));
    await this.#click('the bin beside the file', inRow('first.txt', '[aria-label="delete"]'));
    await this.#page.type('.ant-modal input:focus', 'first.txt');
    await this.#click('its confirmation', shown('.ant-modal button', 'Delete'));
    await this.#holds('sent', ['inner']);
  }

  async share(): Promise<void> {
    await this.#page.open(`${this.#site.webUrl}/data`);
    await this.#click('the share button, the first of the row', inRow(FOLDER, 'td button'));
    await this.#page.type('.ant-modal input', GUEST);
    await this.#click('its confirmation', shown('.ant-modal button', 'Add'));
    const invited = () =>
      this.#page.answers.some(({ url, status }) => url.endsWith('/invite') && status === 201);
    await until(invited, `${GUEST} is invited`, STEP_MS);
  }

  async trash(): Promise<void> {
    await this.#page.open(`${this.#site.webUrl}/data`);
    await this.#click(
      'the bin beside the folder',
      inRow(FOLDER, '[aria-label="delete"], .lucide-trash-2, .lucide-trash'),
    );
    await this.#click('its confirmation', shown('.ant-modal button', 'Confirm'));
    const trashed = async () =>
      (await this.#site.backendAi('--output', 'json', 'vfolder', 'list')).includes(
        'delete-pending',
      );
    await until(trashed, 'the folder is in the trash', STEP_MS);
  }
}

/** @returns how many steps failed; those after a failure are done all the same. */
export async function folderActions(
  browser: Browser,
  site: Site,
  shotsFolder: string | null,
): Promise<number> {
  const account = site.accounts.find(({ name }) => name === 'user');
  if (!account) throw new Error('there is no account user');
  const shots = shotsFolder === null ? null : resolve(shotsFolder, 'folders');
  if (shots) mkdirSync(shots, { recursive: true });
  const here = mkdtempSync(join(tmpdir(), 'bai-tour-files-'));
  mkdirSync(join(here, 'sent/inner'), { recursive: true });
  mkdirSync(join(here, 'got'));
  writeFileSync(join(here, 'sent/one.txt'), 'what the first file says\n');
  writeFileSync(join(here, 'sent/inner/two.txt'), 'second\n');
  const page = await browser.newPage();
  await signIn(page, site.webUrl, account);
  const visit = new FolderVisit(page, site, join(here, 'got'));
  const steps: [string, () => Promise<void>][] = [
    ['create', () => visit.create()],
    ['upload a directory', () => visit.uploadDirectory(join(here, 'sent'))],
    ['preview', () => visit.preview()],
    ['rename', () => visit.rename()],
    ['download several', () => visit.downloadSeveral()],
    ['delete a file', () => visit.deleteFile()],
    ['share', () => visit.share()],
    ['delete the folder', () => visit.trash()],
  ];
  let problems = 0;
  let seen = 0;
  for (const [at, [name, step]] of steps.entries()) {
    const wrong: string[] = [];
    await step().catch((error: unknown) => wrong.push(String(error)));
    const answers = page.answers.slice(seen);
    seen += answers.length;
    // Pages ask some things that only administrators may know; `pages.ts` lists them.
    const refused = answers.filter(({ url }) => url.includes('/folders') || url.includes('token='));
    wrong.push(...refused.map(complaintOf).filter((text) => text !== null));
    console.log(`${wrong.length === 0 ? '✓' : '✗'} ${name} (${answers.length} requests)`);
    for (const text of wrong) console.log(`    ${text}`);
    problems += wrong.length;
    if (shots)
      await Bun.write(
        join(shots, `${at + 1}-${name.replaceAll(' ', '-')}.png`),
        await page.screenshot(),
      );
  }
  rmSync(here, { recursive: true });
  return problems;
}
