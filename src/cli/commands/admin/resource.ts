/** `admin resource`: what sessions can ask for, and what they took. */

import type { Client } from '../../../client/index.ts';
import { type Command, defineCommand } from '../../../common/command.ts';
import { connectAdmin } from '../../connect.ts';
import { printJson } from '../../output/json.ts';

/** A command that prints names and what is said of each. */
const table = (help: string, load: (client: Client) => Promise<Record<string, string>>): Command =>
  defineCommand({
    help,
    async run({ io, globals }) {
      const found = await load(await connectAdmin({ io, globals }, { announces: false }));
      if (globals.output === 'json') printJson(io, found);
      else {
        for (const [name, text] of Object.entries(found)) io.stdout.write(`${name} (${text})\n`);
      }
      return 0;
    },
  });

export const querySlots = table('List the kinds of resources and their units.', (client) =>
  client.cluster.resourceSlots(),
);

export const containerRegistries = table('List the container registries.', (client) =>
  client.cluster.containerRegistries(),
);

export const folderTypes = defineCommand({
  help: 'List the kinds of owners that folders may have.',
  async run({ io, globals }) {
    const client = await connectAdmin({ io, globals }, { announces: false });
    const types = await client.cluster.folderTypes();
    if (globals.output === 'json') printJson(io, types);
    else io.stdout.write(types.map((type) => `${type}\n`).join(''));
    return 0;
  },
});
