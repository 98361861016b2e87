/** Where circuits are put. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { candidatesFor, choosePort, type Placement } from './place.ts';
import type { WorkerRow } from './store.ts';

const worker = (authority: string, more: Partial<WorkerRow> = {}): WorkerRow => ({
  ...{ id: authority, authority, frontend_mode: 'port', protocol: 'http', hostname: 'h' },
  ...{ tls_listen: false, tls_advertised: false, api_port: 1, available_slots: 10 },
  ...{ occupied_slots: 0, port_range: [100, 109], wildcard_domain: null },
  ...{ wildcard_traffic_port: null, nodes: 1, accepted_traffics: ['interactive'] },
  ...{ filtered_apps_only: false, traefik_last_used_marker_path: null, status: 'ALIVE' },
  ...{ created_at: new Date(0), updated_at: new Date(0), circuits_version: 1, filters: [] },
  ...more,
});
const wildcard = { frontend_mode: 'wildcard', available_slots: -1, port_range: null } as const;
const wanted: Placement = {
  ...({ protocol: 'http', mode: 'interactive' } as const),
  ...{ tags: { 'session.domain_name': 'default' }, port: null, subdomain: null },
};
const names = (workers: WorkerRow[], more: Partial<Placement> = {}) =>
  candidatesFor(workers, { ...wanted, ...more }).map(({ authority }) => authority);

test('the worker with the most room comes first, those with names before those with ports', () => {
  const workers = [
    worker('full', { occupied_slots: 10 }),
    worker('half', { occupied_slots: 5 }),
    worker('free'),
    worker('names', wildcard),
  ];
  expect(names(workers)).toEqual(['names', 'free', 'half']);
});

test('workers that are lost, speak something else or take other traffic are left out', () => {
  const workers = [
    worker('lost', { status: 'LOST' }),
    worker('tcp', { protocol: 'tcp' }),
    worker('models', { accepted_traffics: ['inference'] }),
  ];
  expect(names(workers)).toEqual([]);
});

test('what matches a filter goes to the workers set aside for it, the rest never does', () => {
  const filters = [{ key: 'session.domain_name', value: 'default' }];
  const workers = [worker('open'), worker('aside', { filtered_apps_only: true, filters })];
  expect(names(workers)).toEqual(['aside']);
  expect(names(workers, { tags: { 'session.domain_name': 'other' } })).toEqual(['open']);
});

test('a wish for a port or a name decides where there is a choice', () => {
  const workers = [worker('ports'), worker('names', wildcard)];
  expect(names(workers, { port: 105 })).toEqual(['ports']);
  expect(names(workers, { subdomain: 'x' })).toEqual(['names']);
  expect(names([worker('ports')], { subdomain: 'x' })).toEqual(['ports']);
});

test('a port is free, in range and not avoided; null only when there is none', () => {
  const ports = fc.uniqueArray(fc.integer({ min: 100, max: 109 }));
  fc.assert(
    fc.property(ports, ports, fc.double({ min: 0, max: 0.999, noNaN: true }), (taken, bad, at) => {
      const port = choosePort([100, 109], new Set(taken), null, at, new Set(bad));
      const free = Array.from({ length: 10 }, (_none, index) => 100 + index).filter(
        (one) => !taken.includes(one) && !bad.includes(one),
      );
      if (port === null) expect(free).toEqual([]);
      else expect(free).toContain(port);
    }),
  );
  expect(choosePort([100, 109], new Set([101]), 101, 0)).toBeNull();
  expect(choosePort([100, 109], new Set(), 99, 0)).toBeNull();
  expect(choosePort([100, 109], new Set(), 109, 0)).toBe(109);
});

test('workers for gRPC and for HTTP/2 stand in for each other, and for nobody else', () => {
  const workers = [
    worker('grpc', { protocol: 'grpc' }),
    worker('h2', { protocol: 'h2' }),
    worker('http'),
    worker('tcp', { protocol: 'tcp' }),
  ];
  for (const protocol of ['grpc', 'h2'] as const) {
    expect(names(workers, { protocol })).toEqual(['grpc', 'h2']);
  }
  expect(names(workers)).toEqual(['http']);
});
