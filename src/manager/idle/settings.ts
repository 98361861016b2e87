/**
 * How idle sessions are found, as the cluster's configuration says below `config/idle/`, and below
 * `sgroup/<name>/config/idle/` for one resource group, which wins key by key.
 */
import { parseDurationMs } from '../../common/sizes.ts';
import { quote } from '../../stores/config/scopes.ts';
import type { ManagerContext } from '../context.ts';

const ROOT = 'config/idle/';
const GROUPS = 'sgroup';
const DEFAULT_NETWORK_TIMEOUT_SEC = 600;
const DEFAULT_QUIET_STREAM_SEC = 300;
const NO_THRESHOLDS: ReadonlyMap<string, Threshold> = new Map();

/** Upstream's names of the checkers that have to be enabled; lifetimes are always watched. */
const KNOWN = ['network_timeout', 'utilization'] as const;
type Enabled = (typeof KNOWN)[number];

export interface Threshold {
  /** Percent. */
  readonly average: number;
  /** The kind of slot that the metric is about, such as `cuda` of `cuda_util`. */
  readonly resource: string;
}

export interface UtilizationSettings {
  readonly windowSec: number;
  readonly graceSec: number;
  /** `and`: idle when every metric is below its threshold; `or`: when any is. */
  readonly operator: 'and' | 'or';
  /** By metric. */
  readonly thresholds: ReadonlyMap<string, Threshold>;
}

export interface IdleSettings {
  /** null: not checked. */
  readonly network: { readonly timeoutSec: number } | null;
  /** null: not checked. */
  readonly utilization: UtilizationSettings | null;
  /** After their account was made, people's sessions are left alone for this long. */
  readonly newUserGraceSec: number;
  /** A connection without traffic for this long counts as closed. */
  readonly quietStreamSec: number;
}

export interface IdleConfiguration {
  of(scalingGroup: string | null): IdleSettings;
  /** What was written wrongly and is left out, in sentences. */
  readonly problems: readonly string[];
}

type Entries = ReadonlyMap<string, string>;

/** Reads one set of entries, whose keys are relative to `config/idle/`. */
class Reader {
  readonly problems: string[] = [];
  readonly #entries: Entries;

  constructor(entries: Entries) {
    this.#entries = entries;
  }

  /** Options are written with hyphens, and with underscores in old configurations. */
  #text(folder: string, option: string): string | null {
    const found = [option, option.replaceAll('-', '_')]
      .map((name) => this.#entries.get(`${folder}${name}`)?.trim())
      .find((value) => value !== undefined && value !== '' && value !== 'null');
    return found ?? null;
  }

  #refuse(key: string, value: string, hint: string): null {
    this.problems.push(`${ROOT}${key} is '${value}', which is ${hint}.`);
    return null;
  }

  #seconds(folder: string, option: string): number | null {
    const text = this.#text(folder, option);
    if (text === null) return null;
    const ms = parseDurationMs(text);
    if (ms !== null) return ms / 1000;
    return this.#refuse(`${folder}${option}`, text, 'no duration; write one such as 10m or 12h');
  }

  #enabled(): ReadonlySet<Enabled> {
    const names = (this.#text('', 'enabled') ?? '').split(',').map((name) => name.trim());
    // Others are ignored, as upstream does: its own sample names checkers that no longer exist.
    return new Set(KNOWN.filter((name) => names.includes(name)));
  }

  read(): IdleSettings {
    const enabled = this.#enabled();
    const grace = this.#seconds('checkers/user_grace_period/', 'user-initial-grace-period');
    return {
      network: enabled.has('network_timeout') ? this.#network() : null,
      utilization: enabled.has('utilization') ? this.#utilization() : null,
      newUserGraceSec: grace ?? 0,
      quietStreamSec: this.#seconds('', 'app-streaming-packet-timeout') ?? DEFAULT_QUIET_STREAM_SEC,
    };
  }

  #network(): IdleSettings['network'] {
    const timeoutSec = this.#seconds('checkers/network_timeout/', 'threshold');
    return { timeoutSec: timeoutSec ?? DEFAULT_NETWORK_TIMEOUT_SEC };
  }

  #utilization(): UtilizationSettings | null {
    const folder = 'checkers/utilization/';
    const [windowSec, graceSec] = [
      this.#seconds(folder, 'time-window'),
      this.#seconds(folder, 'initial-grace-period'),
    ];
    if (windowSec === null || graceSec === null) {
      const what = windowSec === null ? 'time-window' : 'initial-grace-period';
      this.problems.push(`${ROOT}${folder}${what} is missing; set it, such as to 12h.`);
      return null;
    }
    const written = this.#text(folder, 'thresholds-check-operator') ?? 'and';
    const operator = written === 'and' || written === 'or' ? written : null;
    if (operator === null) {
      return this.#refuse(`${folder}thresholds-check-operator`, written, "neither 'and' nor 'or'");
    }
    return { windowSec, graceSec, operator, thresholds: this.#thresholds(folder) };
  }

  #thresholds(folder: string): ReadonlyMap<string, Threshold> {
    const found = new Map<string, Threshold>();
    const pattern = /^checkers\/utilization\/resource[-_]thresholds\/([^/]+)\/average$/;
    for (const [key, value] of this.#entries) {
      const metric = pattern.exec(key)?.[1];
      if (metric === undefined || ['', 'null'].includes(value.trim())) continue;
      const average = Number(value);
      if (!Number.isFinite(average) || average < 0) {
        this.#refuse(key, value, 'no percentage; write a number');
        continue;
      }
      const name = ['resource-thresholds', 'resource_thresholds']
        .map((part) => this.#entries.get(`${folder}${part}/${metric}/name`)?.trim())
        .find((text) => text && text !== 'null');
      found.set(metric, { average, resource: name ?? metric.replace(/_(util|mem|used)$/, '') });
    }
    return found.size > 0 ? found : NO_THRESHOLDS;
  }
}

/** Entries below `prefix`, by the rest of their keys. */
function below(entries: Entries, prefix: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of entries) {
    if (key.startsWith(prefix)) found.set(key.slice(prefix.length), value);
  }
  return found;
}

/** @param scoped all entries of resource groups, with their full keys. */
export function readIdleSettings(everywhere: Entries, scoped: Entries): IdleConfiguration {
  const general = below(everywhere, ROOT);
  const reader = new Reader(general);
  const common = reader.read();
  const problems = new Set(reader.problems);
  const groups = new Map<string, IdleSettings>();
  const names = new Set<string>();
  for (const key of scoped.keys()) {
    const name = /^sgroup\/([^/]+)\/config\/idle\//.exec(key)?.[1];
    if (name !== undefined) names.add(name);
  }
  for (const name of names) {
    const own = below(scoped, `${GROUPS}/${name}/${ROOT}`);
    const ofGroup = new Reader(new Map([...general, ...own]));
    groups.set(name, ofGroup.read());
    for (const problem of ofGroup.problems) {
      if (!problems.has(problem)) problems.add(`For a resource group, ${problem}`);
    }
  }
  return {
    of: (scalingGroup) => groups.get(quote(scalingGroup ?? '')) ?? common,
    problems: [...problems],
  };
}

/** @throws what the configuration store throws when it cannot be read. */
export async function loadIdleSettings({
  config,
}: Pick<ManagerContext, 'config'>): Promise<IdleConfiguration> {
  const [everywhere, scoped] = await Promise.all([config.list('config/idle'), config.list(GROUPS)]);
  return readIdleSettings(everywhere, scoped);
}
