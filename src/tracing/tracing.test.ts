/** Spans reach a collector in batches; one that is away or slow costs nobody anything but spans. */
import { afterEach, expect, test } from 'bun:test';
import { systemClock } from '../common/clock.ts';
import { systemRandom } from '../common/random.ts';
import {
  currentSpan,
  formatTraceparent,
  noTracer,
  parseTraceparent,
  traceHeaders,
} from '../common/tracing.ts';
import { silentLogger } from '../logging/logger.ts';
import { createRegistry } from '../metrics/registry.ts';
import { type Collector, startCollector } from '../testing/observability/collector.ts';
import { freePort } from '../testing/services.ts';
import { until } from '../testing/until.ts';
import { SpanExporter } from './exporter.ts';
import { openTracer, tracersFromEnvironment, tracesUrl } from './open.ts';
import { createTracer } from './tracer.ts';

const started: Collector[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((collector) => collector.stop()));
});

function collecting(): Collector {
  const collector = startCollector();
  started.push(collector);
  return collector;
}

interface Told {
  exported: number;
  dropped: number;
  warnings: string[];
}

function exporterTo(url: string, limits: { maxQueued?: number; maxBatch?: number } = {}) {
  const told: Told = { exported: 0, dropped: 0, warnings: [] };
  const exporter = new SpanExporter({
    ...{ url, maxQueued: limits.maxQueued ?? 1000, maxBatch: limits.maxBatch ?? 100 },
    clock: systemClock,
    log: { warn: (message) => told.warnings.push(message), info: () => {} },
    onOutcome: (outcome, count) => {
      told[outcome] += count;
    },
  });
  const tracer = createTracer({ service: 'test', exporter, random: systemRandom });
  return { told, exporter, tracer };
}

const span = (name: string) => ({ name, kind: 'internal' as const });

test('spans within spans are one trace; failures and attributes are told', async () => {
  const collector = collecting();
  const { tracer } = exporterTo(`${collector.url}/v1/traces`);
  const parent = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), isSampled: true };
  const failing = tracer.run({ ...span('outer'), parent }, async (outer) => {
    outer?.set({ 'http.response.status_code': 200, slow: false });
    expect(outer).not.toBeNull();
    if (outer) expect(traceHeaders()).toEqual({ traceparent: formatTraceparent(outer.context) });
    outer?.addMeasured('another', 'beside', { startUnixMs: 1.5, endUnixMs: 2 });
    await tracer.run(span('inner'), async () => {
      throw new Error('broken');
    });
  });
  await expect(failing).rejects.toThrow('broken');
  expect(currentSpan()).toBeNull();
  await tracer.close();
  const [beside, inner, outer] = collector.spans;
  expect(outer).toMatchObject({ service: 'test', name: 'outer', parentSpanId: parent.spanId });
  expect(outer?.attributes).toEqual({ 'http.response.status_code': '200', slow: false });
  expect(inner).toMatchObject({ name: 'inner', parentSpanId: outer?.spanId, error: 'broken' });
  expect(beside).toMatchObject({
    ...{ service: 'another', parentSpanId: outer?.spanId, startTimeUnixNano: '1500000' },
  });
  expect(new Set(collector.spans.map(({ traceId }) => traceId))).toEqual(new Set([parent.traceId]));
});

test('a server that answers with 500 or more has failed, and a client that hears so has not', async () => {
  const collector = collecting();
  const { tracer } = exporterTo(`${collector.url}/v1/traces`);
  for (const [name, kind, status] of [
    ['found', 'server', 404],
    ['broken', 'server', 503],
    ['told', 'client', 503],
  ] as const) {
    await tracer.run({ name, kind }, async (open) => {
      open?.set({ 'http.response.status_code': status });
    });
  }
  tracer
    .begin({ name: 'proxied', kind: 'server' })
    ?.end(null, { 'http.response.status_code': 502 });
  await tracer.close();
  const errors = collector.spans.map(({ name, error }) => [name, error]);
  expect(Object.fromEntries(errors)).toEqual({
    ...{ found: null, broken: 'answered with 503', told: null, proxied: 'answered with 502' },
  });
});

test('without a parent a trace begins, and without a tracer nothing is told', async () => {
  const collector = collecting();
  const { tracer } = exporterTo(`${collector.url}/v1/traces`);
  await tracer.run(span('around'), () =>
    tracer.run({ ...span('root'), parent: null }, async () => {}),
  );
  await tracer.run({ ...span('probe'), onlyWithin: true }, async (none) => expect(none).toBeNull());
  await noTracer.run(span('silent'), async (none) => expect(none).toBeNull());
  await tracer.close();
  const [root, around] = collector.spans;
  expect(root?.parentSpanId).toBeUndefined();
  expect(root?.traceId).not.toBe(around?.traceId);
  expect(collector.spans).toHaveLength(2);
});

test('a collector that hangs costs spans beyond the bound, and no time', async () => {
  const collector = collecting();
  collector.hang();
  const { tracer, told } = exporterTo(`${collector.url}/v1/traces`, {
    maxQueued: 50,
    maxBatch: 10,
  });
  for (let count = 0; count < 200; count += 1) await tracer.run(span(`n${count}`), async () => {});
  // Ten are on their way, fifty wait.
  expect(told.dropped).toBe(140);
  collector.release();
  await tracer.close();
  expect(told).toMatchObject({ exported: 60, dropped: 140 });
});

test('a collector that is away is told of once', async () => {
  const { tracer, told, exporter } = exporterTo(`http://127.0.0.1:${await freePort()}/v1/traces`, {
    maxBatch: 1,
  });
  await tracer.run(span('one'), async () => {});
  await tracer.run(span('two'), async () => {});
  await exporter.close();
  await until(() => told.dropped === 2, 'both are given up');
  expect(told.warnings).toHaveLength(1);
});

test('outcomes are counted for Prometheus', async () => {
  const collector = collecting();
  const registry = createRegistry();
  const tracer = openTracer(
    'test',
    {
      ...{ enabled: true, endpoint: collector.url, 'log-level': 'INFO' },
      ...{ 'max-queue-size': 10, 'max-export-batch-size': 10 },
    },
    { log: silentLogger, registry },
  );
  await tracer.run(span('one'), async () => {});
  await tracer.close();
  expect(await registry.metrics()).toContain('backendai_tracing_spans_count{outcome="exported"} 1');
});

test('of a trace that is not sampled nothing is sent, and whoever is asked learns of that', async () => {
  const collector = collecting();
  const { tracer } = exporterTo(`${collector.url}/v1/traces`);
  const parent = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), isSampled: false };
  await tracer.run({ ...span('outer'), parent }, async (outer) => {
    expect(traceHeaders().traceparent).toMatch(/^00-a{32}-[0-9a-f]{16}-00$/);
    outer?.addMeasured('another', 'beside', { startUnixMs: 1.5, endUnixMs: 2 });
    await tracer.run(span('inner'), async () => {
      expect(traceHeaders().traceparent).toMatch(/^00-a{32}-[0-9a-f]{16}-00$/);
    });
    tracer.begin(span('begun'))?.end(null);
  });
  const times = { startUnixMs: 1, endUnixMs: 2 };
  tracer.tell({ name: 'past', parent, attributes: {}, error: null, ...times });
  await tracer.run(span('another trace'), async () => {});
  await tracer.close();
  expect(collector.spans.map(({ name }) => name)).toEqual(['another trace']);
});

test('what several services of one process still have to send goes out at its end', async () => {
  const collector = collecting();
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
  const tracers = tracersFromEnvironment(env, { log: silentLogger });
  for (const service of ['one', 'two']) await tracers.of(service).run(span('work'), async () => {});
  expect(collector.spans).toEqual([]);
  await tracers.close();
  expect(collector.spans.map(({ service }) => service).toSorted()).toEqual(['one', 'two']);
});

test('the address is that of OTLP over HTTP, whichever port of the collector is named', () => {
  expect(tracesUrl('http://localhost:4317')).toBe('http://localhost:4318/v1/traces');
  expect(tracesUrl('https://otel.example/in/')).toBe('https://otel.example/in/v1/traces');
  expect(tracesUrl('http://c:4318/v1/traces')).toBe('http://c:4318/v1/traces');
});

test('a traceparent that is not valid names nothing', () => {
  const valid = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  const named = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) };
  for (const [flags, isSampled] of [
    ['00', false],
    ['01', true],
    ['02', false],
    ['ff', true],
  ] as const) {
    const context = parseTraceparent(valid.replace(/01$/, flags));
    expect(context).toEqual({ ...named, isSampled });
    expect(context && formatTraceparent(context)).toBe(
      valid.replace(/01$/, isSampled ? '01' : '00'),
    );
  }
  for (const header of [null, '', 'x', valid.replaceAll('a', '0'), valid.replaceAll('b', '0')]) {
    expect(parseTraceparent(header)).toBeNull();
  }
});
