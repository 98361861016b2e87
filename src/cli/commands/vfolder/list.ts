/** `vfolder list|list-own|list-invited|list-project`, and `admin vfolder list`. */
import { type Command, defineCommand, option } from '../../../common/command.ts';
import { connect, connectAdmin } from '../../connect.ts';
import type { Field } from '../../output/fields.ts';
import { pageOptions } from '../../output/page-options.ts';
import { fetchListPage } from '../../output/query.ts';
import { printList } from '../../output/results.ts';

const FIELDS: readonly Field[] = [
  { key: 'host' },
  { key: 'name' },
  { key: 'status' },
  { key: 'created_at' },
  { key: 'creator' },
  { key: 'group', jsonKey: 'group_id', title: 'Group ID' },
  { key: 'permission' },
  { key: 'ownership_type' },
];

type Connecting = (where: Parameters<typeof connect>[0]) => ReturnType<typeof connect>;

const listing = (root: string, connecting: Connecting, withGroup: boolean): Command =>
  defineCommand({
    options: {
      ...(withGroup && { group: option(['-g', '--group'], 'ID', 'Only folders of this project.') }),
      ...pageOptions,
    },
    async run({ options, io, globals }) {
      const client = await connecting({ io, globals });
      const query = {
        root,
        fields: FIELDS,
        variables: {
          group_id: ['UUID', options.group],
          filter: ['String', options.filter],
          order: ['String', options.order],
        },
      } as const;
      await printList({ io, globals }, FIELDS, options, (offset, limit) =>
        fetchListPage(client, query, offset, limit),
      );
      return 0;
    },
  });

export const list = listing('vfolder_list', connect, true);
export const listOwn = listing('vfolder_own_list', connect, false);
export const listInvited = listing('vfolder_invited_list', connect, false);
export const listProject = listing('vfolder_project_list', connect, false);
export const listAll = listing('vfolder_list', connectAdmin, true);
