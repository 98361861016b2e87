/** The web terminal: the protocol of ttyd, several viewers, slow ones, and its page in a browser. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { runnerEnvironment } from '../../common/protocol/runner.ts';
import { type Browser, startBrowser } from '../../testing/browser.ts';
import { freePort, missingTool, requireOrSkip } from '../../testing/services.ts';
import { until } from '../../testing/until.ts';
import { startRunner, type TestRunner } from '../testing/harness.ts';

const MIB = 1024 * 1024;
let runner: TestRunner;
let base: string;

beforeAll(async () => {
  const port = await freePort();
  runner = startRunner({
    env: { [runnerEnvironment.terminalPort]: String(port), SHELL: '/bin/bash', PS1: '$ ' },
  });
  await runner.connect();
  base = `127.0.0.1:${port}`;
});
afterAll(() => runner.stop());

/** A client as ttyd's own page is one. */
class Client {
  readonly socket: WebSocket;
  output = '';
  bytes = 0;
  closeCode: number | null = null;
  readonly others: string[] = [];
  readonly #decoder = new TextDecoder();

  constructor(headers: Record<string, string> = {}) {
    // Bun's WebSocket takes headers, which the DOM's declaration does not know.
    this.socket = Reflect.construct(WebSocket, [
      `ws://${base}/ws`,
      { protocols: ['tty'], headers },
    ]);
    this.socket.binaryType = 'arraybuffer';
    this.socket.onmessage = ({ data }) => this.#take(new Uint8Array(data));
    this.socket.onclose = ({ code }) => {
      this.closeCode = code;
    };
  }

  #take(message: Uint8Array): void {
    const text = this.#decoder.decode(message.subarray(1), { stream: true });
    if (message[0] === 0x30) {
      this.bytes += message.length - 1;
      this.output = (this.output + text).slice(-100_000);
    } else this.others.push(String.fromCharCode(message[0] ?? 0) + text);
  }

  async hello(columns = 80, rows = 24): Promise<this> {
    await until(() => this.socket.readyState === WebSocket.OPEN, 'the socket is open');
    this.send(JSON.stringify({ AuthToken: '', columns, rows }));
    return this;
  }

  /** Bytes, as ttyd's page sends them. */
  send(text: string): void {
    this.socket.send(new TextEncoder().encode(text));
  }

  type(text: string): void {
    this.send(`0${text}`);
  }

  async shows(text: string): Promise<void> {
    await until(
      () => this.output.includes(text),
      `the terminal shows ${text}: ${this.output.slice(-500)}`,
    );
  }

  async closed(): Promise<number> {
    await until(() => this.closeCode !== null, 'the socket is closed');
    return this.closeCode ?? 0;
  }
}

const leave = async (...clients: Client[]) => {
  for (const client of clients) client.socket.close();
  await Promise.all(clients.map((client) => client.closed()));
};

describe('the protocol', () => {
  test('title and settings first, then output; input, size, signals', async () => {
    const client = await new Client().hello(101, 31);
    await until(() => client.others.length === 2, 'it was greeted');
    expect(client.socket.protocol).toBe('tty');
    expect(client.others[0]).toMatch(/^1bash \(\S+\)$/);
    expect(client.others[1]).toBe('2{}');
    client.type('stty size; echo "$TERM" café; tty\r');
    await client.shows('31 101');
    await client.shows('xterm-256color café');
    await client.shows('/dev/pts/');
    client.send('1{"columns":77,"rows":20}');
    client.type('stty size\r');
    await client.shows('20 77');
    // An interrupt between fork and exec would be lost, so it says that it runs.
    client.type(`sh -c 'echo runn$((1))ng; exec sleep 1000'\r`);
    await client.shows('runn1ng');
    client.type('\x03');
    // A shell that is interrupted forgets what was typed ahead, so its prompt comes first.
    await until(() => /\^C[\s\S]*[$#] $/.test(client.output), 'the shell asks again');
    client.type('echo back$((40+2))\r');
    await client.shows('back42');
    await leave(client);
  });

  test('keys and a size that come while the shell starts are not lost', async () => {
    const first = await new Client().hello();
    first.type('exit 0\r');
    await first.closed();
    const client = await new Client().hello(80, 24);
    client.send('1{"columns":66,"rows":22}');
    client.type('stty size; echo ear$((1))y\r');
    await client.shows('ear1y');
    expect(client.output).toContain('22 66');
    await leave(client);
  });

  test('text frames do as well; what is unknown is passed over', async () => {
    const client = await new Client().hello();
    client.socket.send('9what');
    client.socket.send('0echo as$((1+1))text\r');
    await client.shows('as2text');
    await leave(client);
  });

  test('the first message must tell the size', async () => {
    const client = new Client();
    await until(() => client.socket.readyState === WebSocket.OPEN, 'the socket is open');
    client.send('{"AuthToken":""}');
    expect(await client.closed()).toBe(1008);
  });

  test('the shell’s exit code decides how it closes; the next viewer gets a new shell', async () => {
    const failing = await new Client().hello();
    failing.type('exit 3\r');
    expect(await failing.closed()).toBe(1011);
    const ending = await new Client().hello();
    ending.type('exit 0\r');
    expect(await ending.closed()).toBe(1000);
  });
});

describe('several viewers', () => {
  test('see the same, in the size that suits all, and the shell outlives them', async () => {
    const first = await new Client().hello(120, 40);
    first.type('MARK=kept; echo on$((1))e\r');
    await first.shows('on1e');
    const second = await new Client().hello(90, 50);
    // What was there before.
    await second.shows('on1e');
    second.type('stty size\r');
    await Promise.all([first.shows('40 90'), second.shows('40 90')]);
    await leave(second);
    first.type('clear; stty size\r');
    await first.shows('40 120');
    await leave(first);
    const later = await new Client().hello();
    later.type('echo still-$MARK\r');
    await later.shows('still-kept');
    await leave(later);
  });

  test('questions to the terminal are not asked again of a later viewer', async () => {
    const first = await new Client().hello();
    first.type("printf 'as\\033[6nk%s\\n' ed\r");
    await first.shows('\x1b[6n');
    const second = await new Client().hello();
    await second.shows('asked');
    expect(second.output).not.toContain('\x1b[6n');
    await leave(first, second);
  });
});

describe('flow', () => {
  test('a viewer that pauses holds the program back; nothing is lost and memory stays bounded', async () => {
    const client = await new Client().hello();
    client.type('stty -echo; PS1=; clear\r');
    client.type('echo rea$((0))dy\r');
    await client.shows('rea0dy');
    const before = client.bytes;
    client.send('2');
    client.type(`head -c ${32 * MIB} /dev/zero | tr '\\0' x; echo; echo fin$((7))ished\r`);
    const program = () => runner.rssBytes();
    const rss = program();
    // Held back: another way in still works, and the output does not come.
    const other = await fetch(`http://${base}/token`);
    expect(await other.json()).toEqual({ token: '' });
    expect(client.bytes - before).toBeLessThan(2 * MIB);
    expect(program() - rss).toBeLessThan(24 * MIB);
    client.send('3');
    await until(() => client.output.includes('fin7ished'), 'all of it came', 60_000);
    expect(client.bytes - before).toBeGreaterThanOrEqual(32 * MIB);
    await leave(client);
  }, 90_000);

  test('a viewer that sleeps does not stop the others, and catches up', async () => {
    const asleep = await new Client().hello();
    const awake = await new Client().hello();
    asleep.send('2');
    awake.type(`head -c ${8 * MIB} /dev/zero | tr '\\0' y; echo; echo don$((5))e\r`);
    await until(() => awake.output.includes('don5e'), 'the other has all of it', 60_000);
    expect(asleep.output).not.toContain('don5e');
    asleep.send('3');
    await asleep.shows('don5e');
    await leave(asleep, awake);
  }, 90_000);
});

describe('who may connect', () => {
  const upgrade = (headers: Record<string, string>) =>
    fetch(`http://${base}/ws`, {
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'Sec-WebSocket-Protocol': 'tty',
        ...headers,
      },
    });

  test.each([
    ['a page of another site', { Origin: 'https://elsewhere.example' }, 403],
    ['a page without an origin', { Origin: 'null' }, 403],
    ['another protocol', { 'Sec-WebSocket-Protocol': 'chat' }, 400],
  ])('%s may not', async (_what, headers, status) => {
    expect((await upgrade(headers)).status).toBe(status);
  });

  test('pages behind a proxy may, by the name it is reached by', async () => {
    const client = new Client({ Origin: 'https://app.example', 'X-Forwarded-Host': 'app.example' });
    await client.hello();
    await until(() => client.others.length === 2, 'it was greeted');
    await leave(client);
  });

  test.each([
    ['GET', '/nothing', 404],
    ['POST', '/', 405],
  ])('%s %s is answered %i', async (method, path, status) => {
    expect((await fetch(`http://${base}${path}`, { method })).status).toBe(status);
  });
});

describe.skipIf(!requireOrSkip(missingTool('chromium', 'chromium')))('the page', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  }, 60_000);
  afterAll(() => browser.close());

  const text = `[...Array(term.buffer.active.length).keys()]
    .map((row) => term.buffer.active.getLine(row).translateToString(true)).join('\\n')`;

  test('is typed into, takes its size, and connects again', async () => {
    const page = await browser.newPage();
    await page.open(`http://${base}/`);
    await page.waitFor('the prompt', `document.title.startsWith('bash (')`);
    await page.type('textarea.xterm-helper-textarea', 'echo typed-$((20+3))');
    await page.evaluate(`term.input('\\r')`);
    await page.waitFor('the answer', `${text}.includes('typed-23')`);
    await page.evaluate(`term.input('stty size\\r')`);
    await page.waitFor('its size', `${text}.includes(term.rows + ' ' + term.cols)`);
    await page.evaluate(`term.input('exit 1\\r')`);
    // What is typed before it has connected again is lost, so it is typed until there is an answer.
    const again = `term.input('echo again-$((1+1))\\r')`;
    await page.waitFor('a new shell', `(${again}, ${text}.includes('again-2'))`);
  }, 60_000);
});
