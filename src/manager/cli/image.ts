/** `mgr image`: the catalogue of images, from the command line. */
import { argument, defineCommand, flag, optionalArgument } from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { formatSize } from '../../common/sizes.ts';
import { rescanLocal } from '../image/catalog.ts';
import { LOCAL_REGISTRY } from '../image/reference.ts';
import {
  aliasImage,
  dealiasImage,
  forgetImage,
  listAllImages,
  resolveImage,
} from '../image/service.ts';
import { listRegistries } from '../registry/service.ts';
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
        domain: null,
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
  help: 'Look for the images of this host and register them under the registry `local`.',
  options: configOptions,
  positionals: {
    registry: optionalArgument('REGISTRY', 'The registry to look in; `local` means this host.'),
  },
  async run({ options: { config }, args: { registry = LOCAL_REGISTRY }, io }) {
    return withTables({ io, configPath: config }, async (sql) => {
      if (registry !== LOCAL_REGISTRY) {
        const known = (await listRegistries(sql)).some((row) => row.registry_name === registry);
        throw new UserError(
          known
            ? `Registry '${registry}' is on the network, which can't be scanned yet.`
            : `There is no registry '${registry}'.`,
          { hint: 'Scan the images of this host: `backend.ai mgr image rescan local`.' },
        );
      }
      const { found, written, aliased, problems } = await rescanLocal(sql);
      for (const name of found) io.stdout.write(`${name}\n`);
      for (const problem of problems) io.stderr.write(`${problem}\n`);
      io.stderr.write(
        `Found ${found.length} images; ${written} new or changed, ${aliased} new aliases.\n`,
      );
      return problems.length > 0 ? 1 : 0;
    });
  },
});
