/** What people do with the apps of a session in the WebUI: its own buttons open them. */
import type { Browser, Page } from '../browser.ts';
import { drawerButton } from './session-actions.ts';
import type { Site } from './site.ts';
import { STEP_MS, type Steps, shown, takeSteps, Visit } from './visit.ts';

const SESSION = 'tour-apps';

class AppVisit extends Visit {
  /** The tab that was opened last, in front. */
  #openedApp(what: string): Promise<Page> {
    const isApp = (url: string) => url.startsWith('http:') && !url.startsWith(this.site.webUrl);
    return this.opened(what, isApp);
  }

  /** Types a command and waits until what it prints is to be seen. */
  async #use(terminal: Page, sum: string, result: string): Promise<void> {
    const rows = `document.querySelector('.xterm-rows')?.innerText.replaceAll('\\u00a0', ' ') ?? ''`;
    await terminal.waitFor('the shell asks for a command', `/\\$ *\\s*$/.test(${rows})`, STEP_MS);
    await terminal.type('.xterm-helper-textarea', `echo typed-$((${sum}))`);
    await terminal.press('Enter');
    await terminal.waitFor('the command has run', `(${rows}).includes('typed-${result}')`, STEP_MS);
  }

  async details(): Promise<void> {
    await this.site.backendAi('create', 'python', '-t', SESSION);
    await this.open('/session');
    await this.click("the session's name", shown('td a', SESSION));
    await this.see('Session Info');
  }

  async terminal(): Promise<void> {
    await this.click('the button of the terminal', drawerButton('terminal'));
    const terminal = await this.#openedApp('the terminal');
    await this.#use(terminal, '6*7', '42');
  }

  /** Opens the dialog of the apps and clicks the icon above this title. */
  async #choose(title: string): Promise<void> {
    await this.show(this.page);
    const isOpen = await this.page.evaluate(`!!(${shown('.ant-modal-close')})`);
    if (isOpen === true) await this.close();
    await this.click('the button of the apps', drawerButton('app'));
    await this.see(`App: ${SESSION}`);
    const icon = `[...document.querySelectorAll('.ant-modal button')].find((one) =>
      one.getClientRects().length > 0 && one.parentElement.innerText.trim() === '${title}')`;
    await this.click(`the icon of ${title}`, icon);
  }

  async console(): Promise<void> {
    await this.#choose('Console');
    const terminal = await this.#openedApp('the console');
    await this.#use(terminal, '20+3', '23');
  }

  /** Needs a notebook on this machine: its sessions offer what it has. */
  async notebook(): Promise<void> {
    await this.#choose('Jupyter Notebook');
    const tree = await this.#openedApp('the files of the notebook');
    await tree.click(
      'the menu of new things',
      `document.querySelector('#new-dropdown-button')`,
      STEP_MS,
    );
    await tree.click('a new notebook', `document.querySelector('#kernel-python3 a')`, STEP_MS);
    const notebook = await this.#openedApp('a new notebook');
    const isConnected = 'globalThis.Jupyter?.notebook?.kernel?.is_connected() === true';
    await notebook.waitFor('its kernel is connected', isConnected, STEP_MS);
    await notebook.type('.CodeMirror textarea', `print('cell', 6 * 7, __import__('os').getcwd())`);
    const run = `document.querySelector('[data-jupyter-action="jupyter-notebook:run-cell-and-select-next"]')`;
    await notebook.click('the button that runs a cell', run, STEP_MS);
    const output = `(document.querySelector('.output_stdout')?.innerText ?? '')`;
    await notebook.waitFor('the output', `${output}.includes('cell 42 /home/work')`, STEP_MS);
  }

  steps(): Steps {
    return [
      ['details', () => this.details()],
      ['terminal', () => this.terminal()],
      ['console', () => this.console()],
      ['notebook', () => this.notebook()],
    ];
  }
}

/** @returns how many things went wrong. */
export const appActions = (browser: Browser, site: Site, shots: string | null) =>
  takeSteps(
    'apps',
    site,
    browser,
    shots,
    (...args) => new AppVisit(...args),
    (visit) => visit.steps(),
  );
