/** The upgrade of an installation: sessions go on, and what does not come up again is taken back. */
import { existsSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { errorMessage, UserError } from '../../common/errors.ts';
import { VERSION } from '../../common/version.ts';
import { type InstallInfo, type Layout, writeInfo, writeOwnFile } from '../layout.ts';
import { appProxySchemaArgs, coordinatorConfig } from '../parts/app-proxy.ts';
import { managerConfig, runInstalled } from '../parts/data.ts';
import {
  forgetPrevious,
  hasPrevious,
  placeExecutable,
  restorePrevious,
} from '../parts/executable.ts';
import type { Step, StepContext } from '../step.ts';
import { Components, withoutEnd } from './components.ts';
import type { Environment } from './servers.ts';

/** A database of the installation, whose tables belong to the program's version. */
interface Database {
  /** In the note of what there was. */
  readonly name: 'manager' | 'appProxy';
  /** The commands about its tables. */
  readonly group: readonly string[];
  readonly config: readonly string[];
  /** Brings the tables up to date. */
  readonly migrate: readonly string[];
  /** Finds the version of its tables in what `show` prints. */
  readonly shown: RegExp;
}

function databasesOf(info: InstallInfo, layout: Layout): Database[] {
  if (info.mode === 'join') return [];
  const manager: Database = {
    name: 'manager',
    group: ['mgr', 'schema'],
    config: managerConfig(layout),
    migrate: ['mgr', 'schema', 'oneshot', ...managerConfig(layout)],
    shown: /^Current database revision: (\d+)$/m,
  };
  const appProxy: Database = {
    name: 'appProxy',
    group: ['app-proxy-coordinator', 'schema'],
    config: coordinatorConfig(layout),
    migrate: appProxySchemaArgs(layout),
    shown: /^Schema of the database: (\d+)$/m,
  };
  return info.app_proxy === undefined ? [manager] : [manager, appProxy];
}

/** What there was when the upgrade began; an interrupted one that is run again finds it here. */
const beforeRecord = v.object({
  /** Names of the components that ran. */
  running: v.array(v.string()),
  /** Versions of the tables. */
  schemas: v.optional(v.record(v.string(), v.number()), {}),
});
type Before = v.InferOutput<typeof beforeRecord>;

const beforePath = (layout: Layout): string => join(layout.run, 'before-upgrade.json');

function readBefore(layout: Layout): Before {
  const path = beforePath(layout);
  if (!existsSync(path)) return { running: [], schemas: {} };
  return v.parse(v.pipe(v.string(), v.parseJson(), beforeRecord), readFileSync(path, 'utf8'));
}

function writeBefore(layout: Layout, before: Before): void {
  writeOwnFile(beforePath(layout), JSON.stringify(before));
}

/** Stops the components, of which it is kept which ones ran. */
async function stopComponents(
  components: Components,
  layout: Layout,
  context: StepContext,
): Promise<Before> {
  const noted = readBefore(layout);
  const before = { ...noted, running: [...new Set([...noted.running, ...components.running()])] };
  writeBefore(layout, before);
  await components.stop(context);
  return before;
}

/** Brings the tables up to date. Which version they had is kept first. */
async function migrateDatabase(
  { name, group, config, migrate, shown }: Database,
  before: Before,
  layout: Layout,
  context: StepContext,
): Promise<void> {
  if (before.schemas[name] === undefined) {
    const output = await runInstalled(layout, [...group, 'show', ...config], context);
    const [, version] = shown.exec(output) ?? [];
    if (version === undefined) throw new UserError(`No version of the tables in "${output}".`);
    before.schemas[name] = Number(version);
    writeBefore(layout, before);
  }
  await runInstalled(layout, migrate, context);
}

/** Lets the version of before run on tables that this one may have changed already. */
async function setAsideMigrations(
  { name, group, config }: Database,
  before: Before,
  layout: Layout,
  context: StepContext,
): Promise<void> {
  const version = before.schemas[name];
  if (version === undefined) return;
  await runInstalled(layout, [...group, 'set-aside', String(version), ...config], context);
}

export function upgradeStep(info: InstallInfo, layout: Layout, environment: Environment): Step {
  const components = new Components(info, layout, environment);
  const databases = databasesOf(info, layout);

  /** @returns what became of it, for people. */
  const takeBack = async (before: Before, context: StepContext): Promise<string> => {
    const isReplaced = hasPrevious(layout.executable);
    const version = isReplaced
      ? 'The version of before'
      : 'The installed version, which is the same,';
    try {
      await components.stop(context);
      if (isReplaced) {
        for (const one of databases) await setAsideMigrations(one, before, layout, context);
      }
    } catch (error) {
      context.log(errorMessage(error));
    }
    try {
      await restorePrevious(layout.executable);
      await components.start(context, before.running);
    } catch (error) {
      return `${version} does not start either: ${errorMessage(error)}`;
    }
    await rm(beforePath(layout), { force: true });
    const tables =
      databases.length === 0 ? '' : ' Tables that were changed stay so; they still fit it.';
    return `${version} runs again.${tables}`;
  };

  return {
    id: 'upgrade',
    title:
      info.mode === 'join'
        ? 'Replace the program, start again'
        : 'Replace the program, bring the tables up to date, start again',
    async run(context) {
      const before = await stopComponents(components, layout, context);
      try {
        await placeExecutable(layout.executable);
        for (const one of databases) await migrateDatabase(one, before, layout, context);
        await components.start(context, before.running);
      } catch (error) {
        context.log(`taken back: ${errorMessage(error)}`);
        // Also when the user stops it now: a cluster that stands still helps nobody.
        const hint = await takeBack(before, withoutEnd(context));
        throw new UserError(`The new version did not start: ${errorMessage(error)}`, {
          hint,
          cause: error,
        });
      }
      await forgetPrevious(layout.executable);
      await rm(beforePath(layout), { force: true });
      writeInfo(layout, {
        ...info,
        version: VERSION,
        last_updated: environment.clock.now().toISOString(),
      });
    },
  };
}
