/** Questions on a real pseudo-terminal, and lines of a pipe. */
import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { LineReader } from './prompt.ts';

test('a shown line, a hidden line, a yes, another line and a key', async () => {
  let screen = '';
  let onScreen: () => void = () => undefined;
  const child = Bun.spawn([process.execPath, join(import.meta.dir, '../testing/ask.ts')], {
    terminal: {
      cols: 80,
      rows: 24,
      data(_terminal, bytes) {
        screen += new TextDecoder().decode(bytes);
        onScreen();
      },
    },
  });
  const type = async (prompt: string, keys: string) => {
    while (!screen.includes(prompt)) {
      await new Promise<void>((resolve) => {
        onScreen = resolve;
      });
    }
    child.terminal?.write(keys);
  };
  await type('first> ', 'one\n');
  await type('hidden> ', 'secrex\u007ft\r');
  await type('sure? [Y/n] ', 'perhaps\n');
  await type('Please answer y or n.', 'YES\n');
  await type('last> ', 'three\n');
  await type('key:', 'x');
  expect(await child.exited).toBe(0);
  expect(screen).toContain('["one","secret",true,"three","x"]');
  expect(screen.split('["one"')[0]).not.toContain('secre');
});

test('lines do not depend on how the input is cut', async () => {
  const pieces = ['a', 'b\nc\r', '\n\nlast'];
  const reader = new LineReader(async () => pieces.shift() ?? null);
  const found: (string | null)[] = [];
  for (let index = 0; index < 5; index++) found.push(await reader.next());
  expect(found).toEqual(['ab', 'c', '', 'last', null]);
});
