/** `admin`: names and descriptions of the commands for administrators. */
import type { CommandRecord } from '../../common/command.ts';
import { group, leaf } from './leaf.ts';
import { sessionList } from './session.ts';

const agent = () => import('../commands/admin/agent.ts');
const announcement = () => import('../commands/admin/announcement.ts');
const domain = () => import('../commands/admin/domain.ts');
const etcd = () => import('../commands/admin/etcd.ts');
const exports = () => import('../commands/admin/export.ts');
const project = () => import('../commands/admin/group.ts');
const image = () => import('../commands/image.ts');
const imageChanges = () => import('../commands/image-changes.ts');
const keypair = () => import('../commands/admin/keypair.ts');
const policy = () => import('../commands/admin/keypair-resource-policy.ts');
const manager = () => import('../commands/admin/manager.ts');
const permission = () => import('../commands/admin/permission.ts');
const resource = () => import('../commands/admin/resource.ts');
const resourceGroup = () => import('../commands/admin/scaling-group.ts');
const usage = () => import('../commands/admin/usage.ts');
const user = () => import('../commands/admin/user.ts');
const folder = () => import('../commands/admin/vfolder.ts');
const folderList = () => import('../commands/vfolder/list.ts');
const storage = () => import('../commands/admin/storage.ts');

export const adminCommands: CommandRecord = {
  agent: group('Agents: the nodes of the cluster.', {
    info: leaf('Show the details of an agent.', async () => (await agent()).info),
    list: leaf('List agents.', async () => (await agent()).list),
  }),
  announcement: group('A message that everybody sees.', {
    delete: leaf('Take the announcement down.', async () => (await announcement()).remove),
    dismiss: leaf('Do not show it here again.', async () => (await announcement()).dismiss),
    get: leaf('Show the announcement.', async () => (await announcement()).get),
    update: leaf('Announce something.', async () => (await announcement()).update),
  }),
  domain: group('Domains: the tenants of the cluster.', {
    add: leaf('Add a domain.', async () => (await domain()).add),
    delete: leaf('Make a domain inactive.', async () => (await domain()).remove),
    info: leaf('Show the details of a domain.', async () => (await domain()).info),
    list: leaf('List domains.', async () => (await domain()).list),
    purge: leaf('Delete a domain for good.', async () => (await domain()).purge),
    update: leaf('Change a domain.', async () => (await domain()).update),
  }),
  etcd: group("The cluster's configuration, key by key.", {
    delete: leaf('Delete a key, or everything below it.', async () => (await etcd()).remove),
    get: leaf('Print the value of a key.', async () => (await etcd()).get),
    set: leaf('Set the value of a key.', async () => (await etcd()).set),
  }),
  export: group('Reports as CSV.', {
    'audit-logs': leaf('Export the audit log.', async () => (await exports()).auditLogs),
    keypairs: leaf('Export keypairs.', async () => (await exports()).keypairs),
    'list-reports': leaf('List the reports.', async () => (await exports()).listReports),
    projects: leaf('Export projects.', async () => (await exports()).projects),
    sessions: leaf('Export sessions.', async () => (await exports()).sessions),
    users: leaf('Export users.', async () => (await exports()).users),
  }),
  group: group('Projects and their members.', {
    add: leaf('Add a project.', async () => (await project()).add),
    'add-users': leaf('Make users members of a project.', async () => (await project()).addUsers),
    delete: leaf('Make a project inactive.', async () => (await project()).remove),
    info: leaf('Show the details of a project.', async () => (await project()).info),
    list: leaf('List projects.', async () => (await project()).list),
    purge: leaf('Delete a project for good.', async () => (await project()).purge),
    'remove-users': leaf(
      'End the membership of users in a project.',
      async () => (await project()).removeUsers,
    ),
    update: leaf('Change a project.', async () => (await project()).update),
  }),
  image: group('Images that sessions can be made of.', {
    alias: leaf('Give an image a short name.', async () => (await imageChanges()).alias),
    dealias: leaf('Remove a short name.', async () => (await imageChanges()).dealias),
    list: leaf('List images.', async () => (await image()).adminList),
    rescan: leaf('Look for images in registries.', async () => (await imageChanges()).rescan),
  }),
  keypair: group('The keys with which programs sign requests.', {
    activate: leaf('Let a keypair be used.', async () => (await keypair()).activate),
    add: leaf('Add a keypair.', async () => (await keypair()).add),
    deactivate: leaf('Keep a keypair from being used.', async () => (await keypair()).deactivate),
    delete: leaf('Delete a keypair.', async () => (await keypair()).remove),
    info: leaf('Show the keypair in use.', async () => (await keypair()).info),
    list: leaf('List keypairs.', async () => (await keypair()).list),
    update: leaf('Change a keypair.', async () => (await keypair()).update),
  }),
  'keypair-resource-policy': group('What the sessions of a keypair may take.', {
    add: leaf('Add a policy.', async () => (await policy()).add),
    delete: leaf('Delete a policy.', async () => (await policy()).remove),
    info: leaf('Show the details of a policy.', async () => (await policy()).info),
    list: leaf('List policies.', async () => (await policy()).list),
    update: leaf('Change a policy.', async () => (await policy()).update),
  }),
  manager: group('Whether the cluster takes changes.', {
    freeze: leaf('Take no more changes.', async () => (await manager()).freeze),
    scheduler: group('Which agents take new sessions.', {
      'exclude-agents': leaf(
        'Let agents take no new sessions.',
        async () => (await manager()).excludeAgents,
      ),
      'include-agents': leaf(
        'Let agents take new sessions.',
        async () => (await manager()).includeAgents,
      ),
    }),
    status: leaf('Show whether it takes changes.', async () => (await manager()).status),
    unfreeze: leaf('Take changes again.', async () => (await manager()).unfreeze),
  }),
  permission: group('What can be allowed on folder hosts.', {
    list: leaf('List the permissions.', async () => (await permission()).list),
  }),
  resource: group('What sessions can ask for, and what they took.', {
    'container-registries': leaf(
      'List the container registries.',
      async () => (await resource()).containerRegistries,
      ['docker-registries'],
    ),
    'query-slots': leaf('List the kinds of resources.', async () => (await resource()).querySlots),
    'recalculate-usage': leaf('Correct the books.', async () => (await usage()).recalculate),
    'usage-per-month': leaf(
      'Show what projects used in a month.',
      async () => (await usage()).perMonth,
    ),
    'usage-per-period': leaf(
      'Show what a project used in a period.',
      async () => (await usage()).perPeriod,
    ),
    'vfolder-types': leaf(
      'List the kinds of owners of folders.',
      async () => (await resource()).folderTypes,
    ),
  }),
  'scaling-group': group('Resource groups: the parts of the cluster.', {
    add: leaf('Add a resource group.', async () => (await resourceGroup()).add),
    'associate-scaling-group': leaf(
      'Open a resource group to a domain.',
      async () => (await resourceGroup()).associate,
    ),
    delete: leaf('Delete a resource group.', async () => (await resourceGroup()).remove),
    'dissociate-scaling-group': leaf(
      'Close a resource group to a domain.',
      async () => (await resourceGroup()).dissociate,
    ),
    'get-available': leaf(
      'List the resource groups that you may use in a project.',
      async () => (await resourceGroup()).available,
    ),
    info: leaf('Show the details of a resource group.', async () => (await resourceGroup()).info),
    list: leaf('List resource groups.', async () => (await resourceGroup()).list),
    update: leaf('Change a resource group.', async () => (await resourceGroup()).update),
  }),
  'quota-scope': group('What users and projects may keep on a volume.', {
    get: leaf('Show a quota and its usage.', async () => (await storage()).getQuota),
    set: leaf('Set a quota.', async () => (await storage()).setQuota),
    unset: leaf('Take a quota away.', async () => (await storage()).unsetQuota),
  }),
  session: group("Everybody's sessions.", { list: sessionList }),
  storage: group('Storage volumes.', {
    info: leaf('Show the details of a volume.', async () => (await storage()).info),
    list: leaf('List volumes.', async () => (await storage()).list),
  }),
  vfolder: group("Everybody's folders.", {
    'change-vfolder-ownership': leaf(
      'Give a folder to another user.',
      async () => (await folder()).changeOwnership,
    ),
    list: leaf('List folders.', async () => (await folderList()).listAll),
    'get-fstab-contents': leaf(
      'Show what a node mounts when it starts.',
      async () => (await folder()).fstab,
    ),
    'list-hosts': leaf('List the storage hosts.', async () => (await folder()).listHosts),
    'list-mounts': leaf(
      'List what every node has mounted.',
      async () => (await folder()).listMounts,
    ),
    'list-shared-vfolders': leaf(
      'List with whom folders are shared.',
      async () => (await folder()).listShared,
    ),
    'mount-host': leaf(
      'Have all nodes mount a network file system.',
      async () => (await folder()).mountHost,
    ),
    'umount-host': leaf('Have all nodes unmount it.', async () => (await folder()).unmountHost),
    'perf-metric': leaf('Show how busy a volume is.', async () => (await folder()).performance),
    'remove-shared-vf-permission': leaf(
      "Take a user's permission away.",
      async () => (await folder()).removeShared,
    ),
    'shared-vfolder-info': leaf(
      'Show with whom a folder is shared.',
      async () => (await folder()).sharedInfo,
    ),
    'update-shared-vf-permission': leaf(
      "Change a user's permission.",
      async () => (await folder()).updateShared,
    ),
  }),
  user: group('Accounts of people.', {
    add: leaf('Add a user.', async () => (await user()).add, ['create']),
    delete: leaf('Make a user inactive.', async () => (await user()).remove),
    info: leaf("Show a user's account.", async () => (await user()).info),
    list: leaf('List users.', async () => (await user()).list),
    purge: leaf('Delete a user for good.', async () => (await user()).purge),
    update: leaf('Change an account.', async () => (await user()).update),
  }),
};
