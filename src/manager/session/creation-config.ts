/**
 * The `config` object of a session creation, which grew with the API: each major version accepts
 * its own keys. Keys that a version does not know are dropped, as upstream does; wrong values are
 * refused with the config in the error's data.
 */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { parseOutside } from '../../common/parse.ts';
import { parseSize } from '../../common/sizes.ts';
import { formatAmount, parseAmount, type SlotMap } from '../../common/slots.ts';
import type { MountWish } from '../folder/mount.ts';
import { describeIssues } from '../http/body.ts';
import {
  camelCase,
  lenientBoolean,
  lenientInteger,
  resolveAliases,
  uuidText,
} from '../http/parameters.ts';

const textMap = v.record(v.string(), v.string());

const mountOption = v.pipe(
  v.record(v.string(), v.unknown()),
  v.transform((input): unknown => resolveAliases(input, { permission: ['perm'] })),
  v.object({
    mount_destination: v.nullish(v.string()),
    type: v.nullish(
      v.picklist(['bind', 'volume', 'tmpfs', 'overlay', 'k8s-generic', 'k8s-hostpath']),
    ),
    permission: v.nullish(v.picklist(['ro', 'rw', 'wd'])),
    subpath: v.nullish(v.pipe(v.string(), v.nonEmpty())),
  }),
);

const size = v.pipe(
  v.union([v.string(), v.number()]),
  v.check((value) => parseSize(value) !== null, 'not a size such as 64m or 1g'),
);

const entries = {
  mounts: v.nullish(v.array(v.string())),
  environ: v.nullish(
    v.record(
      v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'not a variable name')),
      v.pipe(
        v.string(),
        v.check((value) => !value.includes('\0'), 'a value cannot hold a NUL character'),
      ),
    ),
  ),
  cluster_size: v.nullish(v.pipe(lenientInteger, v.minValue(1))),
  scaling_group: v.nullish(v.string()),
  resources: v.nullish(v.record(v.string(), v.nullable(v.union([v.string(), v.number()])))),
  resource_opts: v.nullish(
    v.looseObject({
      shmem: v.nullish(size),
      allow_fractional_resource_fragmentation: v.nullish(lenientBoolean),
    }),
  ),
  mount_map: v.nullish(textMap),
  preopen_ports: v.nullish(
    v.pipe(v.array(v.pipe(lenientInteger, v.minValue(1), v.maxValue(65_535))), v.maxLength(100)),
  ),
  mount_options: v.nullish(v.record(v.string(), mountOption)),
  agent_list: v.nullish(v.array(v.string())),
  attach_network: v.nullish(uuidText),
  mount_ids: v.nullish(v.array(uuidText)),
  mount_id_map: v.nullish(v.record(uuidText, v.string())),
};
const configSchema = v.object(entries);
type ConfigKey = keyof typeof entries;

const V4_KEYS: readonly ConfigKey[] = [
  'mounts',
  'environ',
  'cluster_size',
  'scaling_group',
  'resources',
  'resource_opts',
];
const V5_KEYS: readonly ConfigKey[] = [...V4_KEYS, 'mount_map', 'preopen_ports'];
const V6_KEYS: readonly ConfigKey[] = [
  ...V5_KEYS.filter((key) => key !== 'cluster_size'),
  'mount_options',
  'agent_list',
];
const V8_KEYS: readonly ConfigKey[] = [...V6_KEYS, 'attach_network'];
const V9_KEYS: readonly ConfigKey[] = [...V8_KEYS, 'mount_ids', 'mount_id_map'];

/** The keys that API major version `major` accepts. */
export function configKeys(major: number): readonly ConfigKey[] {
  if (major <= 4) return V4_KEYS;
  if (major === 5) return V5_KEYS;
  if (major <= 7) return V6_KEYS;
  return major === 8 ? V8_KEYS : V9_KEYS;
}

/** These have no camelCase form upstream. */
const NO_ALIAS: readonly ConfigKey[] = ['mount_ids', 'mount_id_map'];

export interface CreationConfig {
  readonly environ: Readonly<Record<string, string>>;
  /** Only API v4 and v5 put the cluster's size here; null when absent. */
  readonly clusterSize: number | null;
  readonly scalingGroup: string | null;
  /** Requested amounts as decimal strings, memory in bytes. Empty: the image's minimum. */
  readonly resources: SlotMap;
  /** `shmem` is a size; other keys are as they were sent. */
  readonly resourceOpts: Readonly<Record<string, unknown>>;
  readonly preopenPorts: readonly number[];
  /** Agents that may run it, in order of preference; empty: any. */
  readonly agentList: readonly string[];
  readonly attachNetwork: string | null;
  /** The folders asked for, whichever key named them. */
  readonly mounts: readonly MountWish[];
}

type ParsedConfig = v.InferOutput<typeof configSchema>;

/** Splits `folder/sub/path`; an id has no slash. */
function splitSource(source: string): { folder: string; subpath: string | null } {
  const at = source.indexOf('/', 1);
  if (at < 0) return { folder: source, subpath: null };
  return { folder: source.slice(0, at), subpath: source.slice(at + 1) || null };
}

/**
 * The folders that the several keys name, each once: by id where both ways are used. A subpath of the
 * options goes before one after the name.
 */
function readMounts(config: ParsedConfig): MountWish[] {
  const wishes = new Map<string, MountWish>();
  const merge = (source: string, more: Partial<MountWish>) => {
    const { folder, subpath } = splitSource(source);
    // Two directories of one folder are two mounts; the folder's name alone means the only one.
    const exact = `${folder}/${subpath ?? ''}`;
    const [only, another] = [...wishes.keys()].filter((key) => key.startsWith(`${folder}/`));
    const meansOnly = subpath === null && only !== undefined && another === undefined;
    const key = !wishes.has(exact) && meansOnly ? only : exact;
    const empty = { folder, subpath, target: null, permission: null };
    const known = wishes.get(key) ?? empty;
    const given = Object.entries(more).filter(([, value]) => value != null);
    wishes.set(key, { ...known, ...Object.fromEntries(given) });
  };
  for (const source of [...(config.mounts ?? []), ...(config.mount_ids ?? [])]) merge(source, {});
  for (const map of [config.mount_map, config.mount_id_map]) {
    for (const [source, target] of Object.entries(map ?? {})) merge(source, { target });
  }
  for (const [source, option] of Object.entries(config.mount_options ?? {})) {
    const { mount_destination: target, permission, subpath } = option;
    merge(source, {
      ...(target != null && { target }),
      ...(permission != null && { permission }),
      ...(subpath != null && { subpath }),
    });
  }
  return [...wishes.values()];
}

function readResources(
  sent: Readonly<Record<string, string | number | null>>,
  config: Readonly<Record<string, unknown>>,
): SlotMap {
  const out: SlotMap = {};
  for (const [slot, value] of Object.entries(sent)) {
    // The key of a device's count may be sent empty or null by forms that were left blank.
    if (value === null || value === '') continue;
    const amount = parseAmount(value);
    if (amount === null) {
      throw new BackendError(
        'InvalidAPIParameters',
        `Invalid resource allocation: ${slot} is '${value}', which is not an amount`,
        { data: { config } },
      );
    }
    out[slot] = formatAmount(amount);
  }
  return out;
}

/**
 * Reads a creation config as API major version `major` defines it.
 * @throws BackendError InvalidAPIParameters, its data holding the offending config.
 */
export function parseCreationConfig(
  raw: Readonly<Record<string, unknown>>,
  major: number,
): CreationConfig {
  const keys = configKeys(major);
  const aliases = Object.fromEntries(
    keys.filter((key) => !NO_ALIAS.includes(key)).map((key) => [key, [camelCase(key)]]),
  );
  const resolved = resolveAliases(raw, aliases);
  const known = Object.fromEntries(
    keys.filter((key) => Object.hasOwn(resolved, key)).map((key) => [key, resolved[key]]),
  );
  const parsed = parseOutside(configSchema, known);
  if (!parsed.success) {
    throw new BackendError('InvalidAPIParameters', `config: ${describeIssues(parsed.issues)}`, {
      data: { config: raw },
    });
  }
  const config = parsed.output;
  return {
    environ: config.environ ?? {},
    clusterSize: config.cluster_size ?? null,
    scalingGroup: config.scaling_group || null,
    resources: readResources(config.resources ?? {}, raw),
    resourceOpts: config.resource_opts ?? {},
    preopenPorts: config.preopen_ports ?? [],
    agentList: config.agent_list ?? [],
    attachNetwork: config.attach_network ?? null,
    mounts: readMounts(config),
  };
}
