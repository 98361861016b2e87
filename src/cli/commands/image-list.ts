/** `image list`, `admin image list`. */
import * as v from 'valibot';
import { defineCommand } from '../../common/command.ts';
import { connect } from '../connect.ts';
import { type Field, selection } from '../output/fields.ts';
import { printList } from '../output/results.ts';

const FIELDS: readonly Field[] = [
  { key: 'name' },
  { key: 'registry' },
  { key: 'architecture' },
  { key: 'tag' },
  { key: 'digest' },
  { key: 'size_bytes', format: 'bytes' },
  { key: 'aliases' },
];

const answer = v.object({ images: v.array(v.nullable(v.record(v.string(), v.unknown()))) });

export default defineCommand({
  async run({ io, globals }) {
    const client = await connect({ io, globals });
    // This field of the API is not paginated.
    const { images } = await client.graphql.query(answer, `{ images { ${selection(FIELDS)} } }`);
    const items = images.filter((image) => image !== null);
    await printList(
      { io, globals },
      FIELDS,
      { limit: Math.max(1, items.length) },
      async (start, n) => ({
        items: items.slice(start, start + n),
        total: items.length,
      }),
    );
    return 0;
  },
});
