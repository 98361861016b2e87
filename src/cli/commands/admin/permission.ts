/** `admin permission list`: what can be allowed on folder hosts. */
import { defineCommand } from '../../../common/command.ts';
import { connectAdmin } from '../../connect.ts';
import { printItem } from '../../output/results.ts';

export const list = defineCommand({
  async run({ io, globals }) {
    const client = await connectAdmin({ io, globals });
    const permissions = await client.cluster.hostPermissions();
    const fields = [{ key: 'vfolder_host_permission_list' }];
    return printItem({ io, globals }, fields, { vfolder_host_permission_list: permissions });
  },
});
