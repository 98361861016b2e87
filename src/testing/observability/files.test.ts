/**
 * The files of those parts of the observability profile that no Debian package has (Grafana, Loki,
 * Tempo, the collector): what they name exists, in each other and in the compose files.
 */
import { expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { checkoutRoot } from '../../common/executable.ts';

const HALFSTACK = join(checkoutRoot ?? '.', 'halfstack');
const textOf = (name: string) => readFileSync(join(HALFSTACK, name), 'utf8');
const yamlOf = (name: string): unknown => Bun.YAML.parse(textOf(name));

const project = v.object({
  services: v.record(
    v.string(),
    v.looseObject({
      command: v.optional(v.union([v.string(), v.array(v.string())]), []),
      ports: v.optional(v.array(v.string()), []),
      volumes: v.optional(v.array(v.string()), []),
    }),
  ),
});
const { services } = v.parse(project, yamlOf('observability.yaml'));
const known = new Set([
  ...Object.keys(services),
  ...Object.keys(v.parse(project, yamlOf('compose.yaml')).services),
]);

const datasources = v.parse(
  v.object({
    datasources: v.array(
      v.looseObject({ uid: v.string(), type: v.string(), url: v.pipe(v.string(), v.url()) }),
    ),
  }),
  yamlOf('observability/grafana/provisioning/datasources/datasources.yaml'),
).datasources;

/** Every value of a key, however deep. */
function valuesOf(tree: unknown, key: string): unknown[] {
  if (Array.isArray(tree)) return tree.flatMap((part) => valuesOf(part, key));
  if (typeof tree !== 'object' || tree === null) return [];
  return Object.entries(tree).flatMap(([name, value]) => [
    ...(name === key ? [value] : []),
    ...valuesOf(value, key),
  ]);
}

const grid = v.object({
  x: v.pipe(v.number(), v.minValue(0)),
  y: v.pipe(v.number(), v.minValue(0)),
  w: v.pipe(v.number(), v.minValue(1), v.maxValue(24)),
  h: v.pipe(v.number(), v.minValue(1)),
});
const dashboard = v.looseObject({
  uid: v.pipe(v.string(), v.regex(/^[\w-]{1,40}$/)),
  title: v.string(),
  schemaVersion: v.pipe(v.number(), v.minValue(36)),
  panels: v.array(
    v.looseObject({
      id: v.pipe(v.number(), v.integer()),
      type: v.picklist(['row', 'stat', 'timeseries', 'logs', 'table']),
      gridPos: grid,
      options: v.optional(
        // As far as Grafana's schema wants all of it said.
        v.looseObject({
          legend: v.optional(
            v.strictObject({
              displayMode: v.picklist(['list', 'table', 'hidden']),
              placement: v.picklist(['bottom', 'right']),
              calcs: v.array(v.string()),
              showLegend: v.boolean(),
            }),
          ),
          tooltip: v.optional(
            v.strictObject({
              mode: v.picklist(['single', 'multi', 'none']),
              sort: v.picklist(['asc', 'desc', 'none']),
            }),
          ),
        }),
      ),
    }),
  ),
});

test('dashboards stand beside each other, and ask servers that Grafana is told of', () => {
  const folder = join(HALFSTACK, 'observability/grafana/dashboards');
  const boards = readdirSync(folder).map((name) => {
    const tree: unknown = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    const asked = valuesOf(tree, 'datasource');
    const provided = datasources.map(({ type, uid }) => ({ type, uid }));
    expect(asked.filter((one) => !provided.some((other) => Bun.deepEquals(one, other)))).toEqual(
      [],
    );
    return v.parse(dashboard, tree);
  });
  expect(boards.length).toBeGreaterThan(3);
  expect(new Set(boards.map(({ uid }) => uid)).size).toBe(boards.length);
  for (const { title, panels } of boards) {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, at) => `${x + (at % w)},${y + Math.floor(at / w)}`),
    );
    expect({ title, overlaps: cells.length - new Set(cells).size }).toEqual({ title, overlaps: 0 });
  }
});

test('Grafana finds its servers where they listen, and what it mounts where it looks', () => {
  const ports = {
    prometheus: '9090',
    alertmanager: '9093',
    loki: String(valuesOf(yamlOf('observability/loki.yaml'), 'http_listen_port')[0]),
    tempo: String(valuesOf(yamlOf('observability/tempo.yaml'), 'http_listen_port')[0]),
  };
  const places = datasources.map(({ type, url }) => [type, new URL(url).host]);
  expect(Object.fromEntries(places)).toEqual({
    prometheus: `prometheus:${ports.prometheus}`,
    alertmanager: `alertmanager:${ports.alertmanager}`,
    loki: `loki:${ports.loki}`,
    tempo: `tempo:${ports.tempo}`,
  });
  const links = valuesOf(datasources, 'datasourceUid');
  expect(links.filter((uid) => !datasources.some((one) => one.uid === uid))).toEqual([]);
  const providers = yamlOf('observability/grafana/provisioning/dashboards/dashboards.yaml');
  const mounted = services.grafana?.volumes.map((volume) => volume.split(':')[1]) ?? [];
  for (const path of valuesOf(providers, 'path')) expect(mounted).toContain(String(path));
});

test('each program is given the file that it is told to read', () => {
  for (const name of ['prometheus', 'loki', 'tempo', 'otel-collector']) {
    const { command = [], volumes = [] } = services[name] ?? {};
    const options = [command].flat().filter((option) => /^--?config/.test(option));
    const path = options[0]?.replace(/^--?config(\.file)?=/, '') ?? '';
    const mount = volumes.find((volume) => volume.split(':')[1] === path) ?? '';
    expect(mount).toStartWith('./observability/');
    expect(yamlOf(mount.split(':')[0]?.slice(2) ?? '')).toBeObject();
  }
});

const pipeline = v.object({
  receivers: v.array(v.string()),
  processors: v.array(v.string()),
  exporters: v.array(v.string()),
});
const collector = v.strictObject({
  receivers: v.record(v.string(), v.unknown()),
  processors: v.record(v.string(), v.unknown()),
  exporters: v.record(v.string(), v.looseObject({ endpoint: v.string() })),
  extensions: v.record(v.string(), v.looseObject({ directory: v.string() })),
  service: v.object({
    extensions: v.array(v.string()),
    pipelines: v.record(v.string(), pipeline),
  }),
});

test('the pipelines of the collector are made of parts that it has, and lead to services', () => {
  const settings = v.parse(collector, yamlOf('observability/otel-collector.yaml'));
  for (const kind of ['receivers', 'processors', 'exporters'] as const) {
    const used = Object.values(settings.service.pipelines).flatMap((one) => one[kind]);
    expect(new Set(used)).toEqual(new Set(Object.keys(settings[kind])));
  }
  expect(settings.service.extensions).toEqual(Object.keys(settings.extensions));
  const stores = valuesOf(settings.receivers, 'storage').map(String);
  const mounted = services['otel-collector']?.volumes.map((volume) => volume.split(':')[1]);
  for (const name of stores) expect(mounted).toContain(settings.extensions[name]?.directory);
  const hosts = Object.values(settings.exporters).map(
    ({ endpoint }) => endpoint.replace(/^\w+:\/\//, '').split(':')[0] ?? '',
  );
  expect(hosts.filter((host) => !known.has(host))).toEqual([]);
  // What is published is what it listens on.
  const listening = valuesOf(settings.receivers, 'endpoint').map((at) => String(at).split(':')[1]);
  const published = services['otel-collector']?.ports.map((port) => port.split(':').at(-1));
  expect(new Set(published)).toEqual(new Set(listening));
});
