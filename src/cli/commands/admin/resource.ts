/** `admin resource`: what sessions can ask for, and what they took. */
import { defineCommand } from '../../../common/command.ts';
import { connectAdmin } from '../../connect.ts';
import { printJson } from '../../output/json.ts';

export const querySlots = defineCommand({
  help: 'List the kinds of resources and their units.',
  async run({ io, globals }) {
    const client = await connectAdmin({ io, globals }, { announces: false });
    const slots = await client.cluster.resourceSlots();
    if (globals.output === 'json') printJson(io, slots);
    else {
      for (const [name, unit] of Object.entries(slots)) io.stdout.write(`${name} (${unit})\n`);
    }
    return 0;
  },
});
