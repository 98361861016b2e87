/**
 * The step of `configure`: other settings, and components that come or go with them. What does not start
 * with them goes on with those of before; killed anywhere and run again, it gets to what is asked for then.
 */
import { existsSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeEnvironmentFiles } from '../../common/environment-files.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import {
  type InstallInfo,
  type Layout,
  loadOrCreateSecrets,
  writeInfo,
  writeOwnFile,
} from '../layout.ts';
import {
  appProxySchemaStep,
  type GroupProxy,
  groupProxyOf,
  NO_GROUP_PROXY,
  ownGroupProxies,
  readGroupProxies,
  writeGroupProxies,
} from '../parts/app-proxy.ts';
import { configFiles, storedSettings } from '../parts/config-files.ts';
import { settingsStep } from '../parts/data.ts';
import { accepts, type ServiceSpec, servicesOf } from '../parts/services.ts';
import { writeTargets } from '../parts/watching.ts';
import type { InstallRequest } from '../request.ts';
import type { Step, StepContext } from '../step.ts';
import { Components, withoutEnd } from './components.ts';
import { accountEnvironment, type Environment, readAccounts } from './servers.ts';
import {
  forgetPending,
  keepPrevious,
  readPending,
  type Settings,
  writePending,
} from './settings-records.ts';

/** What there is, and what is wanted. */
export interface Both {
  readonly before: InstallInfo;
  readonly after: InstallInfo;
  readonly old: InstallRequest;
  readonly wanted: InstallRequest;
}

type GroupProxies = ReadonlyMap<string, GroupProxy>;

const settingsOf = (info: InstallInfo, { database, passwords }: InstallRequest): Settings => ({
  info,
  passwords: { database: database.password, servers: { ...passwords } },
});

/** The names of components that have something else to read now. */
function concerned(
  { after, old, wanted }: Both,
  layout: Layout,
  { random }: Environment,
): readonly string[] {
  const secrets = loadOrCreateSecrets(layout, random);
  const changed = configFiles(wanted, layout, secrets)
    .filter(([name, text]) => {
      const path = join(layout.config, name);
      return !existsSync(path) || readFileSync(path, 'utf8') !== text;
    })
    .map(([name]) => name);
  const isSameStored = Bun.deepEquals(
    storedSettings(old, secrets),
    storedSettings(wanted, secrets),
  );
  return servicesOf(after)
    .filter(
      ({ name, configFile }) =>
        changed.includes(configFile) ||
        (name === 'agent' && changed.includes('mock-accelerator.toml')) ||
        // It reads the cluster's settings when it starts.
        (name === 'mgr' && !isSameStored),
    )
    .map(({ name }) => name);
}

/** Components of some settings that others have not. */
export function without(
  specs: readonly ServiceSpec[],
  others: readonly ServiceSpec[],
): ServiceSpec[] {
  const names = new Set(others.map(({ name }) => name));
  return specs.filter(({ name }) => !names.has(name));
}

const namesOf = (specs: readonly ServiceSpec[]): string[] => specs.map(({ name }) => name);

/** One change, done and taken back. */
class Change {
  readonly #both: Both;
  readonly #layout: Layout;
  readonly #environment: Environment;
  readonly #previous: Components;
  readonly #next: Components;

  constructor(both: Both, layout: Layout, environment: Environment) {
    this.#both = both;
    this.#layout = layout;
    this.#environment = environment;
    this.#previous = new Components(both.before, layout, environment);
    this.#next = new Components(both.after, layout, environment);
  }

  /**
   * @param names components that are started again, or for the first time.
   * @param gone those that the new settings have no place for.
   * @throws UserError when it was taken back.
   */
  async make(
    names: readonly string[],
    gone: readonly ServiceSpec[],
    context: StepContext,
  ): Promise<void> {
    const { before, after, wanted } = this.#both;
    const groups = await this.#readGroups(context);
    try {
      await this.#apply(wanted, after, context);
      if (names.includes('proxy')) await appProxySchemaStep(this.#layout).run(context);
      await this.#next.place(context, without(servicesOf(after), servicesOf(before)));
      await this.#previous.stop(context, names);
      await this.#remove(this.#previous, gone, context);
      await this.#next.start(context, names);
      await this.#pointGroups(groups, context);
    } catch (error) {
      context.log(`taken back: ${errorMessage(error)}`);
      // Also when the user stops it now: a cluster that stands still helps nobody.
      await this.#takeBack(names, groups, withoutEnd(context));
      throw new UserError(`It did not start with these settings: ${errorMessage(error)}`, {
        hint: 'It runs with those of before.',
        cause: error,
      });
    }
  }

  async #takeBack(
    names: readonly string[],
    groups: GroupProxies | null,
    context: StepContext,
  ): Promise<void> {
    const { before, after, old } = this.#both;
    await this.#next.stop(context, names);
    await this.#remove(this.#next, without(servicesOf(after), servicesOf(before)), context);
    await this.#apply(old, before, context);
    const gone = without(servicesOf(before), servicesOf(after));
    await this.#previous.place(context, gone);
    await this.#previous.start(context, [...names, ...namesOf(gone)]);
    if (groups !== null) {
      await writeGroupProxies(groups, this.#layout, this.#asAdmin(before), context);
    }
  }

  /** Files, settings in etcd, and what clients on this machine have in their shells. */
  async #apply(request: InstallRequest, info: InstallInfo, context: StepContext): Promise<void> {
    const layout = this.#layout;
    const { random } = this.#environment;
    for (const [name, text] of configFiles(request, layout, loadOrCreateSecrets(layout, random))) {
      writeOwnFile(join(layout.config, name), text);
    }
    await settingsStep(request, layout, random).run(context);
    writeTargets(request, layout);
    const endpoint = `http://127.0.0.1:${info.ports.manager}`;
    writeEnvironmentFiles(layout.root, endpoint, readAccounts(layout));
  }

  async #remove(components: Components, specs: readonly ServiceSpec[], context: StepContext) {
    await components.remove(context, specs);
    for (const { configFile } of specs) {
      await rm(join(this.#layout.config, configFile), { force: true });
    }
  }

  /** @param info the settings that the manager runs with. */
  #asAdmin(info: InstallInfo): Record<string, string> {
    return accountEnvironment(this.#layout, info, 'admin');
  }

  /** Where apps are opened; null when nobody can say, or no app proxy is concerned. */
  async #readGroups(context: StepContext): Promise<GroupProxies | null> {
    const { before, old, wanted } = this.#both;
    const isConcerned = old.appProxy !== null || wanted.appProxy !== null;
    if (!isConcerned || !(await accepts(before.ports.manager ?? 0))) return null;
    return await readGroupProxies(old, this.#layout, this.#asAdmin(before), context);
  }

  /** @param found what `#readGroups` did. */
  async #pointGroups(found: GroupProxies | null, context: StepContext): Promise<void> {
    const { after, old, wanted } = this.#both;
    const isConcerned = old.appProxy !== null || wanted.appProxy !== null;
    if (!isConcerned || !(await accepts(after.ports.manager ?? 0))) return;
    const secrets = loadOrCreateSecrets(this.#layout, this.#environment.random);
    const ours = [old, wanted].map((request) => groupProxyOf(request, secrets).address);
    const own = ownGroupProxies(wanted, secrets);
    // Without an app proxy: those that somebody has pointed elsewhere since stay so.
    const freed = [...own.keys()].filter((group) => {
      const proxy = found?.get(group);
      return proxy === undefined || ours.includes(proxy.address);
    });
    const proxies =
      wanted.appProxy === null ? new Map(freed.map((group) => [group, NO_GROUP_PROXY])) : own;
    await writeGroupProxies(proxies, this.#layout, this.#asAdmin(after), context);
  }
}

export function changeStep(both: Both, layout: Layout, environment: Environment): Step {
  const { before, after, old, wanted } = both;
  return {
    id: 'change',
    title: 'Write the settings, and restart the components that they concern',
    async run(context) {
      const pending = readPending(layout);
      const running = new Components(before, layout, environment).running();
      const affected = concerned(both, layout, environment);
      const [had, has] = [servicesOf(before), servicesOf(after)];
      // Kept until all is done: killed in between and run again, it starts the same ones.
      const names = new Set([
        ...(pending?.names ?? []),
        ...affected.filter((name) => running.includes(name)),
        ...namesOf(without(has, had)),
      ]);
      // Also what a killed run added, when it is not wanted any more.
      const attempted = pending === null ? [] : servicesOf(pending.attempted.info);
      const gone = without([...had, ...without(attempted, had)], has);
      writePending(layout, {
        names: [...names],
        attempted: settingsOf(after, wanted),
        undo: wanted.undo,
      });
      const change = new Change(both, layout, environment);
      try {
        await change.make([...names], gone, context);
      } catch (error) {
        if (error instanceof UserError) await forgetPending(layout);
        throw error;
      }
      if (!Bun.deepEquals(settingsOf(before, old), settingsOf(after, wanted))) {
        keepPrevious(layout, settingsOf(before, old));
      }
      writeInfo(layout, after);
      await forgetPending(layout);
      context.log(names.size === 0 ? 'nothing was running' : `restarted ${[...names].join(', ')}`);
    },
  };
}
