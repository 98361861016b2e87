/** `mgr image`: the catalogue of images, from the command line. */
import type { Sql } from 'postgres';
import { systemClock } from '../../common/clock.ts';
import {
  argument,
  defineCommand,
  flag,
  option,
  optionalArgument,
  UsageError,
} from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { hostArchitecture, servicePortsOf } from '../../common/images/labels.ts';
import { formatSize } from '../../common/sizes.ts';
import { loadImageLocations } from '../image/locations.ts';
import {
  aliasImage,
  dealiasImage,
  forgetImage,
  modifyImage,
  purgeImage,
  untagImage,
} from '../image/manage.ts';
import { LOCAL_REGISTRY, normalizeArchitecture } from '../image/reference.ts';
import { rescan as rescanImages } from '../image/rescan.ts';
import { findImagesByName, type Image, listAllImages, resolveImage } from '../image/service.ts';
import {
  configOptions,
  type Invocation,
  operatorChange,
  plainTable,
  withLiveStore,
  withTables,
} from './context.ts';

const reference = argument('REF', 'Name or alias of the image.');
const architecture = optionalArgument('ARCH', 'Its architecture, such as x86_64.');

/** Longest wait for a registry that removes a tag. Milliseconds. */
const REGISTRY_TIMEOUT_MS = 60_000;

const targetOf = (args: {
  readonly reference: string;
  readonly architecture: string | undefined;
}) => ({ reference: args.reference, architecture: args.architecture ?? null });

/** The agents that have an image, when it is asked for what is installed. */
async function installedOn(
  invocation: Invocation,
  sql: Sql,
): Promise<(image: Image) => readonly string[]> {
  const locations = await withLiveStore(invocation, (live) => loadImageLocations(live, sql));
  return (image) => locations(image);
}

export const list = defineCommand({
  options: {
    ...configOptions,
    short: flag(['-s', '--short'], 'Show names and digests only.'),
    installed: flag(['-i', '--installed'], 'Only images that agents have, and which agents.'),
  },
  async run({ options: { config, short, installed }, io }) {
    const invocation = { io, configPath: config };
    const rows = await withTables(invocation, async (sql) => {
      const images = await listAllImages(sql);
      const agentsOf = installed ? await installedOn(invocation, sql) : null;
      return images.flatMap((image) => {
        const agents = agentsOf?.(image) ?? [];
        if (agentsOf !== null && agents.length === 0) return [];
        const row = short
          ? [image.canonical, image.digest]
          : [
              image.canonical,
              image.architecture,
              formatSize(BigInt(image.sizeBytes)),
              image.digest,
              image.aliases.join(' '),
            ];
        return [agentsOf === null ? row : [...row, agents.join(' ')]];
      });
    });
    io.stdout.write(plainTable(rows));
    return 0;
  },
});

export const inspect = defineCommand({
  options: configOptions,
  positionals: { reference, architecture },
  async run({ options: { config }, args, io }) {
    const image = await withTables({ io, configPath: config }, (sql) =>
      resolveImage(sql, {
        reference: args.reference,
        architecture: args.architecture ?? null,
        viewer: null,
      }),
    );
    io.stdout.write(`${JSON.stringify(image, null, 2)}\n`);
    return 0;
  },
});

export const forget = defineCommand({
  help: 'Take an image out of the catalogue. Agents keep their copies; a rescan brings it back.',
  options: configOptions,
  positionals: { reference, architecture },
  async run({ options: { config }, args, io }) {
    const image = await withTables({ io, configPath: config }, (sql) =>
      forgetImage(operatorChange(sql), targetOf(args)),
    );
    io.stdout.write(`Forgot ${image.canonical} (${image.architecture}).\n`);
    return 0;
  },
});

export const purge = defineCommand({
  help: 'Delete an image from the catalogue for good. Agents keep their copies.',
  options: {
    ...configOptions,
    fromRegistry: flag(['--remove-from-registry'], 'Also remove it from its registry.'),
  },
  positionals: { reference, architecture },
  async run({ options: { config, fromRegistry }, args, io }) {
    const image = await withTables({ io, configPath: config }, async (sql) => {
      const by = operatorChange(sql);
      const found = await resolveImage(sql, { ...targetOf(args), viewer: null });
      if (fromRegistry) await untagImage(by, found.id, AbortSignal.timeout(REGISTRY_TIMEOUT_MS));
      await purgeImage(by, found.id);
      return found;
    });
    io.stdout.write(`Purged ${image.canonical} (${image.architecture}).\n`);
    return 0;
  },
});

/** `MIN:MAX`; a side that is left out stays as it is. */
function readRange(text: string): { min: string | undefined; max: string | undefined } {
  const match = /^([^:]*):([^:]*)$/.exec(text);
  if (match === null) throw new UsageError(`'${text}' is not of the form MIN:MAX.`);
  const [, min = '', max = ''] = match;
  return { min: min === '' ? undefined : min, max: max === '' ? undefined : max };
}

export const setResourceLimit = defineCommand({
  help: 'Set what an image needs at least and takes at most of a resource.',
  options: configOptions,
  positionals: {
    reference,
    slot: argument('SLOT', 'The resource: cpu, mem, cuda.device, …'),
    range: argument('MIN:MAX', 'Both amounts; leave a side out to keep it.', readRange),
    architecture,
  },
  async run({ options: { config }, args, io }) {
    const target = targetOf(args);
    const image = await withTables({ io, configPath: config }, async (sql) => {
      const resourceLimits = [{ key: args.slot, ...args.range }];
      await modifyImage(operatorChange(sql), target, { resourceLimits });
      return resolveImage(sql, { ...target, viewer: null });
    });
    const { min, max } = image.resources[args.slot] ?? { min: null, max: null };
    io.stdout.write(
      `${image.canonical} (${image.architecture}): ${args.slot} ${min ?? 'no minimum'} to ${max ?? 'no maximum'}.\n`,
    );
    return 0;
  },
});

const OWN_LABEL = 'ai.backend.';
const LABEL_COLUMNS = 40;

/** What the image says of itself, checked. @throws BackendError naming the label that is wrong. */
function describeLabels({ architecture: arch, labels }: Image): string {
  servicePortsOf(labels, []);
  const own = Object.entries(labels).filter(([key]) => key.startsWith(OWN_LABEL));
  return [['architecture', arch], ...own.sort(([a], [b]) => (a < b ? -1 : 1))]
    .map(([key = '', value]) => `${key.padEnd(LABEL_COLUMNS)}: ${value}\n`)
    .join('');
}

export const validateAlias = defineCommand({
  help: 'Check the labels of the image that an alias stands for.',
  options: configOptions,
  positionals: { alias: argument('ALIAS', 'The short name.') },
  async run({ options: { config }, args, io }) {
    const image = await withTables({ io, configPath: config }, async (sql) => {
      const request = { reference: args.alias, architecture: null, viewer: null };
      const found = await resolveImage(sql, request);
      if (found.aliases.includes(args.alias)) return found;
      throw new UserError(`'${args.alias}' is the name of an image, not an alias.`);
    });
    io.stdout.write(describeLabels(image));
    return 0;
  },
});

export const validateCanonical = defineCommand({
  help: 'Check the labels of an image: of each architecture that it is made for, or of one.',
  options: {
    ...configOptions,
    architecture: option(['-a', '--architecture'], 'ARCH', 'Only this architecture.'),
    current: flag(['-c', '--current'], "Only this host's architecture."),
  },
  positionals: { canonical: argument('CANONICAL', 'Complete name of the image.') },
  async run({ options: { config, architecture: arch, current }, args, io }) {
    if (current && arch !== undefined) {
      throw new UsageError('--architecture and --current exclude each other.');
    }
    const wanted = current ? hostArchitecture() : arch;
    const images = await withTables({ io, configPath: config }, async (sql) => {
      const all = await findImagesByName(sql, null, [args.canonical]);
      return all.filter(({ status }) => status === 'ALIVE');
    });
    const chosen =
      wanted === undefined
        ? images
        : images.filter((image) => image.architecture === normalizeArchitecture(wanted));
    if (chosen.length === 0) {
      const others = images.map((image) => image.architecture).join(', ');
      throw new UserError(
        `There is no image '${args.canonical}'${wanted ? ` for ${wanted}` : ''}.`,
        {
          hint:
            others === '' ? 'See `backend.ai mgr image list -s`.' : `There is one for ${others}.`,
        },
      );
    }
    io.stdout.write(chosen.map(describeLabels).join(`${'-'.repeat(50)}\n`));
    return 0;
  },
});

export const alias = defineCommand({
  options: configOptions,
  positionals: {
    alias: argument('ALIAS', 'The short name.'),
    target: argument('TARGET', 'Name of the image.'),
    architecture,
  },
  async run({ options: { config }, args, io }) {
    const image = await withTables({ io, configPath: config }, (sql) =>
      aliasImage(operatorChange(sql), args.alias, {
        reference: args.target,
        architecture: args.architecture ?? null,
      }),
    );
    io.stdout.write(`${args.alias} now stands for ${image.canonical}.\n`);
    return 0;
  },
});

export const dealias = defineCommand({
  options: configOptions,
  positionals: { alias: argument('ALIAS', 'The short name.') },
  async run({ options: { config }, args, io }) {
    await withTables({ io, configPath: config }, (sql) =>
      dealiasImage(operatorChange(sql), args.alias),
    );
    io.stdout.write(`${args.alias} stands for nothing now.\n`);
    return 0;
  },
});

export const rescan = defineCommand({
  help: 'Look for images and register them: of a registry, or of this host under the name `local`.',
  options: {
    ...configOptions,
    project: option(['-p', '--project'], 'PROJECT', 'Only this project of the registry.'),
  },
  positionals: {
    registry: optionalArgument(
      'REGISTRY_OR_IMAGE',
      'The registry to look in, `local` for this host, or the full name of one image.',
    ),
  },
  async run({ options: { config, project }, args: { registry = LOCAL_REGISTRY }, io }) {
    return withTables({ io, configPath: config }, async (sql) => {
      const { found, written, problems } = await rescanImages(
        { sql, clock: systemClock },
        { registry, project: project ?? null },
        async ({ current, total, message }) => {
          if (current % 20 === 0) io.stderr.write(`⋯ ${current}/${total} ${message}\n`);
        },
        new AbortController().signal,
      );
      for (const name of found) io.stdout.write(`${name}\n`);
      for (const problem of problems) io.stderr.write(`${problem}\n`);
      io.stderr.write(`Found ${found.length} images; ${written} new or changed.\n`);
      return problems.length > 0 ? 1 : 0;
    });
  },
});
