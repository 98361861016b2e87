/** Many seeds hold every rule; each planted bug is found; a seed repeats exactly. */
import { expect, test } from 'bun:test';
import { errorMessage } from '../../common/errors.ts';
import { type Parts, productParts } from './parts.ts';
import { simulate } from './simulation.ts';

const { SIM_SEED, BACKEND_SIM_SEEDS } = process.env;
const SEEDS = Number(BACKEND_SIM_SEEDS ?? 100);
const seeds =
  SIM_SEED === undefined ? Array.from({ length: SEEDS }, (_, at) => at + 1) : [Number(SIM_SEED)];
const MAX_SEEDS_TO_FIND = 100;

function firstFailure(parts: Partial<Parts>): string {
  for (let seed = 1; seed <= MAX_SEEDS_TO_FIND; seed += 1) {
    try {
      simulate(seed, { ...productParts, ...parts });
    } catch (error) {
      return errorMessage(error);
    }
  }
  return 'nothing was found';
}

test('no rule is broken, whatever the seed', () => {
  for (const seed of seeds) expect(simulate(seed)).toBeGreaterThan(0);
}, 600_000);

const planted: readonly [string, Partial<Parts>, RegExp][] = [
  [
    'a start that is wished twice is done twice',
    {
      accept(wishes, registry, wanted, askedAtMs) {
        for (const wish of wanted)
          if (wish.desired === 'running') registry.remove(wish.spec.kernelId);
        return wishes.accept(wanted, askedAtMs);
      },
    },
    /two containers of|kernels are left/,
  ],
  [
    'a reservation is released twice',
    {
      foldReports(...args) {
        const changes = productParts.foldReports(...args);
        const twice = changes.resources.map((delta) =>
          delta.reserved < 0n && delta.used === 0n
            ? { ...delta, reserved: 2n * delta.reserved }
            : delta,
        );
        return { ...changes, resources: twice };
      },
    },
    /got back more|in the books/,
  ],
  [
    'an agent whose heartbeats were lost keeps a kernel that was given to another',
    {
      reconcile(input) {
        const outcome = productParts.reconcile(input);
        const end = outcome.end.filter(({ reason }) => reason !== 'not-found-in-manager');
        return { ...outcome, end };
      },
    },
    /holds s\d+-k\d, which is \w+ on/,
  ],
  [
    'a leader that was replaced applies its plan without looking again',
    { grantPlacements: (_sessions, placements) => [...placements] },
    /oversold|got back more|in the books|went from/,
  ],
];

for (const [name, parts, expected] of planted) {
  test(`a planted bug is found: ${name}`, () => {
    const failure = firstFailure(parts);
    expect(failure).toMatch(/^SIM_SEED=\d+: /);
    expect(failure).toMatch(expected);
    expect(firstFailure(parts)).toBe(failure);
  }, 120_000);
}
