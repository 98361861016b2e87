/** Completion: candidates for every kind of position, and the shells' own part in a real bash. */
import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clientCommands } from '../tree.ts';
import { candidates } from './candidates.ts';
import { completionAnswer, evalLine, install } from './shells.ts';

const home = mkdtempSync(join(tmpdir(), 'completion-'));
afterAll(() => rmSync(home, { recursive: true }));

const texts = async (...words: string[]) =>
  (await candidates(clientCommands, words)).map(({ text }) => text);

test('commands, groups and aliases', async () => {
  expect(await texts('vf')).toEqual(['vfolder']);
  expect(await texts('ses')).toEqual(['session', 'session-template', 'sesstpl']);
  expect(await texts('session', 'l')).toEqual(['list', 'logs', 'ls']);
  expect(await texts('k')).toEqual(['kill']);
  expect(await texts('--output', 'json', 'con')).toEqual(['config']);
});

test('options', async () => {
  expect(await texts('--o')).toEqual(['--output']);
  expect(await texts('run', 'python', '--r')).toEqual(['--rm', '--resources', '--resource-opts']);
  expect(await texts('session', 'list', '--he')).toEqual(['--help']);
});

test('nothing where a value or a file is expected', async () => {
  expect(await texts('run', '-c', '--')).toEqual([]);
  expect(await texts('run', 'python', 'ma')).toEqual([]);
  expect(await texts('--output', 'js')).toEqual([]);
  expect(await texts('nonsense', '')).toEqual([]);
});

test('what each shell is given', async () => {
  const ask = (request: string, ...words: string[]) =>
    completionAnswer(request, clientCommands, words);
  expect(await ask('bash_complete', 'vf')).toBe('vfolder\n');
  expect(await ask('zsh_complete', 'vf')).toBe('vfolder:Folders that sessions can mount.\n');
  expect(await ask('fish_complete', 'vf')).toBe('vfolder\tFolders that sessions can mount.\n');
  expect(await ask('tcsh_source')).toBeNull();
});

test('bash takes the function and completes with it', async () => {
  const source = await completionAnswer('bash_source', clientCommands, []);
  const script = `${source}
    backend.ai() { printf '%s\\n' "$_BACKEND_AI_COMPLETE" "$@"; }
    COMP_WORDS=(backend.ai run --ou); COMP_CWORD=2
    _backend_ai_completion backend.ai
    printf '[%s]' "\${COMPREPLY[@]}"`;
  const bash = Bun.spawnSync(['bash', '--norc', '-c', script]);
  expect(bash.stderr.toString()).toBe('');
  expect(bash.stdout.toString()).toBe('[bash_complete][run][--ou]');
});

test('installing twice changes the file once', () => {
  const { file, changed } = install('zsh', home);
  expect({ file, changed }).toEqual({ file: join(home, '.zshrc'), changed: true });
  expect(install('zsh', home).changed).toBe(false);
  expect(readFileSync(file, 'utf8')).toBe(`${evalLine('zsh')}\n`);
  expect(install('fish', home).file).toBe(join(home, '.config/fish/completions/backend.ai.fish'));
});
