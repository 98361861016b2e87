/** Which apps of the host sessions of the process backend are offered. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostRuntime } from '../../../common/images/host-runtimes.ts';
import { findHostApps, hostAppPorts } from './host-apps.ts';
import type { HostView } from './host-view.ts';

const base = realpathSync(mkdtempSync(join(tmpdir(), 'host-apps-')));
const inBase = (name: string) => join(base, name);
const program = (name: string, mode = 0o755) =>
  writeFileSync(inBase(name), '#!/bin/sh\n', { mode });

beforeAll(() => {
  for (const folder of ['system', 'home', 'home/python', 'other']) mkdirSync(inBase(folder));
  program('system/jupyter-notebook');
  program('system/tensorboard', 0o644);
  program('home/code-server');
  program('home/python/jupyter-lab');
  symlinkSync(inBase('home/code-server'), inBase('system/code-server'));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

const view = (more: Partial<HostView> = {}): HostView => ({
  ...{ mounts: [[inBase('system'), inBase('system')]], links: [], runner: [] },
  ...{ hiddenFolders: [], hiddenFiles: [], ...more },
});
const search = ['nowhere', 'other', 'system', 'home'].map(inBase).join(':');
const find = async (seen: HostView, sandbox: 'bubblewrap' | 'none' = 'bubblewrap') =>
  (await findHostApps(seen, sandbox, [], search)).map(({ name }) => name);

test('those that can be run and are seen by sessions', async () => {
  const [app, ...others] = await findHostApps(view(), 'bubblewrap', [], search);
  expect(app).toEqual({ name: 'jupyter', program: inBase('system/jupyter-notebook') });
  expect(others).toEqual([]);
  expect(hostAppPorts([{ name: 'jupyter', program: '/x' }])).toMatchObject([
    { name: 'jupyter', protocol: 'http', host_ports: [null], is_inference: false },
  ]);
});

test('what is hidden, or shown elsewhere, does not count', async () => {
  expect(await find(view({ hiddenFolders: [inBase('system')] }))).toEqual([]);
  expect(await find(view({ mounts: [[inBase('system'), '/elsewhere']] }))).toEqual([]);
  expect(await find(view({ mounts: [] }))).toEqual([]);
});

test('without a sandbox all that the agent finds', async () => {
  expect(await find(view({ mounts: [] }), 'none')).toEqual(['jupyter', 'vscode']);
});

test('those of a runtime in a home folder, of which sessions see that part', async () => {
  const python = inBase('home/python');
  const seen = view({ mounts: [[python, python]], hiddenFolders: [inBase('home')] });
  const runtime: HostRuntime = {
    name: 'python',
    ...{ version: '3.11', executable: join(python, 'python3') },
    ...{ visiblePaths: [python], sizeBytes: 1, mtimeMs: 1 },
  };
  const found = await findHostApps(seen, 'bubblewrap', [runtime], '/nowhere');
  expect(found).toEqual([{ name: 'jupyterlab', program: join(python, 'jupyter-lab') }]);
});
