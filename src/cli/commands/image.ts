/** `image` and `admin image`: images that sessions can be made of. */
import { type Command, defineCommand, flag } from '../../common/command.ts';
import { connectAnnounced } from '../connect.ts';
import { type Field, isRecord } from '../output/fields.ts';
import { fetchItems, type Variables } from '../output/query.ts';
import { printWholeList } from '../output/results.ts';

const NAME_LABEL = 'ai.backend.customized-image.name';
const OWNER_LABEL = 'ai.backend.customized-image.user.email';

const FIELDS: readonly Field[] = [
  { key: 'name' },
  { key: 'registry' },
  { key: 'architecture' },
  { key: 'tag' },
  { key: 'digest' },
  { key: 'size_bytes', format: 'bytes' },
  { key: 'aliases' },
];

/** Whose image it is and what they call it, by its labels. */
function customization(labels: unknown): string | null {
  const pairs = Array.isArray(labels) ? labels.filter(isRecord) : [];
  const labelled = (key: string) => pairs.find((pair) => pair.key === key)?.value;
  const name = labelled(NAME_LABEL);
  return name === undefined ? null : `${String(name)} (Owner: ${String(labelled(OWNER_LABEL))})`;
}

const CUSTOMIZED_FIELDS: readonly Field[] = [
  { key: 'id' },
  ...FIELDS.slice(0, 4),
  { key: 'size_bytes', format: 'bytes' },
  {
    key: 'labels',
    jsonKey: 'customized_image',
    title: 'Customized Image Info',
    subfields: [{ key: 'key' }, { key: 'value' }],
    read: customization,
  },
];

/** A list of all images, or with the flag of some, whose fields may be others. */
const listing = (
  flags: readonly string[],
  help: string,
  some: { readonly variables: Variables; readonly fields: readonly Field[] },
): Command =>
  defineCommand({
    options: { onlySome: flag(flags, help) },
    async run({ options, io, globals }) {
      const client = await connectAnnounced({ io, globals });
      const { variables, fields } = options.onlySome ? some : { variables: {}, fields: FIELDS };
      const images = await fetchItems(client, { root: 'images', fields, variables });
      await printWholeList({ io, globals }, fields, images);
      return 0;
    },
  });

export const list = listing(
  ['--customized'],
  'Only images that were made from sessions of yours.',
  {
    variables: { load_filters: ['[String]', ['customized']] },
    fields: CUSTOMIZED_FIELDS,
  },
);

export const adminList = listing(['--operation'], 'Only images of the system itself.', {
  variables: { is_operation: ['Boolean', true] },
  fields: FIELDS,
});
