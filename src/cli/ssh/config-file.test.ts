/** Entries for ssh from one call of `ssh-config` to the next. */
import { expect, test } from 'bun:test';
import { mergeEntries, readEntries, sshEntry, writeEntries } from './config-file.ts';

const HERE = 'http://127.0.0.1:8091';
const entry = (host: string, endpoint = HERE, user = 'work') =>
  sshEntry(host, endpoint, [
    ['User', user],
    ['ProxyCommand', `backend.ai proxy-stdio ${host} sshd`],
  ]);
const merge = (text: string, added: ReturnType<typeof entry>[], gone: string[] = []) =>
  mergeEntries(readEntries(text), added, {
    endpoint: HERE,
    isGone: async (host) => gone.includes(host),
  });

test('a session is added to those that are there', async () => {
  const first = writeEntries(await merge('', [entry('a'), entry('b')]));
  const entries = await merge(first, [entry('c')]);
  expect(entries).toEqual([entry('a'), entry('b'), entry('c')]);
  expect(readEntries(writeEntries(entries))).toEqual(entries);
});

test('an entry takes the place of an older one of its name only', async () => {
  const old = writeEntries([entry('a'), entry('ab')]);
  expect(await merge(old, [entry('a', HERE, 'other')])).toEqual([
    entry('ab'),
    entry('a', HERE, 'other'),
  ]);
});

test('entries of sessions that are gone are left out, of this cluster only', async () => {
  const elsewhere = entry('c', 'https://elsewhere.example');
  const old = writeEntries([entry('a'), entry('b'), elsewhere]);
  expect(await merge(old, [entry('d')], ['a', 'c', 'd'])).toEqual([
    entry('b'),
    elsewhere,
    entry('d'),
  ]);
});

test('entries of a file of an earlier version, which names no cluster, stay', async () => {
  const old = 'Host a\n  HostName a\n  User work\n\nHost b\n  HostName b\n';
  expect((await merge(old, [entry('b')], ['a'])).map(({ host }) => host)).toEqual(['a', 'b']);
});
