/** Commands on sessions and templates against a real manager: what they print, and exit codes. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestServer } from '../testing/session-server.ts';
import { until } from '../testing/until.ts';
import { treeLines } from './commands/session/show-graph.ts';
import { endOf } from './commands/session/watch.ts';
import { statisticsTable } from './session/statistics.ts';
import { runCommand } from './testing/program.ts';

let server: Awaited<ReturnType<typeof startTestServer>>;
const folder = mkdtempSync(join(tmpdir(), 'cli-session-'));
let deadId = '';
/** A database and a manager. */
const START_TIMEOUT_MS = 60_000;

beforeAll(async () => {
  server = await startTestServer();
  const { sql, accounts } = server;
  const [dead] = await sql`SELECT id FROM sessions WHERE name = 'dead'`;
  const [doomed] = await sql`SELECT id FROM sessions WHERE name = 'doomed'`;
  deadId = String(dead?.id);
  await sql`INSERT INTO session_dependencies (session_id, depends_on)
    VALUES (${server.sessionId}, ${deadId}), (${server.sessionId}, ${doomed?.id}),
           (${doomed?.id}, ${deadId})`;
  await sql`INSERT INTO association_groups_users (user_id, group_id)
    SELECT ${accounts.user.userId}, id FROM groups`;
  await sql`INSERT INTO session_scheduling_history (session_id, phase, from_status, to_status, result,
      message, attempts, created_at, updated_at) VALUES
    (${deadId}, 'schedule-sessions', 'PENDING', 'SCHEDULED', 'SUCCESS', 'scheduled', 1, now(), now()),
    (${deadId}, 'mark_terminating', 'RUNNING', 'TERMINATING', 'SUCCESS', ${'long '.repeat(40)}, 1, now(), now())`;
}, START_TIMEOUT_MS);
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const runAs = (who: 'user' | 'superadmin', ...argv: string[]) =>
  runCommand(argv, { env: server.environment(server.accounts[who]), cwd: folder });
const run = (...argv: string[]) => runAs('user', ...argv);

test('show-graph draws a tree, or a table in which each session stands once', async () => {
  const tree = await run('session', 'show-graph', 'work');
  expect(tree.exitCode).toBe(0);
  const [root, ...below] = tree.out.trimEnd().split('\n');
  expect(root).toStartWith('work ("RUNNING"');
  expect(below.filter((line) => line.includes('dead ("TERMINATED"'))).toHaveLength(2);
  const table = await run('session', 'show-graph', '-t', 'work');
  expect(table.out.split('\n').filter((line) => line.startsWith('dead '))).toHaveLength(1);
  expect(table.out.trimEnd().split('\n').at(-1)).toStartWith('work ');
  const { out } = await run('--output', 'json', 'session', 'show-graph', 'work');
  expect(JSON.parse(out)).toMatchObject({ session_name: 'work', status: 'RUNNING' });
  expect(await run('session', 'show-graph', 'nosuch')).toMatchObject({ exitCode: 1 });
});

test('a tree keeps its lines apart, and shows how long ago a status was entered', () => {
  const leaf = (session_name: string, more = {}) => ({
    ...{ session_id: session_name, session_name, status: 'PENDING', depends_on: [] },
    ...more,
  });
  const first = leaf('a', { depends_on: [leaf('b\u001b[2J')] });
  const root = leaf('r', {
    depends_on: [first, leaf('c', { status_changed: '2026-01-01T00:00:00Z' })],
  });
  expect(treeLines(root, new Date('2026-01-01T01:02:03Z'))).toEqual([
    'r ("PENDING")',
    '├── a ("PENDING")',
    expect.stringMatching(/^│ {3}└── b[^\u001b]*\("PENDING"\)$/),
    '└── c ("PENDING" 1:02:03 ago)',
  ]);
});

test('set-priority, by administrators, of a session that waits', async () => {
  const { sql } = server;
  const [doomed] = await sql`SELECT id::text AS id FROM sessions WHERE name = 'doomed'`;
  const set = (...more: string[]) => runAs('superadmin', 'session', 'set-priority', ...more);
  expect(await set(String(doomed?.id), '80')).toMatchObject({
    exitCode: 0,
    err: "✓ Session 'doomed' priority is changed to 80.\n",
  });
  const { out } = await run('--output', 'json', 'ps', '-f', 'name,priority');
  expect(JSON.parse(out).items).toContainEqual({ name: 'doomed', priority: 80 });
  expect(await set('nosuch', '1')).toMatchObject({ exitCode: 1 });
  expect(await set('nosuch', '101')).toMatchObject({ exitCode: 2 });
  const refused = await run('session', 'set-priority', 'doomed', '1');
  expect(refused).toMatchObject({ exitCode: 1, err: expect.stringContaining('admin privilege') });
});

test('restart tells that the server does not do it', async () => {
  const { exitCode, err } = await run('restart', 'work');
  expect(exitCode).toBe(1);
  expect(err).toContain('work: BackendAPIError: 501');
  expect(await run('session', 'restart')).toMatchObject({ exitCode: 4 });
});

test('watch gives up in time, and finds nothing where there is nothing', async () => {
  expect(await run('watch', 'wor', '--max-wait', '1')).toMatchObject({ exitCode: 3, out: '' });
  expect(await run('watch', 'zzz')).toMatchObject({ exitCode: 1, err: '✗ No matching items.\n' });
  const { err } = await run('session', 'watch', 'zzz', '--output', 'json');
  expect(JSON.parse(err)).toEqual({ ok: false, reason: 'No matching items.' });
});

test('watch tells at once how a session ended that is over already', async () => {
  const { sql } = server;
  expect(await run('watch', deadId)).toMatchObject({ exitCode: 0, err: '✓ session_terminated\n' });
  await sql`UPDATE sessions SET result = 'FAILURE', status_data = '{"kernel": {"exit_code": 7}}'
    WHERE id = ${deadId}`;
  const failed = await run('session', 'watch', deadId, '--output', 'json');
  expect({ ...failed, out: JSON.parse(failed.out) }).toMatchObject({
    ...{ exitCode: 7, err: '' },
    out: { event: 'session_failure', sessionId: deadId, exitCode: 7 },
  });
  await sql`UPDATE sessions SET result = 'UNDEFINED', status_data = NULL WHERE id = ${deadId}`;
});

test.each([
  ['session_success', 0, 0],
  ['session_failure', 7, 7],
  ['session_failure', null, 1],
  ['session_terminated', null, 0],
  ['session_started', null, null],
])('what %s with exit code %p means for watching', (event, exitCode, expected) => {
  expect(endOf(event, exitCode)).toBe(expected);
});

test('commit, convert-to-image and abuse-history', async () => {
  const [kernel] = await server.sql`SELECT id::text AS id FROM kernels
    WHERE session_id = ${server.sessionId}`;
  const kernelId = String(kernel?.id);
  const { commits, abuseReports } = server.agent;
  const committed = await run('session', 'commit', 'work');
  expect(committed).toMatchObject({ exitCode: 0, out: '' });
  expect(committed.err).toContain('∙ Request to commit Session(name or id: work)');
  commits.set(kernelId, { state: 'failed', message: 'no space left', image: null });
  const converting = run('session', 'convert-to-image', 'work', 'mine');
  await until(() => commits.get(kernelId)?.state === 'ongoing', 'the agent is asked');
  commits.set(kernelId, { state: 'failed', message: 'no space left', image: null });
  const failed = await converting;
  expect(failed).toMatchObject({ exitCode: 1 });
  expect(failed.err).toContain('Error during the operation: no space left');
  expect(await run('session', 'convert-to-image', 'work', 'a/b')).toMatchObject({ exitCode: 1 });
  abuseReports.set(kernelId, { state: 'mining' });
  expect(JSON.parse((await run('session', 'abuse-history', 'work')).out)).toEqual({
    state: 'mining',
  });
});

test('scheduling-history, of one session and of all', async () => {
  const own = await run('scheduling-history', 'session', 'list', '--session-id', deadId);
  expect(own).toMatchObject({ exitCode: 0, err: '' });
  expect(own.out).toContain('PENDING → SCHEDULED');
  expect(own.out).toContain('…');
  const list = ['scheduling-history', 'session', 'list', '--json'];
  const filtered = await runAs('superadmin', ...list, '--message', 'SCHED', '--result', 'SUCCESS');
  expect(JSON.parse(filtered.out)).toMatchObject({
    count: 1,
    items: [{ sessionId: deadId, phase: 'schedule-sessions', attempts: 1 }],
  });
  const latest = await runAs('superadmin', ...list, '--to-status', 'TERMINATING', '--limit', '1');
  expect(JSON.parse(latest.out).items).toMatchObject([{ phase: 'mark_terminating' }]);
  const groups = await runAs(
    'superadmin',
    'scheduling-history',
    'session',
    'list',
    '--group',
    '-v',
  );
  expect(groups.out).toStartWith(`Session ${deadId}\n`);
  expect(groups.out).toContain('long '.repeat(40).trim());
  expect(await run('scheduling-history', 'session', 'list')).toMatchObject({ exitCode: 1 });
});

test('templates: create, list, get, update, delete', async () => {
  expect((await run('session-template', 'list')).out).toBe(
    'There is no task templates created yet.\n',
  );
  const text = (image: string) =>
    `- name: mine\n  template:\n    api_version: "6"\n    kind: task_template\n    metadata: {name: t}\n` +
    `    spec: {kernel: {image: ${image}}}\n`;
  writeFileSync(join(folder, 'one.yaml'), text('python'));
  const made = await run('sesstpl', 'create', '-f', 'one.yaml');
  expect(made.err).toMatch(/^∙ Task template [0-9a-f]{32} created and ready\n$/);
  const id = /[0-9a-f]{32}/.exec(made.err)?.[0] ?? '';
  expect((await run('session-template', 'list')).out).toContain(`mine  ${id}`);
  const yaml = await run('session-template', 'get', id);
  expect(yaml.out).toContain('image: python');
  writeFileSync(join(folder, 'two.yaml'), text('r'));
  expect(await run('session-template', 'update', id, '-f', 'two.yaml')).toMatchObject({
    exitCode: 0,
  });
  const json = await run('session-template', 'get', '--format', 'json', id);
  expect(JSON.parse(json.out)).toMatchObject({ template: { spec: { kernel: { image: 'r' } } } });
  const wrong = await runCommand(['session-template', 'create'], {
    env: server.environment(server.accounts.user),
    cwd: folder,
    input: '{"kind": "task_template"}',
  });
  expect(wrong).toMatchObject({ exitCode: 1, err: expect.stringContaining('Malformed payload') });
  expect(await run('session-template', 'create', '-f', 'none')).toMatchObject({ exitCode: 1 });
  expect(await run('session-template', 'delete', '-f', id)).toMatchObject({ exitCode: 0 });
  expect(await run('session-template', 'get', id)).toMatchObject({ exitCode: 1 });
  const gone = await run('create-from-template', id, '--enqueue-only');
  expect(gone).toMatchObject({ exitCode: 1, err: expect.stringContaining('There is no template') });
});

test('session explain says why a session waits, and that others do not', async () => {
  const { sql } = server;
  const [doomed] = await sql`SELECT k.id FROM kernels k JOIN sessions s ON s.id = k.session_id
    WHERE s.name = 'doomed'`;
  await sql`INSERT INTO resource_allocations (kernel_id, slot_name, requested)
    VALUES (${String(doomed?.id)}, 'cpu', 40)`;
  await sql`DELETE FROM session_dependencies`;
  const { out, exitCode } = await run('session', 'explain', 'doomed');
  expect(exitCode).toBe(0);
  expect(out).toContain('doomed: PENDING\nAgentSelector: No agent of resource group');
  expect(out).toContain('Closest: agent i-one lacks 37.5 of cpu (2.5 of 40).');
  expect(out).toContain('Place 1 of 1 in the queue.');
  expect(out).toContain('It would start now with at most cpu=2 per kernel.');
  const json = await run('--output', 'json', 'session', 'explain', 'doomed');
  expect(JSON.parse(json.out)).toMatchObject({
    ...{ name: 'doomed', status: 'PENDING' },
    explanation: { starts_now: false, suggestion: { resources: '{"cpu":"2"}' } },
  });
  const running = await run('session', 'explain', 'work');
  expect(running.out).toBe('work: RUNNING\nIt does not wait: it is RUNNING.\n');
  expect(await run('session', 'explain', 'nosuch')).toMatchObject({ exitCode: 1 });
});

test('ps --plain: rows alone', async () => {
  const { out } = await run('ps', '--plain', '-f', 'name,status', '--limit', '20');
  expect(out.split('\n')).toContain('work    RUNNING');
  expect(out).not.toContain('---');
  expect(out).not.toContain('Status');
});

test('task-logs of what has none', async () => {
  const { exitCode, out, err } = await run('task-logs', 'work');
  expect({ exitCode, out }).toEqual({ exitCode: 1, out: '' });
  expect(err).toContain("Session 'work' has no log in your folder '.logs'");
});

test('what a session used, in words', () => {
  const cpu = { current: '1500', pct: '12.5', unit_hint: 'msec' };
  const memory = { current: '3145728', pct: '1', unit_hint: 'bytes' };
  const load = { current: '1', pct: '50.25', unit_hint: 'percent' };
  const unknown = { current: null, pct: null, unit_hint: 'count' };
  const metrics = { cpu_used: cpu, mem: memory, cpu_util: load, net: unknown };
  const table = statisticsTable([{ container: 'main1', metrics }]);
  expect(table?.split('\n').slice(2)).toEqual([
    'main1      cpu_used  1500 msec',
    'main1      mem       3.0M',
    'main1      cpu_util  50.25 %',
    '',
  ]);
  expect(statisticsTable([{ container: 'main1', metrics: { net: unknown } }])).toBeNull();
  expect(statisticsTable([])).toBeNull();
});

test('destroy --stats of a session that was not measured says so', async () => {
  const { exitCode, out } = await run('destroy', '--stats', 'doomed');
  expect({ exitCode, out }).toEqual({ exitCode: 0, out: 'doomed: nothing was measured yet.\n' });
});
