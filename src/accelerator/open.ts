/** The accelerators of this node: real ones that are found, and simulated ones that are asked for. */
import type { SearchPlaces } from '../common/config/find.ts';
import { UserError } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import type { Random } from '../common/random.ts';
import type { ConfigStore } from '../stores/config/port.ts';
import type { DeviceFamily } from './family.ts';

export interface AcceleratorSelection {
  /** Names of families that may be used, `ai.backend.accelerator.mock` or `mock`; null: all that are real. */
  readonly allow: readonly string[] | null;
  readonly block: readonly string[];
  /** Family key → settings from the agent's own configuration; those in the store win over them. */
  readonly settings: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

export interface AcceleratorOptions extends AcceleratorSelection {
  /** Absent: looked for in the usual places. */
  readonly mockFile?: string | undefined;
  readonly places: SearchPlaces;
  /** How the backend can attach devices: drivers of a container engine, or `device-files`. */
  readonly drivers: readonly string[];
  /** Where administrators keep the settings of families; null: nowhere. */
  readonly store: ConfigStore | null;
  readonly random: Random;
  readonly log: Logger;
}

const PREFIX = 'config/plugins/accelerator';

/** `ai.backend.accelerator.cuda_open` is `cuda` here. */
const shortName = (name: string): string =>
  (name.split('.').at(-1) ?? name).replace(/_open$/, '').toLowerCase();

async function storedSettings(
  store: ConfigStore | null,
  key: string,
): Promise<Record<string, string>> {
  if (store === null) return {};
  const prefix = `${PREFIX}/${key}`;
  const entries = await store.list(prefix);
  return Object.fromEntries(
    [...entries].map(([path, value]) => [path.slice(prefix.length + 1), value]),
  );
}

/** @throws UserError when what is asked for is not there or is set up wrong. */
export async function openAccelerators(options: AcceleratorOptions): Promise<DeviceFamily[]> {
  const { store, settings, log, allow, block } = options;
  const configured = async (key: string) => ({
    ...settings[key],
    ...(await storedSettings(store, key)),
  });
  const isAllowed = (name: string, byDefault: boolean) =>
    !block.map(shortName).includes(name) && (allow?.map(shortName).includes(name) ?? byDefault);
  const families: DeviceFamily[] = [];
  if (isAllowed('mock', false)) {
    const { mockFamily } = await import('./mock.ts');
    families.push(await mockFamily({ ...options, explicitPath: options.mockFile, configured }));
  }
  if (isAllowed('cuda', true)) {
    const { cudaFamily } = await import('./cuda.ts');
    const program = Bun.which('nvidia-smi');
    const family = await cudaFamily({ ...options, program, configured });
    if (family) families.push(family);
  }
  const keys = families.map(({ key }) => key);
  if (new Set(keys).size < keys.length) {
    throw new UserError(`Simulated and real ${keys[0]} devices can't be used together.`, {
      hint: 'Name one of them in allow-compute-plugins of agent.toml.',
    });
  }
  for (const { key, devices, rule } of families) {
    log.info('accelerators are offered', { family: key, devices: devices.length, mode: rule.kind });
  }
  return families;
}
