/** The layout of sessions of several kernels. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { BackendError } from '../../common/errors.ts';
import { parseSlots } from '../../common/slots.ts';
import { sessionRequest } from '../../testing/control-plane.ts';
import {
  checkClusterServable,
  clusterSizeOf,
  placesOf,
  type RoleDemand,
  rolesOf,
  totalDemand,
} from './cluster.ts';
import type { RoleRequest } from './types.ts';

/** What `work` throws. */
function failureOf(work: () => unknown): BackendError {
  try {
    work();
  } catch (error) {
    if (error instanceof BackendError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

const [alike] = rolesOf(sessionRequest('alike'));
if (!alike) throw new Error('a session has a main kernel');
const role = (name: string, replicas: number): RoleRequest => ({ ...alike, role: name, replicas });

describe('roles', () => {
  test('a size alone gives one main kernel and subs that ask for the same', () => {
    const roles = rolesOf(sessionRequest('c', { clusterSize: 3, startupCommand: 'echo hi' }));
    expect(roles.map((item) => [item.role, item.replicas])).toEqual([
      ['main', 1],
      ['sub', 2],
    ]);
    expect(roles[1]).toEqual({ ...roles[0], role: 'sub', replicas: 2 } as RoleRequest);
    expect(rolesOf(sessionRequest('one'))).toHaveLength(1);
  });

  test('named roles win over the size, and the main one comes first', () => {
    const roles = rolesOf(
      sessionRequest('c', { clusterSize: 9, roles: [role('worker', 2), role('main', 1)] }),
    );
    expect(roles.map((item) => item.role)).toEqual(['main', 'worker']);
    expect(clusterSizeOf(roles)).toBe(3);
  });

  test.each<[string, RoleRequest[], string]>([
    ['no main kernel', [role('sub', 2)], "exactly one kernel of the role 'main'"],
    ['two main kernels', [role('main', 2)], "exactly one kernel of the role 'main'"],
    ['a role twice', [role('main', 1), role('sub', 1), role('sub', 2)], 'named once'],
    ['no replica', [role('main', 1), role('sub', 0)], 'at least 1'],
    ['half a replica', [role('main', 1), role('sub', 1.5)], 'at least 1'],
    ['a role that ends in a digit', [role('main', 1), role('sub1', 1)], "'sub1' is not a role"],
    ['a role that is no host name', [role('main', 1), role('s_b', 1)], "'s_b' is not a role"],
  ])('%s is refused', (_, roles, hint) => {
    const error = failureOf(() => rolesOf(sessionRequest('c', { roles })));
    expect(error.message).toContain(hint);
  });
});

test('every kernel has its own name, number within its role and rank', () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,5}[a-z]$/);
  const roles = fc
    .uniqueArray(fc.tuple(name, fc.integer({ min: 1, max: 15 })), { selector: ([n]) => n })
    .map((list) => [role('main', 1), ...list.map(([n, count]) => role(n, count))]);
  fc.assert(
    fc.property(roles, (list) => {
      let id = 0;
      const places = placesOf(list, () => String(id++));
      expect(places).toHaveLength(clusterSizeOf(list));
      expect(new Set(places.map(({ hostname }) => hostname)).size).toBe(places.length);
      expect(new Set(places.map(({ kernelId }) => kernelId)).size).toBe(places.length);
      expect(places.map(({ localRank }) => localRank)).toEqual(places.map((_, index) => index));
      expect(places[0]).toMatchObject({ role: 'main', idx: 1, localRank: 0, hostname: 'main1' });
      for (const place of places) expect(place.hostname).toBe(`${place.role}${place.idx}`);
    }),
  );
});

describe('what agents must have', () => {
  const demand = (name: string, replicas: number, cpu: string): RoleDemand => ({
    ...{ role: name, replicas, architecture: 'x86_64' },
    slots: parseSlots({ cpu, mem: '1g' }),
  });
  const agent = {
    ...{ id: 'i-one', architecture: 'x86_64' },
    capacity: parseSlots({ cpu: '4', mem: '8g' }),
  };
  const demands = [demand('main', 1, '1'), demand('sub', 3, '1.5')];

  test('kernels of a session ask together', () => {
    expect(totalDemand(demands)).toEqual(parseSlots({ cpu: '5.5', mem: '4g' }));
  });

  test('kernels of a single node must fit on one agent, those of several nodes each on its own', () => {
    const single = failureOf(() => checkClusterServable(demands, 'single-node', 'g', [agent]));
    expect(single.message).toContain('cpu: asked for 5.5');
    expect(single.message).toContain('The 4 kernels of the session share one agent');
    checkClusterServable(demands, 'multi-node', 'g', [agent]);
    const large = [demand('main', 1, '1'), demand('sub', 1, '5')];
    expect(
      failureOf(() => checkClusterServable(large, 'multi-node', 'g', [agent])).message,
    ).toContain('asked for 5');
  });

  test('kernels that share an agent share its architecture', () => {
    const mixed = [demand('main', 1, '1'), { ...demand('sub', 1, '1'), architecture: 'aarch64' }];
    const error = failureOf(() => checkClusterServable(mixed, 'single-node', 'g', [agent]));
    expect(error.message).toContain('x86_64 and aarch64');
  });
});
