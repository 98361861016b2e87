/** `mgr image`: the catalogue of images, from the command line. */
import { systemClock } from '../../common/clock.ts';
import { argument, defineCommand, flag, option, optionalArgument } from '../../common/command.ts';
import { formatSize } from '../../common/sizes.ts';
import { LOCAL_REGISTRY } from '../image/reference.ts';
import { rescan as rescanImages } from '../image/rescan.ts';
import {
  aliasImage,
  dealiasImage,
  forgetImage,
  listAllImages,
  resolveImage,
} from '../image/service.ts';
import { configOptions, plainTable, withTables } from './context.ts';

const reference = argument('REF', 'Name or alias of the image.');
const architecture = optionalArgument('ARCH', 'Its architecture, such as x86_64.');

export const list = defineCommand({
  options: {
    ...configOptions,
    short: flag(['-s', '--short'], 'Show names and digests only.'),
  },
  async run({ options: { config, short }, io }) {
    const images = await withTables({ io, configPath: config }, (sql) => listAllImages(sql));
    const rows = short
      ? images.map(({ canonical, digest }) => [canonical, digest])
      : images.map((image) => [
          image.canonical,
          image.architecture,
          formatSize(BigInt(image.sizeBytes)),
          image.digest,
          image.aliases.join(' '),
        ]);
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
      forgetImage(sql, args.reference, args.architecture ?? null),
    );
    io.stdout.write(`Forgot ${image.canonical} (${image.architecture}).\n`);
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
      aliasImage(sql, args.alias, args.target, args.architecture ?? null),
    );
    io.stdout.write(`${args.alias} now stands for ${image.canonical}.\n`);
    return 0;
  },
});

export const dealias = defineCommand({
  options: configOptions,
  positionals: { alias: argument('ALIAS', 'The short name.') },
  async run({ options: { config }, args, io }) {
    await withTables({ io, configPath: config }, (sql) => dealiasImage(sql, args.alias));
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
