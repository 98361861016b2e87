/** agent.dummy.toml: how long the simulated operations take and what the simulated host has. */
import { join } from 'node:path';
import { parse } from 'smol-toml';
import * as v from 'valibot';
import { errorMessage, UserError } from '../../../common/errors.ts';
import type { Random } from '../../../common/random.ts';

const FILE_NAME = 'agent.dummy.toml';
const MAX_FILE_BYTES = 64 * 1024;

/** Seconds, or the ends of a range to pick from. */
const delay = v.union([
  v.pipe(v.number(), v.minValue(0)),
  v.pipe(
    v.tuple([v.pipe(v.number(), v.minValue(0)), v.number()]),
    v.check(([least, most]) => least <= most, 'expected [least, most]'),
  ),
]);
export type Delay = v.InferOutput<typeof delay>;

const delays = <K extends string>(defaults: Record<K, number>) => {
  const entries = Object.entries<number>(defaults).map(
    ([name, seconds]) => [name, v.optional(delay, seconds)] as const,
  );
  return v.pipe(
    v.optional(v.object(Object.fromEntries(entries)), {}),
    v.transform((given): Record<K, Delay> => ({ ...defaults, ...given })),
  );
};

const images = v.optional(v.array(v.string()), []);

const dummyFile = v.object({
  agent: v.optional(
    v.object({
      delay: delays({ 'scan-image': 0.1, 'pull-image': 1, 'destroy-kernel': 1 }),
      image: v.optional(
        v.object({ 'already-have': images, 'need-to-pull': images, missing: images }),
        {},
      ),
      resource: v.optional(
        v.object({
          cpu: v.optional(v.object({ 'num-core': v.optional(v.number(), 4) }), {}),
          memory: v.optional(v.object({ size: v.optional(v.number(), 34_359_738_368) }), {}),
        }),
        {},
      ),
    }),
    {},
  ),
  'kernel-creation-ctx': v.optional(
    v.object({
      delay: delays({
        'prepare-scratch': 1,
        'prepare-ssh': 1,
        'mount-krunner': 1,
        spawn: 0.5,
        'start-container': 2,
      }),
    }),
    {},
  ),
  kernel: v.optional(
    v.object({
      'use-fake-code-runner': v.optional(v.boolean(), true),
      delay: delays({
        'check-status': 0.1,
        'get-completions': 0.1,
        'get-logs': 0.1,
        'interrupt-kernel': 0.1,
        'accept-file': 0.1,
        'download-file': 0.1,
        'download-single': 0.1,
        'list-files': 0.1,
      }),
    }),
    {},
  ),
});
export type DummyConfig = v.InferOutput<typeof dummyFile>;

/** A configuration from values; absent ones take upstream's defaults. @throws ValiError. */
export const dummyConfig = (value: v.InferInput<typeof dummyFile> = {}): DummyConfig =>
  v.parse(dummyFile, value);

/** A configuration in which everything simulated happens at once. */
export function instantDummyConfig(): DummyConfig {
  const config = dummyConfig();
  const none = (record: Record<string, Delay>) => {
    for (const name of Object.keys(record)) record[name] = 0;
  };
  none(config.agent.delay);
  none(config['kernel-creation-ctx'].delay);
  none(config.kernel.delay);
  return config;
}

/** Picks a delay. @returns milliseconds. */
export function pickDelayMs(value: Delay, random: Random): number {
  if (typeof value === 'number') return value * 1000;
  const [least, most] = value;
  const [high = 0, low = 0] = random.bytes(2);
  return (least + ((most - least) * (high * 256 + low)) / 65_535) * 1000;
}

/**
 * Reads agent.dummy.toml from the given folders, the first found; defaults without one.
 * @throws UserError when it is not valid.
 */
export async function loadDummyConfig(
  folders: readonly string[] = [process.cwd(), '/etc/backend.ai'],
): Promise<DummyConfig> {
  for (const folder of folders) {
    const path = join(folder, FILE_NAME);
    const file = Bun.file(path);
    if (!(await file.exists())) continue;
    try {
      if (file.size > MAX_FILE_BYTES) throw new Error('the file is too large');
      return v.parse(dummyFile, parse(await file.text()));
    } catch (error) {
      throw new UserError(`${path} can't be used: ${errorMessage(error)}`, {
        hint: 'Delays are seconds or [least, most]; see config/agent.dummy.toml for all keys.',
        cause: error,
      });
    }
  }
  return dummyConfig();
}
