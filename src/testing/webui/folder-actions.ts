/** What people do with folders in the WebUI: each step is done with mouse and keys, and its effect checked. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from '../browser.ts';
import { until } from '../until.ts';
import { type Site, settle } from './site.ts';
import { inRow, rowOf, STEP_MS, type Steps, shown, takeSteps, Visit } from './visit.ts';

const FOLDER = 'tour-data';
const GUEST = 'user2@lablup.com';

class FolderVisit extends Visit {
  readonly #files = mkdtempSync(join(tmpdir(), 'bai-tour-files-'));
  readonly #downloads = join(this.#files, 'got');

  constructor(...args: ConstructorParameters<typeof Visit>) {
    super(...args);
    mkdirSync(join(this.#files, 'sent/inner'), { recursive: true });
    mkdirSync(this.#downloads);
    writeFileSync(join(this.#files, 'sent/one.txt'), 'what the first file says\n');
    writeFileSync(join(this.#files, 'sent/inner/two.txt'), 'second\n');
  }

  /** Waits until the folder's directory has exactly these entries. */
  async #holds(directory: string, names: readonly string[]): Promise<void> {
    const wanted = names.join(' ');
    const ask = ['--output', 'json', 'vfolder', 'ls', FOLDER, directory];
    const list = async () => {
      const text = await this.site.backendAi(...ask);
      const { items }: { items: { name: string }[] } = JSON.parse(text);
      return items.map(({ name }) => name).join(' ') === wanted;
    };
    await until(list, `${directory} holds ${wanted}`, STEP_MS);
  }

  async create(): Promise<void> {
    await this.open('/data');
    await this.click('the button that makes folders', shown('button', 'Create Folder'));
    await this.page.type('#name', FOLDER);
    await this.click('its confirmation', shown('[data-testid=create-folder-button]'));
    await this.see(FOLDER);
    await this.#holds('.', []);
  }

  async uploadDirectory(): Promise<void> {
    await this.click("the folder's name", shown('td a', FOLDER));
    await this.click('the upload menu', shown('button', 'Upload'));
    const input = 'input[type=file][webkitdirectory]';
    await this.waitFor('directories can be chosen', `!!document.querySelector('${input}')`);
    await this.page.chooseFiles(input, [join(this.#files, 'sent')]);
    await settle(this.page);
    await this.#holds('.', ['sent']);
    await this.#holds('sent/inner', ['two.txt']);
  }

  async preview(): Promise<void> {
    await this.click('the directory', shown('td a', 'sent'));
    await this.click("the file's menu", inRow('one.txt', '[aria-label="More options"]'));
    await this.click('the editor', shown('button, [role=menuitem]', 'Edit File'));
    await this.see('what the first file says');
    await this.click('the way out of the editor', shown('button', 'Cancel'));
    await this.waitFor('the editor is closed', `!(${shown('.monaco-editor')})`);
  }

  async rename(): Promise<void> {
    await this.click('the pencil beside the name', inRow('one.txt', '[aria-label="edit"]'));
    const input = `[...document.querySelectorAll('td input')].find(({ value }) => value === 'one.txt')`;
    await this.waitFor('the name can be edited', `!!(${input})`);
    await this.page.evaluate(`(${input}).focus(), (${input}).select()`);
    await this.page.type('td input:focus', 'first.txt');
    await this.page.press('Enter');
    await this.#holds('sent', ['first.txt', 'inner']);
  }

  async downloadSeveral(): Promise<void> {
    await this.page.downloadTo(this.#downloads);
    await this.click('the choice of the file', inRow('first.txt', 'input[type=checkbox]'));
    await this.click('the choice of the directory', inRow('inner', 'input[type=checkbox]'));
    await this.see('2 selected');
    const download = `[...document.querySelectorAll('button')].filter((one) =>
      one.getClientRects().length > 0 && one.closest('td') === null &&
      one.querySelector('.lucide-download') !== null).at(-1)`;
    await this.click('the download of what is chosen', download);
    const complete = () => {
      const [name] = readdirSync(this.#downloads).filter((one) => one.endsWith('.zip'));
      return name === undefined
        ? null
        : readFileSync(join(this.#downloads, name)).includes('inner/two.txt');
    };
    await until(complete, 'an archive of both is downloaded', STEP_MS);
  }

  async deleteFile(): Promise<void> {
    await this.recover();
    await this.click('the bin beside the file', inRow('first.txt', '[aria-label="delete"]'));
    await this.page.type('.ant-modal input:focus', 'first.txt');
    await this.click('its confirmation', shown('.ant-modal button', 'Delete'));
    await this.#holds('sent', ['inner']);
  }

  async share(): Promise<void> {
    await this.open('/data');
    await this.click('the share button, the first of the row', inRow(FOLDER, 'td button'));
    await this.page.type('.ant-modal input', GUEST);
    await this.click('its confirmation', shown('.ant-modal button', 'Add'));
    const invited = () =>
      this.page.answers.some(({ url, status }) => url.endsWith('/invite') && status === 201);
    await until(invited, `${GUEST} is invited`, STEP_MS);
  }

  async trash(): Promise<void> {
    await this.open('/data');
    await this.click(
      'the bin beside the folder',
      inRow(FOLDER, '[aria-label="delete"], .lucide-trash-2, .lucide-trash'),
    );
    await this.click('its confirmation', shown('.ant-modal button', 'Confirm'));
    const trashed = async () =>
      (await this.site.backendAi('--output', 'json', 'vfolder', 'list')).includes('delete-pending');
    await until(trashed, 'the folder is in the trash', STEP_MS);
    await this.waitFor('it is no longer among the active ones', `!(${rowOf(FOLDER)})`);
    // Behind its name is how many are in it.
    const trash = `[...document.querySelectorAll('[role=tab]')]
      .find((one) => one.innerText.trim().startsWith('Trash'))`;
    await this.click('the trash', trash);
    await this.waitFor('it is there', `!!(${rowOf(FOLDER)})`);
  }

  steps(): Steps {
    return [
      ['create', () => this.create()],
      ['upload a directory', () => this.uploadDirectory()],
      ['preview', () => this.preview()],
      ['rename', () => this.rename()],
      ['download several', () => this.downloadSeveral()],
      ['delete a file', () => this.deleteFile()],
      ['share', () => this.share()],
      ['delete the folder', () => this.trash()],
    ];
  }

  override async recover(): Promise<void> {
    await this.open('/data');
    await this.click("the folder's name", shown('td a', FOLDER));
    await this.click('the directory', shown('td a', 'sent'));
  }

  override cleanUp(): void {
    rmSync(this.#files, { recursive: true });
  }
}

/** @returns how many things went wrong. */
export const folderActions = (browser: Browser, site: Site, shots: string | null) =>
  takeSteps(
    'folders',
    site,
    browser,
    shots,
    (...args) => new FolderVisit(...args),
    (visit) => visit.steps(),
  );
