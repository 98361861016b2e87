/** Connects this terminal with that of a session until its shell ends. */
import type { Client, Terminal } from '../../client/index.ts';
import { ConnectionError } from '../../client/index.ts';
import { systemClock } from '../../common/clock.ts';
import type { CommandIo } from '../../common/command.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Interrupts } from './interrupts.ts';

/** What a terminal sends for the end of its input. */
const END_OF_INPUT = Uint8Array.of(4);
/**
 * The same once more, on a line made empty first: a sign that came while a program ran may have become
 * a character of the shell's line, which BusyBox shows as "?" and does not end with.
 */
const END_AGAIN = Uint8Array.of(0x15, 4);
const END_AGAIN_MS = 500;
const LINE_END = 0x0a;
/** How often it shows that somebody is there. Milliseconds. */
const PING_MS = 30_000;

export interface Attachment {
  readonly client: Client;
  readonly session: string;
  readonly io: CommandIo;
  readonly interrupts: Interrupts;
}

/** Keys as they are typed: this terminal passes on even Ctrl-C. */
async function* keys({ input }: CommandIo): AsyncGenerator<Uint8Array> {
  if (input === undefined) {
    yield* process.stdin;
    return;
  }
  for (let text = await input(); text !== null; text = await input()) yield Buffer.from(text);
}

/**
 * Passes keys on, and at their end that one, until the shell has gone: while a program holds the
 * terminal it may take the sign for its own end, or lose it.
 */
async function takeKeys(io: CommandIo, terminal: Terminal, over: AbortSignal): Promise<void> {
  const clock = io.clock ?? systemClock;
  let last = LINE_END;
  for await (const chunk of keys(io)) {
    await terminal.type(chunk);
    last = chunk.at(-1) ?? last;
  }
  // It counts at the beginning of a line only.
  if (last !== LINE_END) await terminal.type(Uint8Array.of(LINE_END));
  await terminal.type(END_OF_INPUT);
  for (;;) {
    await clock.sleep(END_AGAIN_MS, over).catch(() => undefined);
    if (over.aborted) return;
    await terminal.type(END_AGAIN);
  }
}

/** @throws ConnectionError when the connection breaks; the reason of `interrupts.leave`. */
export async function attachTerminal(attachment: Attachment): Promise<number> {
  const { client, session, io, interrupts } = attachment;
  const terminal = await client.session.terminal(session);
  const isRaw = io.input === undefined && process.stdin.isTTY;
  const resize = () => void terminal.resize({ rows: io.stdout.rows, cols: io.stdout.columns });
  const leave = () => terminal.close();
  const over = new AbortController();
  const ping = setInterval(() => void terminal.ping(), PING_MS);
  interrupts.leave.addEventListener('abort', leave, { once: true });
  process.stdout.on('resize', resize);
  if (isRaw) process.stdin.setRawMode(true);
  try {
    resize();
    let failure: unknown = null;
    takeKeys(io, terminal, over.signal).catch((error) => {
      failure = error;
      terminal.close();
    });
    for await (const bytes of terminal) io.stdout.write(bytes);
    if (failure !== null) {
      throw new ConnectionError('', `The keys could not be read: ${errorMessage(failure)}.`);
    }
    interrupts.leave.throwIfAborted();
    return 0;
  } finally {
    if (isRaw) process.stdin.setRawMode(false);
    if (io.input === undefined) process.stdin.pause();
    process.stdout.off('resize', resize);
    interrupts.leave.removeEventListener('abort', leave);
    clearInterval(ping);
    over.abort();
    terminal.close();
  }
}
