/** This program at a terminal of a test's own: its screens are read, keys are pressed. */
import { selfCommand } from '../common/executable.ts';
import { until } from './until.ts';

/** The sequences that move the cursor and colour. */
const SEQUENCES = /\u001b\[[0-9;?]*[A-Za-z]/g;

export const KEYS = {
  enter: '\r',
  up: '\u001b[A',
  down: '\u001b[B',
  escape: '\u001b',
  ctrlC: '\u0003',
  ctrlE: '\u0005',
  ctrlU: '\u0015',
  left: '\u001b[D',
  backspace: '\u007f',
} as const;

/** `backend.ai …` at a terminal of 80 by 24. */
export function atTerminal(
  args: readonly string[],
  { cwd, env = {} }: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
) {
  let output = '';
  const decoder = new TextDecoder();
  const child = Bun.spawn([...selfCommand(), ...args], {
    cwd,
    env: {
      ...{ PATH: process.env.PATH ?? '', HOME: cwd, TERM: 'xterm-256color', LANG: 'C.UTF-8' },
      ...env,
    },
    terminal: {
      cols: 80,
      rows: 24,
      data(_terminal, data) {
        output += decoder.decode(data, { stream: true });
      },
    },
  });
  let seen = 0;
  return {
    child,
    /** All that it wrote, with the terminal's sequences. */
    written: () => output,
    /** Waits for a text that was drawn since the last key. */
    sees: (text: string, deadlineMs?: number) =>
      until(
        () => output.slice(seen).replace(SEQUENCES, '').includes(text),
        `the screen shows "${text}"`,
        deadlineMs,
      ),
    press(keys: string) {
      seen = output.length;
      child.terminal?.write(keys);
    },
  };
}
