/** The components of an installation as a whole: as units of systemd, or as processes. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstallInfo, Layout } from '../layout.ts';
import {
  adopt,
  type ServiceSpec,
  servicesOf,
  startService,
  stopService,
} from '../parts/services.ts';
import { systemUnitFolder, unitName } from '../parts/units.ts';
import { runCommand } from '../shell.ts';
import type { StepContext } from '../step.ts';
import { type Environment, enableUnits, unitsOf, usesUnits, writeUnits } from './servers.ts';

export class Components {
  readonly #info: InstallInfo;
  readonly #layout: Layout;
  readonly #environment: Environment;

  constructor(info: InstallInfo, layout: Layout, environment: Environment) {
    this.#info = info;
    this.#layout = layout;
    this.#environment = environment;
  }

  #specs(names: readonly string[] | null) {
    return servicesOf(this.#info).filter(({ name }) => names === null || names.includes(name));
  }

  #units(names: readonly string[] | null): string[] | null {
    if (!usesUnits(this.#info.mode, this.#environment)) return null;
    return this.#specs(names).map((spec) => unitName(spec, this.#info.env_id));
  }

  /** The names of those that run; all of them when systemd looks after them. */
  running(): string[] {
    const byUnits = this.#units(null) !== null;
    return servicesOf(this.#info)
      .filter((spec) => byUnits || adopt(this.#layout, spec) !== null)
      .map(({ name }) => name);
  }

  /** @param names which ones; null: all. */
  async stop(context: StepContext, names: readonly string[] | null = null): Promise<void> {
    // An interrupted removal may have left some of them only.
    const units = this.#units(names)?.filter(isPlaced);
    if (units !== undefined) {
      if (units.length > 0) await runCommand(['systemctl', 'stop', ...units], context);
      return;
    }
    await this.#stopProcesses(context, this.#specs(names));
  }

  async #stopProcesses(context: StepContext, specs: readonly ServiceSpec[]): Promise<void> {
    for (const spec of specs.toReversed()) {
      context.progress(`stopping the ${spec.title.toLowerCase()}`);
      await stopService(this.#layout, spec, this.#environment);
    }
  }

  /** Writes the units of components that are added; nothing is started. */
  async place(context: StepContext, specs: readonly ServiceSpec[]): Promise<void> {
    if (this.#info.mode === 'develop' || specs.length === 0) return;
    const units = unitsOf(this.#info, this.#layout, this.#environment, specs);
    writeUnits(units, this.#layout);
    if (usesUnits(this.#info.mode, this.#environment)) await enableUnits(units, context);
  }

  /** Stops components for good, which may have been there in part only, and removes their units. */
  async remove(context: StepContext, specs: readonly ServiceSpec[]): Promise<void> {
    if (specs.length === 0) return;
    const units = specs.map((spec) => unitName(spec, this.#info.env_id));
    if (usesUnits(this.#info.mode, this.#environment)) {
      const placed = units.filter(isPlaced);
      if (placed.length > 0) {
        await runCommand(['systemctl', 'disable', '--now', ...placed], context);
        for (const name of placed) await rm(join(systemUnitFolder, name), { force: true });
        await runCommand(['systemctl', 'daemon-reload'], context);
      }
    } else await this.#stopProcesses(context, specs);
    for (const name of units) await rm(join(this.#layout.root, 'units', name), { force: true });
  }

  async start(context: StepContext, names: readonly string[]): Promise<void> {
    const units = this.#units(null);
    if (units !== null) await runCommand(['systemctl', 'start', ...units], context);
    for (const spec of this.#specs(names)) {
      context.progress(`starting the ${spec.title.toLowerCase()}`);
      await startService(this.#layout, spec, [this.#layout.executable], {
        clock: this.#environment.clock,
        signal: context.signal,
      });
    }
  }
}

/** Whether systemd has a unit. */
const isPlaced = (unit: string): boolean => existsSync(join(systemUnitFolder, unit));

/** The same without an end: for what has to be finished also when the user stops it. */
export const withoutEnd = (context: StepContext): StepContext => ({
  ...context,
  signal: new AbortController().signal,
});
