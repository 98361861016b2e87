/** What clients of many years send to create a session, and what is refused. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { createSessionBody, parseStartsAt } from './create-request.ts';
import { configKeys, parseCreationConfig } from './creation-config.ts';

const minimal = { name: 'work', image: 'python' };

describe('the body', () => {
  test('of the JavaScript client: legacy names', () => {
    const body = v.parse(createSessionBody, {
      lang: 'cr.example.com/python:3.11',
      clientSessionToken: 'legacy',
      config: { resources: { cpu: 1 } },
      enqueueOnly: true,
      maxWaitSeconds: 15,
      reuseIfExists: false,
    });
    expect(body).toMatchObject({
      session_name: 'legacy',
      image: 'cr.example.com/python:3.11',
      session_type: 'interactive',
      group: 'default',
      domain: '',
      cluster_size: 1,
      cluster_mode: 'single-node',
      enqueue_only: true,
      max_wait_seconds: 15,
      reuse: false,
      priority: 10,
      is_preemptible: true,
    });
  });

  test.each(['한글-세션', 'ünïcode.1', 'cafe\u0301', '_private', '9lives'])(
    'a name in any script: %s',
    (name) => {
      expect(v.parse(createSessionBody, { ...minimal, name }).session_name).toBe(name);
    },
  );

  test('of the Python client: every field, most of them null', () => {
    const body = v.parse(createSessionBody, {
      ...minimal,
      tag: null,
      dependencies: null,
      callback_url: null,
      architecture: 'x86_64',
      clusterSize: 2,
      clusterMode: 'MULTI_NODE',
      starts_at: null,
      bootstrap_script: Buffer.from('echo hi').toString('base64'),
      owner_access_key: null,
      type: 'batch',
      startupCommand: 'true',
      batch_timeout: '30s',
      priority: null,
    });
    expect(body).toMatchObject({
      cluster_size: 2,
      cluster_mode: 'multi-node',
      session_type: 'batch',
      bootstrap_script: 'echo hi',
      batch_timeout: 30_000,
      dependencies: [],
      priority: 10,
    });
  });

  test.each([
    ['no name', { image: 'python' }],
    ['no image', { name: 'work' }],
    ['an empty image', { name: 'work', image: ' ' }],
    ['a name with a slash', { ...minimal, name: 'a/b' }],
    ['a name with a space', { ...minimal, name: 'a b' }],
    ['a name that starts with a dot', { ...minimal, name: '.hidden' }],
    ['a name with a control character', { ...minimal, name: 'a\u0000b' }],
    ['a reserved name', { ...minimal, name: 'from-template' }],
    ['a long name', { ...minimal, name: 'x'.repeat(65) }],
    ['a priority above 100', { ...minimal, priority: 101 }],
    ['a cluster of nothing', { ...minimal, cluster_size: 0 }],
    ['an unknown type', { ...minimal, type: 'batchy' }],
    ['a script that is not base64', { ...minimal, bootstrap_script: 'echo hello!' }],
    ['a duration in words', { ...minimal, batch_timeout: 'an hour' }],
    ['a relative callback', { ...minimal, callback_url: '/done' }],
  ])('with %s is refused', (_what, body) => {
    expect(v.safeParse(createSessionBody, body).success).toBe(false);
  });
});

test('starts_at is a time or a delay', () => {
  const now = new Date('2026-01-01T00:00:00Z');
  expect(parseStartsAt('1h', now)?.toISOString()).toBe('2026-01-01T01:00:00.000Z');
  expect(parseStartsAt('2026-02-03T04:05:06+09:00', now)?.toISOString()).toBe(
    '2026-02-02T19:05:06.000Z',
  );
  expect(parseStartsAt('2026-02-03T04:05:06', now)?.toISOString()).toBe('2026-02-03T04:05:06.000Z');
  expect(parseStartsAt('tomorrow', now)).toBeNull();
  expect(parseStartsAt('2026-13-40', now)).toBeNull();
});

describe('the config', () => {
  const everything = {
    environ: { A: 'b' },
    cluster_size: 3,
    scalingGroup: 'gpu',
    resources: { cpu: 0.5, mem: '4g', 'cuda.shares': null },
    resource_opts: { shmem: '64m', other: 1 },
    // Python's command line sends the words it was given.
    preopenPorts: ['8080'],
    agentList: ['i-one'],
    attach_network: 'b9d3e8f0-6b3e-4d0c-9c43-1d8a3a1b2c3d',
    mount_ids: ['b9d3e8f06b3e4d0c9c431d8a3a1b2c3e'],
    mount_map: { data: '/home/work/data' },
    unknown: true,
  };

  const wish = { subpath: null, target: null, permission: null };
  const dataAt = { ...wish, folder: 'data', target: '/home/work/data' };
  const byId = { ...wish, folder: 'b9d3e8f0-6b3e-4d0c-9c43-1d8a3a1b2c3e' };

  test.each([
    [4, { clusterSize: 3, preopenPorts: [], agentList: [], mounts: [], attachNetwork: null }],
    [5, { clusterSize: 3, preopenPorts: [8080], agentList: [], mounts: [dataAt] }],
    [6, { clusterSize: null, preopenPorts: [8080], agentList: ['i-one'], attachNetwork: null }],
    [8, { attachNetwork: everything.attach_network, mounts: [dataAt] }],
    [9, { mounts: [byId, dataAt], clusterSize: null }],
  ])('of API v%d takes its own keys and drops the others', (major, expected) => {
    expect(parseCreationConfig(everything, major)).toMatchObject({
      environ: { A: 'b' },
      scalingGroup: 'gpu',
      resources: { cpu: '0.5', mem: '4294967296' },
      resourceOpts: { shmem: '64m', other: 1 },
      ...expected,
    });
  });

  test.each([
    { environ: { A: 1 } },
    { environ: { 'A=B': 'x' } },
    { resources: { cpu: 'many' } },
    { resource_opts: { shmem: 'big' } },
    { preopen_ports: [70_000] },
    { preopen_ports: ['ssh'] },
    { mount_options: { data: { permission: 'rwx' } } },
    { attach_network: 'no-uuid' },
  ])('%p is refused and sent back', (config) => {
    const refused = (() => {
      try {
        return parseCreationConfig(config, 9);
      } catch (error) {
        return error;
      }
    })();
    expect(refused).toBeInstanceOf(BackendError);
    expect(refused).toMatchObject({ problem: 'InvalidAPIParameters', data: { config } });
  });

  test('newer versions never lose a key but cluster_size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 8 }), (major) => {
        const kept = configKeys(major).filter((key) => key !== 'cluster_size');
        expect(configKeys(major + 1)).toEqual(expect.arrayContaining(kept));
      }),
    );
  });
});
