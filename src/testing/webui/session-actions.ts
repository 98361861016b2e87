/** What people do with sessions in the WebUI: start, watch, read the log, end. */
import type { Browser } from '../browser.ts';
import { type Site, settle } from './site.ts';
import { quoted, rowOf, type Steps, shown, takeSteps, Visit } from './visit.ts';

const SESSION = 'tour-session';
const BATCH = 'tour-batch';

/** A button of the drawer with a session's details, by its icon. */
export const drawerButton = (icon: string): string =>
  `[...document.querySelectorAll('.ant-drawer [aria-label=${quoted(icon)}]')]
     .at(-1)?.closest('button:not([disabled])')`;

/** What the notification about a session said, one after another, while the page was not loaded anew. */
const NOTICES = 'globalThis.tourNotices';
const noticed = (status: string): string => `${NOTICES}?.includes(${quoted(status)}) === true`;

export class SessionVisit extends Visit {
  /** From now on what notifications say is kept. A page that is loaded anew forgets it. */
  async #listen(): Promise<void> {
    await this.page.evaluate(`(() => {
      const seen = (${NOTICES} = []);
      const look = () => {
        for (const tag of document.querySelectorAll('.ant-notification .ant-tag')) {
          const text = tag.innerText.trim();
          if (text !== '' && seen.at(-1) !== text) seen.push(text);
        }
      };
      new MutationObserver(look).observe(document.body,
        { subtree: true, childList: true, characterData: true });
    })()`);
  }

  /** Fills in the launcher; what is not named stays as the WebUI proposes. */
  async #launch(name: string, command: string | null): Promise<void> {
    await this.open('/session/start');
    await this.waitFor('the launcher is there', `!!document.querySelector('#sessionName')`);
    if (command !== null) {
      const batch = `[...document.querySelectorAll('label')]
        .find((one) => one.innerText.trim().startsWith('Batch'))`;
      await this.click('the choice of batch sessions', batch);
      await this.page.type('#batch_command', command);
    }
    await this.page.type('#sessionName', name);
    await this.click('the next page', shown('button', 'Next'));
    await this.click('the way to the last page', shown('button', 'Skip to review'));
    await this.see(name);
    await this.#listen();
    await this.click('the launch button', shown('button', 'Launch'));
    await this.click(
      'the confirmation that no folder is wanted',
      shown('.ant-modal button', 'Start'),
    );
  }

  async start(): Promise<void> {
    await this.#launch(SESSION, null);
    await this.waitFor('the notification tells that it runs', noticed('RUNNING'));
    const before = await this.page.evaluate(`${NOTICES}[0] !== 'RUNNING'`);
    if (before !== true)
      throw new Error('the notification did not change while the session started');
  }

  async list(): Promise<void> {
    const row = `${rowOf(SESSION)}?.innerText ?? ''`;
    await this.waitFor('its row tells that it runs', `/RUNNING/.test(${row})`);
  }

  async details(): Promise<void> {
    await this.click("the session's name", shown('td a', SESSION));
    await this.see('Session Info');
    await this.see('main1');
    const usage = `/RAM\\s+[\\d.]+ [KMG]iB \\/ 1 GiB/.test(document.querySelector('.ant-drawer').innerText)`;
    await this.waitFor('the use of memory is told', usage);
  }

  async history(): Promise<void> {
    await this.click('the history of its states', drawerButton('history'));
    await this.see('Session Scheduling History');
    for (const text of ['enqueued', 'PREPARING', 'check-creating-progress']) await this.see(text);
  }

  async auditLog(): Promise<void> {
    await this.close();
    await this.click('what was done with it', shown('.ant-drawer [role=tab]', 'Audit Log'));
    const rows = `(document.querySelector('.ant-drawer [role=tabpanel]:not([aria-hidden=true])')?.innerText ?? '')`;
    const told = `/create/i.test(${rows}) && ${rows}.includes(${quoted(this.account.email)})`;
    await this.waitFor('its creation is told', told);
  }

  async logs(): Promise<void> {
    await this.site.backendAi('run', '-t', SESSION, 'bash', '-c', 'echo said-$((40+2))');
    await this.click('the button of the log', drawerButton('session log'));
    await this.see('said-42');
  }

  async terminate(): Promise<void> {
    await this.close();
    await this.click('the button that ends it', drawerButton('terminate'));
    await this.see('Session termination cannot be undone');
    await this.click('its confirmation', shown('.ant-modal button', 'Terminate'));
    await this.waitFor('the notification tells that it ended', noticed('TERMINATED'));
    await this.waitFor('its details tell so', `!(${drawerButton('terminate')})`);
    await this.close();
    await this.waitFor('it is no longer among those that run', `!(${rowOf(SESSION)})`);
  }

  async finished(): Promise<void> {
    await this.click('those that are finished', shown('label', 'Finished'));
    await this.waitFor('it is there', `/TERMINATED/.test(${rowOf(SESSION)}?.innerText ?? '')`);
  }

  async batch(): Promise<void> {
    await this.#launch(BATCH, 'echo batch-said-$((40+2))');
    await this.waitFor('the notification tells that it ended', noticed('TERMINATED'));
    await this.click('those that are finished', shown('label', 'Finished'));
    await this.click("the session's name", shown('td a', BATCH));
    await this.see('task-finished');
    await this.click('the button of the log', drawerButton('session log'));
    await this.see('batch-said-42');
    await settle(this.page);
  }

  steps(): Steps {
    return [
      ['start', () => this.start()],
      ['list', () => this.list()],
      ['details', () => this.details()],
      ['history', () => this.history()],
      ['audit log', () => this.auditLog()],
      ['log', () => this.logs()],
      ['terminate', () => this.terminate()],
      ['finished', () => this.finished()],
      ['batch', () => this.batch()],
    ];
  }
}

/** @returns how many things went wrong. */
export const sessionActions = (browser: Browser, site: Site, shots: string | null) =>
  takeSteps(
    'sessions',
    site,
    browser,
    shots,
    (...args) => new SessionVisit(...args),
    (visit) => visit.steps(),
  );
