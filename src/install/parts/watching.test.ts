/** What the installer writes for those who watch: all files of halfstack/, for this very installation. */
import { afterEach, expect, test } from 'bun:test';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkoutRoot } from '../../common/executable.ts';
import { systemRandom } from '../../common/random.ts';
import { installRequest } from '../../testing/install-request.ts';
import { layoutOf, loadOrCreateSecrets } from '../layout.ts';
import { PACKAGE_PORTS } from '../request.ts';
import { writeHalfstackFiles } from './halfstack.ts';
import { alertmanagerPath, areWatchFilesWritten, targetsPath } from './watching.ts';

const home = mkdtempSync(join(tmpdir(), 'bai-watching-'));
afterEach(() => rmSync(home, { recursive: true, force: true }));
const layout = layoutOf(join(home, 'cluster'));
const HALFSTACK = join(checkoutRoot ?? '.', 'halfstack/observability');

/** Below a folder. */
const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();

const write = (part: Partial<Parameters<typeof installRequest>[0]>) => {
  const request = installRequest({ targetPath: layout.root, ...part });
  writeHalfstackFiles(request, layout, loadOrCreateSecrets(layout, systemRandom));
  return request;
};

test('every file of halfstack/observability is written, readable for whoever runs in a container', () => {
  const previous = process.umask(0o077);
  try {
    write({ watch: 'observability' });
  } finally {
    process.umask(previous);
  }
  const folder = join(layout.halfstack, 'observability');
  // Those that are the installation's own lie elsewhere.
  const own = ['alertmanager.yaml', 'scraper.yaml', 'targets/backendai.json'];
  expect(filesIn(folder)).toEqual(filesIn(HALFSTACK).filter((name) => !own.includes(name)));
  for (const name of filesIn(folder)) {
    const [written, original] = [join(folder, name), join(HALFSTACK, name)];
    const same = (path: string): unknown =>
      name.endsWith('.json') ? JSON.parse(readFileSync(path, 'utf8')) : readFileSync(path, 'utf8');
    expect(same(written)).toEqual(same(original));
    expect(statSync(written).mode & 0o444).toBe(0o444);
  }
  const grafana = join(folder, 'grafana');
  const folders = ['provisioning', 'provisioning/dashboards', 'provisioning/datasources'];
  for (const name of [...folders, 'dashboards']) {
    expect(statSync(join(grafana, name)).mode & 0o555).toBe(0o555);
  }
});

test('targets are the components of this installation, and Prometheus that of its port', () => {
  const ports = { ...PACKAGE_PORTS, prometheus: 9999, agentService: 7003, sftpAgentService: 7014 };
  write({ watch: 'observability', sftpAgent: true, ports });
  expect(JSON.parse(readFileSync(targetsPath(layout), 'utf8'))).toEqual([
    { targets: ['127.0.0.1:18080'], labels: { job: 'backendai-manager' } },
    { targets: ['127.0.0.1:7003', '127.0.0.1:7014'], labels: { job: 'backendai-agent' } },
    { targets: ['127.0.0.1:16023'], labels: { job: 'backendai-storage-proxy' } },
    { targets: ['127.0.0.1:18090'], labels: { job: 'backendai-webserver' } },
  ]);
  const scraper = readFileSync(join(layout.halfstack, 'scraper.yaml'), 'utf8');
  expect(scraper).toContain('- url: http://127.0.0.1:9999/api/v1/write');
});

test('whom alerts are told is kept, and only its owner reads it', () => {
  write({ watch: 'observability' });
  writeFileSync(alertmanagerPath(layout), 'route: { receiver: mine }\n');
  write({ watch: 'observability' });
  expect(readFileSync(alertmanagerPath(layout), 'utf8')).toBe('route: { receiver: mine }\n');
  expect(statSync(alertmanagerPath(layout)).mode & 0o077).toBe(0);
});

test('what differs from what would be written is noticed, and nothing is written unasked', () => {
  const none = write({});
  expect(existsSync(join(layout.halfstack, 'observability'))).toBe(false);
  expect(areWatchFilesWritten(none, layout)).toBe(false);
  const request = write({ watch: 'telemetry' });
  expect(areWatchFilesWritten(request, layout)).toBe(true);
  writeFileSync(join(layout.halfstack, 'observability/loki.yaml'), '# of an older version\n');
  expect(areWatchFilesWritten(request, layout)).toBe(false);
});

test('compose takes a path as it is, whatever signs are in it', () => {
  const odd = layoutOf(join(home, "it's $HOME #1"));
  const request = installRequest({ targetPath: odd.root, watch: 'telemetry' });
  writeHalfstackFiles(request, odd, loadOrCreateSecrets(odd, systemRandom));
  const lines = readFileSync(join(odd.halfstack, '.env'), 'utf8').split('\n');
  expect(lines).toContain(`BACKEND_LOGS='${home}/it\\'s $HOME #1/logs'`);
  expect(lines).toContain('BACKEND_REDIS_PORT=8110');
});
