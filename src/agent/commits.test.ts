/** Which commits are under way, and what is known of them afterwards. */
import { expect, test } from 'bun:test';
import { Commits } from './commits.ts';
import { silentLog } from './testing/fakes.ts';

const target = { kind: 'archive', folder: 'user', fileName: 'work.tar.gz' } as const;

test('a commit is under way until its backend is done, and is not begun twice', async () => {
  const { promise, resolve } = Promise.withResolvers<null>();
  const commits = new Commits({ name: 'docker', commit: () => promise }, silentLog);
  expect(commits.ongoing()).toEqual([]);
  expect([commits.start('k-1', target), commits.start('k-1', target)]).toEqual([true, false]);
  expect([commits.ongoing(), commits.state('k-1').state]).toEqual([['k-1'], 'ongoing']);
  resolve(null);
  await commits.stop();
  expect([commits.ongoing(), commits.state('k-1').state]).toEqual([[], 'done']);
});
