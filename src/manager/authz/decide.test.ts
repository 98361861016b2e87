/** The decision who may do what, for any roles and scopes. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { type ChainLink, decide, decideByAccount, type Grant, type Question } from './decide.ts';
import { type ElementType, elements, type Operation, operationBits } from './elements.ts';

const project = { type: 'project', id: 'p1' } as const;
const session = { type: 'session', id: 's1' } as const;

const grant = (more: Partial<Grant> = {}): Grant => ({
  roleId: 'r1',
  roleName: 'keeper',
  roleStatus: 'active',
  scope: project,
  entityType: 'session',
  operation: 'read',
  ...more,
});
const chain: readonly ChainLink[] = [
  { ...session, cap: null },
  { ...project, cap: null },
];
const userId = 'u1';
const asked = { userId, operation: 'read', entityType: 'session' } as const;
const question: Question = { ...asked, target: session, chain };

describe('one permission', () => {
  test('in a scope around the target allows, and says by which role', () => {
    expect(decide([grant()], question)).toEqual({ allowed: true, roleId: 'r1' });
  });

  test.each<[string, Partial<Grant>]>([
    ['of another scope of that type', { scope: { type: 'project', id: 'p2' } }],
    ['of another type of scope with that id', { scope: { type: 'domain', id: 'p1' } }],
    ['of another operation', { operation: 'update' }],
    ['of another entity', { entityType: 'vfolder' }],
  ])('%s does not', (_, more) => {
    const decision = decide([grant(more)], question);
    expect(decision).toMatchObject({ allowed: false });
    // Where the session lies, and whose it is, is not told.
    expect(decision).toHaveProperty(
      'reason',
      "None of your roles allows 'read' of session 's1'. An administrator can assign one that does.",
    );
  });

  test.each(['inactive', 'deleted'])('of a role that is %s does not, and says so', (roleStatus) => {
    expect(decide([grant({ roleStatus })], question)).toEqual({
      allowed: false,
      reason: `Your role 'keeper' would allow it, but is ${roleStatus}.`,
    });
  });

  test('passes an association only as far as its cap allows', () => {
    const capped = (cap: number) => [
      { ...session, cap: null },
      { ...project, cap },
    ];
    const at = (cap: number, operation: Operation) =>
      decide([grant({ operation })], { ...question, operation, chain: capped(cap) }).allowed;
    expect(at(operationBits.read, 'read')).toBe(true);
    expect(at(operationBits.read, 'update')).toBe(false);
    expect(at(0, 'read')).toBe(false);
    expect(at(31, 'grant:read')).toBe(false);
  });
});

const elementRefs = fc.record({
  type: fc.constantFrom<ElementType>(...Object.values(elements).slice(0, 4)),
  id: fc.constantFrom('a', 'b', 'c'),
});
const operations = fc.constantFrom<Operation>('read', 'update', 'create', 'grant:all');
const grants = fc.array(
  fc.record({
    roleId: fc.constantFrom('r1', 'r2'),
    roleName: fc.constant('role'),
    roleStatus: fc.constantFrom('active', 'inactive', 'deleted'),
    scope: elementRefs,
    entityType: fc.constantFrom<ElementType>('session', 'vfolder'),
    operation: operations,
  }),
  { maxLength: 12 },
);
const questions = fc.record({
  userId: fc.constant(userId),
  operation: operations,
  entityType: fc.constantFrom<ElementType>('session', 'vfolder'),
  target: elementRefs,
  chain: fc.array(
    fc
      .tuple(elementRefs, fc.option(fc.integer({ min: 0, max: 31 })))
      .map(([element, cap]) => ({ ...element, cap })),
    { minLength: 1, maxLength: 5 },
  ),
});

test('without enforcement an administrator of the domain needs no role, others still do', () => {
  const domain = { type: 'domain', id: 'd1', cap: null } as const;
  const within = { ...question, chain: [...chain, domain] };
  const account = (role: string, domainName: string) =>
    decideByAccount({ role, domainName }, [], within).allowed;
  expect(account('admin', 'd1')).toBe(true);
  expect(account('admin', 'd2')).toBe(false);
  expect(account('user', 'd1')).toBe(false);
  expect(account('monitor', 'd1')).toBe(false);
  const capped = { ...within, chain: [...chain, { ...domain, cap: operationBits.update }] };
  expect(decideByAccount({ role: 'admin', domainName: 'd1' }, [], capped).allowed).toBe(false);
  const user = { role: 'user', domainName: 'd1' };
  expect(decideByAccount(user, [grant()], within)).toEqual({ allowed: true, roleId: 'r1' });
});

describe('what is one’s own', () => {
  const own = [
    { ...session, cap: null },
    { type: 'user', id: userId, cap: null },
  ] as const;
  const ask = (more: object) => decide([], { ...question, chain: own, ...more });

  test('is allowed without a role', () => {
    expect(ask({ operation: 'hard-delete' })).toEqual({ allowed: true, roleId: null });
    expect(ask({ entityType: 'vfolder:data' }).allowed).toBe(true);
  });

  test('and what somebody else owns is not', () => {
    expect(ask({ userId: 'u2' }).allowed).toBe(false);
    expect(ask({ chain: [{ type: 'project', id: userId, cap: null }] }).allowed).toBe(false);
  });

  test('but neither passing on nor what users do not own', () => {
    expect(ask({ operation: 'grant:all' }).allowed).toBe(false);
    expect(ask({ entityType: 'agent' }).allowed).toBe(false);
    expect(ask({ entityType: 'role:assignment', operation: 'create' }).allowed).toBe(false);
    expect(ask({ entityType: 'user', operation: 'create' }).allowed).toBe(false);
  });

  test('and only as far as the cap on the way allows', () => {
    const chained = (cap: number) => [{ type: 'user', id: userId, cap }];
    expect(ask({ chain: chained(operationBits.read) }).allowed).toBe(true);
    expect(ask({ operation: 'update', chain: chained(operationBits.read) }).allowed).toBe(false);
  });
});

describe('for any roles and scopes', () => {
  test('it is allowed exactly when one active permission fits', () => {
    fc.assert(
      fc.property(grants, questions, (held, asked) => {
        const fits = held.some(
          (one) =>
            one.roleStatus === 'active' &&
            one.operation === asked.operation &&
            one.entityType === asked.entityType &&
            asked.chain.some(
              ({ type, id, cap }) =>
                type === one.scope.type &&
                id === one.scope.id &&
                (cap === null || (cap & operationBits[asked.operation]) > 0),
            ),
        );
        expect(decide(held, asked).allowed).toBe(fits);
      }),
    );
  });

  test('no permission at all allows nothing', () => {
    fc.assert(
      fc.property(questions, (asked) => {
        expect(decide([], asked).allowed).toBe(false);
      }),
    );
  });

  test('one more permission or one more scope never takes anything away', () => {
    fc.assert(
      fc.property(grants, grants, questions, questions, (held, more, asked, wider) => {
        if (!decide(held, asked).allowed) return;
        const chainBoth = [...asked.chain, ...wider.chain];
        expect(decide([...more, ...held], { ...asked, chain: chainBoth }).allowed).toBe(true);
      }),
    );
  });

  test('the order of permissions and scopes does not matter', () => {
    fc.assert(
      fc.property(grants, questions, (held, asked) => {
        const turned = { ...asked, chain: asked.chain.toReversed() };
        expect(decide(held.toReversed(), turned).allowed).toBe(decide(held, asked).allowed);
      }),
    );
  });
});
