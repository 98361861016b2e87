/** The components of an installation as a whole: as units of systemd, or as processes. */
import type { InstallInfo, Layout } from '../layout.ts';
import { adopt, servicesOf, startService, stopService } from '../parts/services.ts';
import { unitName } from '../parts/units.ts';
import { runCommand } from '../shell.ts';
import type { StepContext } from '../step.ts';
import { type Environment, usesUnits } from './servers.ts';

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
    const units = this.#units(names);
    if (units !== null) {
      if (units.length > 0) await runCommand(['systemctl', 'stop', ...units], context);
      return;
    }
    for (const spec of this.#specs(names).toReversed()) {
      context.progress(`stopping the ${spec.title.toLowerCase()}`);
      await stopService(this.#layout, spec, this.#environment);
    }
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

/** The same without an end: for what has to be finished also when the user stops it. */
export const withoutEnd = (context: StepContext): StepContext => ({
  ...context,
  signal: new AbortController().signal,
});
