/** The rules of idleness and the settings they follow. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { type Activity, judge, type Subject } from './checks.ts';
import { type IdleSettings, readIdleSettings } from './settings.ts';
import { addSample, averageOf, sampleOf, type Utilization } from './utilization.ts';

const START = Date.parse('2026-01-01T00:00:00Z');
const at = (seconds: number) => new Date(START + seconds * 1000);

const subject: Subject = {
  sessionId: 'one',
  sessionType: 'interactive',
  scalingGroup: 'default',
  startedAt: at(0),
  createdAt: at(0),
  userCreatedAt: at(-86_400),
  idleTimeoutSec: -1,
  maxLifetimeSec: 0,
  requestedSlots: { cpu: '1', mem: '1000', 'cuda.shares': '0' },
};
const unused: Activity = { usedUntilMs: START, utilization: null };

const settingsOf = (entries: Record<string, string>, scoped: Record<string, string> = {}) =>
  readIdleSettings(
    new Map(Object.entries(entries).map(([key, value]) => [`config/idle/${key}`, value])),
    new Map(Object.entries(scoped)),
  );
const settings = (entries: Record<string, string>): IdleSettings => settingsOf(entries).of('x');

/** By checker: what remains, and whether the session is idle. */
const verdicts = (
  rules: IdleSettings,
  seconds: number,
  more: Partial<Subject> = {},
  activity: Activity = unused,
) =>
  Object.fromEntries(
    judge(rules, { ...subject, ...more }, activity, at(seconds)).map((verdict) => [
      verdict.checker,
      [verdict.remainingSec, verdict.idle],
    ]),
  );

describe('settings', () => {
  test('only lifetimes are watched unless checkers are named; unknown names are ignored', () => {
    expect(settings({ enabled: 'timeout, nothing' })).toMatchObject({
      ...{ network: null, utilization: null, newUserGraceSec: 0, quietStreamSec: 300 },
    });
    expect(settings({ enabled: ' network_timeout ,timeout' }).network).toEqual({ timeoutSec: 600 });
  });

  test('options are read in both spellings, thresholds with the kind of slot they mean', () => {
    const found = settings({
      enabled: 'utilization',
      'checkers/utilization/time_window': '12h',
      'checkers/utilization/initial-grace-period': '5m',
      'checkers/utilization/thresholds-check-operator': 'or',
      'checkers/utilization/resource-thresholds/cpu_util/average': '30',
      'checkers/utilization/resource-thresholds/cuda_mem/average': 'null',
      'checkers/utilization/resource-thresholds/mem/average': '10',
      'checkers/utilization/resource-thresholds/odd_util/average': '5',
      'checkers/utilization/resource-thresholds/odd_util/name': 'cuda',
      'checkers/user_grace_period/user_initial_grace_period': '1d',
    });
    expect(found.newUserGraceSec).toBe(86_400);
    expect(found.utilization).toEqual({
      windowSec: 43_200,
      graceSec: 300,
      operator: 'or',
      thresholds: new Map([
        ['cpu_util', { average: 30, resource: 'cpu' }],
        ['mem', { average: 10, resource: 'mem' }],
        ['odd_util', { average: 5, resource: 'cuda' }],
      ]),
    });
  });

  test.each([
    ['checkers/network_timeout/threshold', 'soon', 'no duration'],
    ['checkers/utilization/initial-grace-period', '', 'is missing'],
    ['checkers/utilization/thresholds-check-operator', 'xor', "neither 'and' nor 'or'"],
    ['checkers/utilization/resource-thresholds/mem/average', 'much', 'no percentage'],
  ])('%s = %p is told and ends nothing', (key, value, words) => {
    const { problems } = settingsOf({
      enabled: 'network_timeout,utilization',
      'checkers/utilization/time-window': '1h',
      'checkers/utilization/initial-grace-period': '1m',
      [key]: value,
    });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(words);
    expect(problems[0]).toContain(key);
  });

  test('a resource group has its own values, key by key', () => {
    const { of } = settingsOf(
      { enabled: 'network_timeout', 'checkers/network_timeout/threshold': '10m' },
      {
        'sgroup/a%2Fb/config/idle/checkers/network_timeout/threshold': '1m',
        'sgroup/free/config/idle/enabled': 'none',
        'sgroup/free/other': 'x',
      },
    );
    expect(of('a/b').network).toEqual({ timeoutSec: 60 });
    expect(of('free').network).toBeNull();
    expect(of('default').network).toEqual({ timeoutSec: 600 });
    expect(of(null).network).toEqual({ timeoutSec: 600 });
  });
});

describe('network_timeout', () => {
  const rules = settings({
    enabled: 'network_timeout',
    'checkers/network_timeout/threshold': '60s',
  });
  const of = (...args: [number, Partial<Subject>?, Activity?]) =>
    verdicts(rules, ...args).network_timeout;

  test('counts from the last use', () => {
    expect(of(59)).toEqual([1, false]);
    expect(of(60)).toEqual([0, false]);
    expect(of(61)).toEqual([-1, true]);
  });

  test('the policy of the keypair goes before the configuration; 0 is for ever', () => {
    expect(of(61, { idleTimeoutSec: 100 })).toEqual([39, false]);
    expect(of(101, { idleTimeoutSec: 100 })).toEqual([-1, true]);
    expect(of(1e9, { idleTimeoutSec: 0 })).toEqual([null, false]);
  });

  test('not for batch jobs, nor while somebody is connected, nor before a use is known', () => {
    expect(of(1e6, { sessionType: 'batch' })).toEqual([null, false]);
    const connected = { usedUntilMs: at(2e6).getTime(), utilization: null };
    expect(of(1e6, {}, connected)).toEqual([null, false]);
    expect(of(1e6, {}, { usedUntilMs: null, utilization: null })).toEqual([null, false]);
  });
});

describe('session_lifetime', () => {
  const rules = settings({ 'checkers/user_grace_period/user-initial-grace-period': '1h' });

  test('counts from the start, whatever the session does', () => {
    const more = { maxLifetimeSec: 100, createdAt: at(-1000) };
    expect(verdicts(rules, 99, more)).toEqual({ session_lifetime: [1, false] });
    expect(verdicts(rules, 100, more)).toEqual({ session_lifetime: [0, true] });
    expect(verdicts(rules, 1e9)).toEqual({ session_lifetime: [null, false] });
  });

  test('the sessions of a new user are left alone at first', () => {
    const more = { maxLifetimeSec: 100, userCreatedAt: at(-600) };
    expect(verdicts(rules, 101, more)).toEqual({ session_lifetime: [2999, false] });
    expect(verdicts(rules, 3100, more)).toEqual({ session_lifetime: [0, true] });
  });
});

const value = (current: string, pct: string) => ({
  ...{ current, pct, capacity: '100', unit_hint: 'percent' },
  ...{ 'stats.min': '0', 'stats.max': '0', 'stats.sum': '0', 'stats.avg': '0' },
  ...{ 'stats.diff': '0', 'stats.rate': '0', 'stats.version': null },
});

describe('utilization', () => {
  const configured = (operator: string) =>
    settings({
      enabled: 'utilization',
      'checkers/utilization/time-window': '60s',
      'checkers/utilization/initial-grace-period': '30s',
      'checkers/utilization/thresholds-check-operator': operator,
      'checkers/utilization/resource-thresholds/cpu_util/average': '10',
      'checkers/utilization/resource-thresholds/mem/average': '20',
      'checkers/utilization/resource-thresholds/cuda_util/average': '90',
    });

  /** Samples of `cpu_util` and `mem` every 15 seconds from second 31 to `until`. */
  function measured(until: number, cpu: number, mem: number): Activity {
    let known: Utilization | null = null;
    for (let second = 31; second <= until; second += 15) {
      const sample = new Map(Object.entries({ cpu_util: cpu, mem }));
      known = addSample(known, sample, { nowMs: at(second).getTime(), windowMs: 60_000 });
    }
    return { usedUntilMs: START, utilization: known };
  }

  test.each([
    ['and', 5, 5, true],
    ['and', 5, 50, false],
    ['and', 50, 50, false],
    ['or', 5, 50, true],
    ['or', 50, 50, false],
    ['and', 10, 5, false],
  ])('%s: cpu %p and mem %p of 10 and 20 percent', (operator, cpu, mem, idle) => {
    const rules = configured(operator);
    expect(verdicts(rules, 91, {}, measured(91, cpu, mem)).utilization).toEqual([-1, idle]);
    const [, judged] = judge(rules, subject, measured(91, cpu, mem), at(91));
    // The session has no GPU, so none can be left idle.
    expect(judged?.extra).toEqual({
      thresholds_check_operator: operator === 'or' ? 'or' : 'and',
      resources: { cpu_util: [cpu, 10], mem: [mem, 20] },
    });
  });

  test('not before the grace is over and the window is full', () => {
    const rules = configured('and');
    expect(verdicts(rules, 20, {}, measured(91, 0, 0)).utilization).toEqual([70, false]);
    expect(verdicts(rules, 76, {}, measured(76, 0, 0)).utilization).toEqual([14, false]);
    expect(verdicts(rules, 500).utilization).toEqual([-410, false]);
  });

  test('the policy of the keypair replaces the window; 0 turns it off', () => {
    const rules = configured('and');
    const activity = measured(91, 0, 0);
    expect(verdicts(rules, 91, { idleTimeoutSec: 600 }, activity).utilization).toEqual([
      539,
      false,
    ]);
    expect(verdicts(rules, 91, { idleTimeoutSec: 0 }, activity).utilization).toEqual([null, false]);
  });

  test('nothing that nobody reported makes a session idle', () => {
    let known: Utilization | null = null;
    for (const second of [31, 95]) {
      known = addSample(known, new Map(), { nowMs: at(second).getTime(), windowMs: 60_000 });
    }
    const activity = { usedUntilMs: null, utilization: known };
    expect(verdicts(configured('and'), 95, {}, activity).utilization).toEqual([-5, false]);
  });

  test('kernels are averaged, memory is of what they may use', () => {
    const one = { metrics: { cpu_util: value('1', '40'), mem: value('50', '99') }, memory: 200 };
    const two = { metrics: { cpu_util: value('1', '20') }, memory: 0 };
    expect(sampleOf([one, two], ['cpu_util', 'mem', 'cuda_util'])).toEqual(
      new Map([
        ['cpu_util', 30],
        ['mem', 25],
      ]),
    );
  });

  test('a window of any length takes little room and averages what lies in it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 15, max: 86_400 }),
        fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 400 }),
        (windowSec, values) => {
          const windowMs = windowSec * 1000;
          let known: Utilization | null = null;
          values.forEach((percent, index) => {
            const nowMs = START + index * 15_000;
            known = addSample(known, new Map([['cpu_util', percent]]), { nowMs, windowMs });
          });
          if (known === null) throw new Error('nothing was sampled');
          const average = averageOf(known, 'cpu_util') ?? -1;
          const slack = Math.ceil(windowSec / 60 / 15) + 1;
          const inside = values.slice(-(Math.ceil(windowSec / 15) + slack));
          expect(JSON.stringify(known).length).toBeLessThan(4000);
          expect(average).toBeGreaterThanOrEqual(Math.min(...inside));
          expect(average).toBeLessThanOrEqual(Math.max(...inside));
        },
      ),
      { numRuns: 60 },
    );
  });
});
