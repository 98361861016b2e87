/** One session channel of an SSH connection: a shell or command, with or without a terminal, or SFTP. */
import { constants } from 'node:os';
import type { ServerChannel, Session } from 'ssh2';
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import { pump } from '../process/pump.ts';
import { type ByteSource, type ProgramExit, startProgram } from '../process/spawn.ts';
import { startOnTerminal, type TerminalSize } from '../process/terminal.ts';
import { serveSftp } from '../sftp/server.ts';
import { chunksOf, writeOut } from './streams.ts';

/** Variables that a client may set, as a usual SSH server allows. */
const CLIENT_VARIABLE = /^(LANG|LC_\w+|COLORTERM|TERM_PROGRAM\w*|GIT_\w+|VSCODE_\w+)$/;
const MAX_VARIABLES = 100;
const SHELL_FAILURE = 127;

export interface SessionPlace {
  readonly home: string;
  readonly env: Readonly<Record<string, string>>;
  readonly shell: string;
  readonly clock: Clock;
  /** The path of a socket that leads to the client's agent. */
  agentSocket(): Promise<string>;
}

interface Running {
  resize(size: TerminalSize): void;
  signal(name: NodeJS.Signals): void;
}

/** What a window is when the client names no size, as without a terminal of its own. */
const sizeOf = ({ cols, rows }: { cols: number; rows: number }): TerminalSize => ({
  columns: cols || 80,
  rows: rows || 24,
});

const signalOf = (name: string): NodeJS.Signals | null => {
  const full = `SIG${name}`;
  return (
    Object.keys(constants.signals).find((known): known is NodeJS.Signals => known === full) ?? null
  );
};

export class SshSession {
  readonly #place: SessionPlace;
  readonly #session: Session;
  readonly #env: Record<string, string>;
  #terminal: { name: string; size: TerminalSize } | null = null;
  #running: Running | null = null;
  #variables = 0;
  /** What a program that is asked for meanwhile waits for. */
  #ready: Promise<void> = Promise.resolve();

  constructor(session: Session, place: SessionPlace) {
    this.#place = place;
    this.#session = session;
    this.#env = { ...place.env };
    this.#listen();
  }

  #listen(): void {
    const session = this.#session;
    session.on('pty', (accept, _reject, { term, cols, rows }) => {
      this.#terminal = { name: term || 'xterm', size: sizeOf({ cols, rows }) };
      accept?.();
    });
    session.on('window-change', (accept, _reject, { cols, rows }) => {
      this.#running?.resize(sizeOf({ cols, rows }));
      accept?.();
    });
    session.on('env', (accept, reject, { key, val }) => {
      this.#variables += 1;
      const isTaken = CLIENT_VARIABLE.test(key) && this.#variables <= MAX_VARIABLES;
      if (isTaken) this.#env[key] = val;
      (isTaken ? accept : reject)?.();
    });
    session.on('signal', (accept, _reject, { name }) => {
      const signal = signalOf(name);
      if (signal !== null) this.#running?.signal(signal);
      accept?.();
    });
    session.on('auth-agent', (accept, reject) => {
      this.#ready = this.#place.agentSocket().then(
        (path) => {
          this.#env.SSH_AUTH_SOCK = path;
          accept?.();
        },
        () => reject?.(),
      );
    });
    session.on('shell', (accept) => this.#run(accept(), null));
    session.on('exec', (accept, _reject, { command }) => this.#run(accept(), command));
    session.on('subsystem', (accept, reject, { name }) => {
      if (name !== 'sftp') {
        reject?.();
        return;
      }
      const channel = accept();
      void serveSftp(channel, this.#place.home).finally(() =>
        finish(channel, { exitCode: 0, signal: null }),
      );
    });
  }

  #run(channel: ServerChannel, command: string | null): void {
    channel.on('error', () => channel.destroy());
    this.#start(channel, command).catch(async (error) => {
      await writeOut(channel.stderr, new TextEncoder().encode(`${errorMessage(error)}\n`));
      finish(channel, { exitCode: SHELL_FAILURE, signal: null });
    });
  }

  async #start(channel: ServerChannel, command: string | null): Promise<void> {
    await this.#ready;
    const { shell, home } = this.#place;
    const args = command === null ? [] : ['-c', command];
    const spec = { command: shell, args, cwd: home, env: { ...this.#env, SHELL: shell } };
    if (this.#terminal === null) await this.#withPipes(channel, spec);
    else await this.#onTerminal(channel, spec, this.#terminal);
  }

  async #withPipes(
    channel: ServerChannel,
    spec: Parameters<typeof startProgram>[0],
  ): Promise<void> {
    const program = await startProgram({ ...spec, stdin: true, sockets: true });
    const { stdin, exited } = program;
    this.#running = { resize: () => undefined, signal: (name) => void program.signal(name) };
    if (stdin !== null) {
      // The program need not read its input to the end.
      stdin.on('error', () => channel.resume());
      channel.pipe(stdin);
    }
    this.#hangUpWith(channel, exited, () => program.signal('SIGHUP'));
    await Promise.all([
      this.#pump(program.stdout, exited, channel, channel),
      this.#pump(program.stderr, exited, channel.stderr, channel),
    ]);
    finish(channel, await exited);
  }

  async #onTerminal(
    channel: ServerChannel,
    spec: Parameters<typeof startProgram>[0],
    { name, size }: { name: string; size: TerminalSize },
  ): Promise<void> {
    const { clock } = this.#place;
    const env = { ...spec.env, TERM: name };
    const program = await startOnTerminal({ ...spec, env, size }, clock);
    const { exited, output } = program;
    this.#running = {
      resize: (next) => program.resize(next),
      signal: (signal) => void program.signal(signal),
    };
    this.#hangUpWith(channel, exited, () => program.close());
    const input = async () => {
      for await (const chunk of chunksOf(channel)) await program.write(chunk);
    };
    // Ends with the channel; a break is followed by the hang-up.
    void input().catch(() => undefined);
    await this.#pump(output, exited, channel, channel);
    program.close();
    finish(channel, await exited);
  }

  /** The program is told when the client goes away before it ended. */
  #hangUpWith(channel: ServerChannel, exited: Promise<unknown>, hangUp: () => void): void {
    let isOver = false;
    void exited.then(() => {
      isOver = true;
    });
    channel.once('close', () => {
      if (!isOver) hangUp();
    });
  }

  async #pump(
    source: ByteSource,
    exited: Promise<ProgramExit>,
    target: Parameters<typeof writeOut>[0],
    channel: ServerChannel,
  ): Promise<void> {
    await pump(
      source,
      exited,
      async (chunk) => {
        if (channel.destroyed || !(await writeOut(target, chunk))) source.cancel();
      },
      this.#place.clock,
    );
  }
}

/** Tells how the program ended, and closes the channel. */
function finish(channel: ServerChannel, { exitCode, signal }: ProgramExit): void {
  if (channel.destroyed) return;
  if (signal === null) channel.exit(exitCode);
  else channel.exit(signal.replace('SIG', ''), false, '');
  channel.end();
}
