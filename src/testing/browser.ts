/** A real headless Chromium for tests of pages, driven over its own debugging protocol. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { systemClock } from '../common/clock.ts';
import { eventually } from './services.ts';

/** A large application from a cold disk, on a machine that builds something beside it. */
const LOAD_TIMEOUT_MS = 120_000;
/** On a machine that does much else a large page may think for long. */
const ANSWER_TIMEOUT_MS = 45_000;
const ASK_AGAIN_MS = 25;
/** A page may have to start what it shows there first. Milliseconds. */
const NEW_TAB_TIMEOUT_MS = 30_000;

const message = v.object({
  id: v.optional(v.number()),
  method: v.optional(v.string()),
  params: v.optional(v.record(v.string(), v.unknown()), {}),
  result: v.optional(v.record(v.string(), v.unknown()), {}),
  error: v.optional(v.object({ message: v.string() })),
});
const target = v.object({ webSocketDebuggerUrl: v.string() });
const targets = v.array(v.object({ ...target.entries, type: v.string(), url: v.string() }));
const evaluated = v.object({
  result: v.object({ value: v.optional(v.unknown()) }),
  exceptionDetails: v.optional(v.unknown()),
});
const remoteObject = v.object({ result: v.object({ objectId: v.string() }) });
const KEY_CODES: Readonly<Record<string, number>> = { Enter: 13, Escape: 27 };
const logEntry = v.object({ entry: v.object({ level: v.string(), text: v.string() }) });
const consoleCall = v.object({
  type: v.string(),
  args: v.array(v.object({ value: v.optional(v.unknown()), description: v.optional(v.string()) })),
});

/** An answer that the page got, or failed to get. */
export interface PageAnswer {
  readonly method: string;
  readonly url: string;
  /** 0 when there was none. */
  readonly status: number;
  readonly sent: string | null;
  /** Of JSON answers only. */
  readonly body: string | null;
  /** Why there was no whole answer; null as well when the page itself gave it up, as by leaving. */
  readonly failure: string | null;
}

export interface Page {
  /** Loads an address and waits until its scripts have run. */
  open(url: string): Promise<void>;
  /** The value of an expression in the page; promises are awaited. */
  evaluate(expression: string): Promise<unknown>;
  /** Waits until the expression is true. */
  waitFor(what: string, expression: string, deadlineMs?: number): Promise<void>;
  /** Moves the mouse over the element that the expression gives, and clicks it. */
  click(what: string, expression: string, deadlineMs?: number): Promise<void>;
  /** Presses and releases a key such as Enter. */
  press(key: string): Promise<void>;
  /** Gives files or a directory to a file input, as a person who chose them. */
  chooseFiles(selector: string, paths: readonly string[]): Promise<void>;
  /** Keeps what the page has the browser download in this folder. */
  downloadTo(folder: string): Promise<void>;
  /** Puts the keyboard's focus on the element and types, as a person would. */
  type(selector: string, text: string): Promise<void>;
  /** Puts this tab before the others; those behind stand still. */
  show(): Promise<void>;
  /** What is to be seen, as PNG. */
  screenshot(): Promise<Uint8Array>;
  /** Uncaught errors, errors on the console and what the browser complained about, oldest first. */
  readonly complaints: readonly string[];
  /** Everything it has fetched, in the order of the answers. */
  readonly answers: readonly PageAnswer[];
  /** Requests under way; streams of events, which do not end, are none. */
  readonly pending: number;
}

export interface Browser {
  /** A new tab; all share cookies, each has session storage of its own. */
  newPage(): Promise<Page>;
  /** A tab that a page has opened by itself, once its address is such a one; each is given once. */
  openedPage(what: string, isMeant: (url: string) => boolean): Promise<Page>;
  close(): Promise<void>;
}

const requestSent = v.object({
  requestId: v.string(),
  request: v.object({ url: v.string(), method: v.string(), postData: v.optional(v.string()) }),
});
const responseReceived = v.object({
  requestId: v.string(),
  response: v.object({ status: v.number(), mimeType: v.string() }),
});
const requestEnded = v.object({
  requestId: v.string(),
  errorText: v.optional(v.string()),
  canceled: v.optional(v.boolean(), false),
});
const responseBody = v.object({ body: v.string() });
const screenshot = v.object({ data: v.string() });

type Exchange = { -readonly [K in keyof PageAnswer]: PageAnswer[K] } & {
  isJson: boolean;
  isStream: boolean;
};

class Tab implements Page {
  readonly complaints: string[] = [];
  readonly answers: PageAnswer[] = [];
  readonly #exchanges = new Map<string, Exchange>();
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, PromiseWithResolvers<Record<string, unknown>>>();
  #lastId = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => this.#received(String(data)));
  }

  #received(text: string): void {
    const { id, method, params, result, error } = v.parse(message, JSON.parse(text));
    if (id !== undefined) {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(new Error(error.message));
      else waiting?.resolve(result);
    } else if (method === 'Runtime.exceptionThrown') {
      this.complaints.push(JSON.stringify(params));
    } else if (method === 'Log.entryAdded') {
      const { entry } = v.parse(logEntry, params);
      if (entry.level === 'error') this.complaints.push(entry.text);
    } else if (method === 'Runtime.consoleAPICalled') {
      const { type, args } = v.parse(consoleCall, params);
      const said = args.map(({ value, description }) => description ?? JSON.stringify(value));
      if (type === 'error') this.complaints.push(`console: ${said.join(' ')}`);
    } else if (method?.startsWith('Network.')) {
      this.#observe(method, params);
    }
  }

  #observe(method: string, params: Record<string, unknown>): void {
    if (method === 'Network.requestWillBeSent') {
      const { requestId, request } = v.parse(requestSent, params);
      const { url, method: verb, postData } = request;
      const sent = postData ?? null;
      this.#exchanges.set(requestId, {
        ...{ method: verb, url, status: 0, sent, body: null, failure: null },
        ...{ isJson: false, isStream: false },
      });
    } else if (method === 'Network.responseReceived') {
      const { requestId, response } = v.parse(responseReceived, params);
      const exchange = this.#exchanges.get(requestId);
      if (!exchange) return;
      exchange.status = response.status;
      exchange.isJson = response.mimeType.includes('json');
      exchange.isStream = response.mimeType === 'text/event-stream';
    } else if (method === 'Network.loadingFinished' || method === 'Network.loadingFailed') {
      const { requestId, errorText, canceled } = v.parse(requestEnded, params);
      void this.#ended(requestId, canceled ? null : (errorText ?? null));
    }
  }

  async #ended(requestId: string, failure: string | null): Promise<void> {
    const exchange = this.#exchanges.get(requestId);
    if (!exchange) return;
    const { isJson, isStream: _, ...answer } = exchange;
    answer.failure = failure;
    if (isJson) {
      // The page may have been left already; then its bodies are gone.
      const got = await this.send('Network.getResponseBody', { requestId }).catch(() => null);
      if (got) answer.body = v.parse(responseBody, got).body;
    }
    this.#exchanges.delete(requestId);
    this.answers.push(answer);
  }

  get pending(): number {
    return [...this.#exchanges.values()].filter(({ isStream }) => !isStream).length;
  }

  async type(selector: string, text: string): Promise<void> {
    const element = `document.querySelector(${JSON.stringify(selector)})`;
    await this.waitFor(`there is ${selector}`, `${element} !== null`);
    await this.evaluate(`${element}.focus()`);
    await this.send('Input.insertText', { text });
  }

  async show(): Promise<void> {
    await this.send('Page.bringToFront');
  }

  async screenshot(): Promise<Uint8Array> {
    const { data } = v.parse(screenshot, await this.send('Page.captureScreenshot'));
    return Buffer.from(data, 'base64');
  }

  async send(method: string, params: Record<string, unknown> = {}) {
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = Promise.withResolvers<Record<string, unknown>>();
    this.#waiting.set(id, answer);
    const timer = setTimeout(
      () => answer.reject(new Error(`the browser does not answer ${method}`)),
      ANSWER_TIMEOUT_MS,
    );
    this.#socket.send(JSON.stringify({ id, method, params }));
    return answer.promise.finally(() => clearTimeout(timer));
  }

  async open(url: string): Promise<void> {
    await this.send('Page.navigate', { url });
    const loaded = `location.href.startsWith(${JSON.stringify(url)}) && document.readyState === 'complete'`;
    await this.waitFor(`${url} is loaded`, loaded, LOAD_TIMEOUT_MS);
  }

  async evaluate(expression: string, asPerson = false): Promise<unknown> {
    const answer = await this.send('Runtime.evaluate', {
      expression,
      userGesture: asPerson,
      awaitPromise: true,
      returnByValue: true,
    });
    const { result, exceptionDetails } = v.parse(evaluated, answer);
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return result.value;
  }

  async waitFor(what: string, expression: string, deadlineMs?: number): Promise<void> {
    const isTrue = async (): Promise<boolean> => {
      // A page that is just being left has nothing to say.
      const value = await this.evaluate(expression).catch((error: unknown) => {
        if (/context|navigated/i.test(String(error))) return false;
        throw error;
      });
      // Asking without a break would take from the page the time in which it gets there.
      if (value !== true) await systemClock.sleep(ASK_AGAIN_MS);
      return value === true;
    };
    await eventually(what, isTrue, deadlineMs);
  }

  async click(what: string, expression: string, deadlineMs?: number): Promise<void> {
    await this.waitFor(what, `!!(${expression})`, deadlineMs);
    const place = await this.evaluate(`(() => {
      const element = ${expression};
      element.scrollIntoView({ block: 'center' });
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 };
    })()`);
    const { x, y } = v.parse(v.object({ x: v.number(), y: v.number() }), place);
    await this.send('Input.dispatchMouseEvent', { type: 'mouseMoved', x, y });
    // What moved under the mouse in the meantime, such as a notification, is not what is meant.
    await this.evaluate(`(${expression}).click()`, true);
  }

  async press(key: string): Promise<void> {
    const windowsVirtualKeyCode = KEY_CODES[key] ?? 0;
    const stroke = {
      key,
      code: key,
      windowsVirtualKeyCode,
      ...(key === 'Enter' && { text: '\r' }),
    };
    await this.send('Input.dispatchKeyEvent', { type: 'keyDown', ...stroke });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...stroke });
  }

  async chooseFiles(selector: string, paths: readonly string[]): Promise<void> {
    const found = await this.send('Runtime.evaluate', {
      expression: `[...document.querySelectorAll(${JSON.stringify(selector)})].at(-1)`,
    });
    const { result } = v.parse(remoteObject, found);
    await this.send('DOM.setFileInputFiles', { objectId: result.objectId, files: paths });
  }

  async downloadTo(folder: string): Promise<void> {
    await this.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: folder });
  }
}

/** The port of a Chromium that has just been started with this profile. */
async function debuggingPort(child: Bun.Subprocess, profile: string): Promise<string> {
  const portFile = join(profile, 'DevToolsActivePort');
  let port = '';
  await eventually('Chromium listens', () => {
    if (child.exitCode !== null) throw new Error(`Chromium ended with ${child.exitCode}`);
    // The file is there before its content is.
    const text = existsSync(portFile) ? readFileSync(portFile, 'utf8') : '';
    port = /^\d+(?=\n)/.exec(text)?.[0] ?? '';
    return port !== '';
  });
  return port;
}

async function openTab(port: string): Promise<Attached> {
  const answer = await fetch(`http://127.0.0.1:${port}/json/new?about:blank`, {
    method: 'PUT',
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
  });
  return attach(v.parse(target, await answer.json()).webSocketDebuggerUrl);
}

async function openedTab(
  port: string,
  known: ReadonlySet<string>,
  what: string,
  isMeant: (url: string) => boolean,
): Promise<Attached> {
  let address = '';
  await eventually(
    what,
    async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/json/list`, {
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      });
      const all = v.parse(targets, await answer.json());
      const found = all.find(
        ({ type, url, webSocketDebuggerUrl: at }) =>
          type === 'page' && isMeant(url) && !known.has(at),
      );
      address = found?.webSocketDebuggerUrl ?? '';
      return address !== '';
    },
    NEW_TAB_TIMEOUT_MS,
  );
  return attach(address);
}

interface Attached {
  readonly tab: Tab;
  readonly socket: WebSocket;
}

async function attach(webSocketDebuggerUrl: string): Promise<Attached> {
  const socket = new WebSocket(webSocketDebuggerUrl);
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve);
    socket.addEventListener('error', reject);
  });
  const tab = new Tab(socket);
  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await tab.send(`${domain}.enable`);
  return { tab, socket };
}

/** Starts Chromium with a profile of its own, which goes when it is closed. */
export async function startBrowser(): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'bai-chromium-'));
  const child = Bun.spawn(
    [
      ...['chromium', '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
      ...[
        '--window-size=1600,1000',
        '--no-first-run',
        '--disable-extensions',
        '--disable-background-networking',
      ],
      // What a page opens seconds after a click is still an answer to it, on a busy machine.
      '--disable-popup-blocking',
      ...['--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'],
    ],
    { stdout: 'ignore', stderr: 'ignore' },
  );
  const stop = () => child.kill('SIGKILL');
  process.once('exit', stop);
  const sockets = new Map<string, WebSocket>();
  const keep = ({ tab, socket }: Attached): Page => {
    sockets.set(socket.url, socket);
    return tab;
  };
  const close = async () => {
    process.off('exit', stop);
    for (const socket of sockets.values()) socket.close();
    stop();
    await child.exited;
    // Its helpers may still write for a moment.
    rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  };
  try {
    const port = await debuggingPort(child, profile);
    return {
      newPage: async () => keep(await openTab(port)),
      openedPage: async (what, isMeant) =>
        keep(await openedTab(port, new Set(sockets.keys()), what, isMeant)),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
