/** The compose files of halfstack/: compose understands them, and what they mount is there. */
import { afterAll, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { checkoutRoot } from '../common/executable.ts';
import { composeCommand, composeEnvironment, missingForCompose } from './compose.ts';
import { requireOrSkip } from './services.ts';

const HALFSTACK = join(checkoutRoot ?? '.', 'halfstack');
const canRun = requireOrSkip(missingForCompose());
const folder = mkdtempSync(join(tmpdir(), 'bai-compose-'));
afterAll(() => rmSync(folder, { recursive: true }));

const project = v.object({
  services: v.record(
    v.string(),
    v.looseObject({
      image: v.string(),
      volumes: v.optional(v.array(v.looseObject({ type: v.string(), source: v.string() })), []),
    }),
  ),
});

/** What compose makes of files of halfstack/, with everything set that they demand. */
function understood(files: readonly string[]): v.InferOutput<typeof project> {
  const env = composeEnvironment(mkdtempSync(join(folder, 'at-')), '/nowhere');
  const ran = Bun.spawnSync(
    [
      ...composeCommand(env),
      ...files.flatMap((file) => ['--file', join(HALFSTACK, file)]),
      ...['--profile', 'observability', 'config', '--format', 'json'],
    ],
    {
      env: { ...env, BACKEND_DB_PASSWORD: 'p', BACKEND_GRAFANA_PASSWORD: 'g' },
      timeout: 20_000,
    },
  );
  expect(ran.stderr.toString()).toBe('');
  expect(ran.exitCode).toBe(0);
  return v.parse(project, JSON.parse(ran.stdout.toString()));
}

const servicesOf = (files: readonly string[]) => Object.keys(understood(files).services).sort();

test.skipIf(!canRun)('the servers that may be lost one by one', () => {
  expect(servicesOf(['ha.yaml'])).toEqual([
    ...['etcd-1', 'etcd-2', 'etcd-3', 'postgres', 'postgres-standby', 'redis', 'redis-replica'],
    ...['sentinel-1', 'sentinel-2', 'sentinel-3'],
  ]);
});

test.skipIf(!canRun)('what is mounted for those who watch is there', () => {
  const { services } = understood(['compose.yaml', 'observability.yaml']);
  expect(Object.keys(services).sort()).toEqual([
    ...['alertmanager', 'etcd', 'grafana', 'loki', 'node-exporter', 'otel-collector', 'postgres'],
    ...['postgres-exporter', 'prometheus', 'redis', 'redis-exporter', 'scraper', 'tempo'],
  ]);
  const mounted = Object.values(services)
    .flatMap(({ volumes }) => volumes)
    .filter(({ type, source }) => type === 'bind' && source.startsWith(join(HALFSTACK, 'o')))
    .map(({ source }) => source);
  expect(mounted.length).toBeGreaterThan(6);
  expect(mounted.filter((source) => !existsSync(source))).toEqual([]);
});
