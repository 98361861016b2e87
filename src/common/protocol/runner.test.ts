/** Variables on their way through the runner's environment to user programs. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { shieldVariables, unshieldVariables } from './runner.ts';

test('what could disturb the runner is renamed on the way, and only that', () => {
  const given = {
    LD_PRELOAD: '/x.so',
    BUN_BE_BUN: '1',
    NODE_OPTIONS: '-x',
    UV_THREADPOOL_SIZE: '1',
    GOMAXPROCS: '1',
    PATH: '/bin',
    LDX: '1',
  };
  const shielded = shieldVariables(given);
  expect(Object.keys(shielded).filter((name) => name in given)).toEqual(['PATH', 'LDX']);
  expect(unshieldVariables(shielded)).toEqual(given);
});

test('every environment arrives as it was sent', () => {
  const name = fc.oneof(
    fc.stringMatching(/^[A-Z_][A-Z0-9_]{0,8}$/),
    fc.constantFrom('LD_AUDIT', 'BUN_OPTIONS', 'MALLOC_ARENA_MAX', 'GLIBC_TUNABLES'),
  );
  fc.assert(
    fc.property(fc.dictionary(name, fc.string()), (variables) => {
      expect(unshieldVariables(shieldVariables(variables))).toEqual({ ...variables });
    }),
  );
});
