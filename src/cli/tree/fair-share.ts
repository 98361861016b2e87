/** The commands of `fair-share` and `resource-usage`. */
import type { CommandRecord } from '../../common/command.ts';
import { group, leaf } from './leaf.ts';

const shares = () => import('../commands/fair-share.ts');
const spec = () => import('../commands/fair-share-spec.ts');
const usage = () => import('../commands/resource-usage.ts');

export const fairShareCommands: CommandRecord = {
  domain: group('Shares of domains.', {
    get: leaf('Show the share of a domain.', async () => (await shares()).getDomain),
    list: leaf('List shares of domains.', async () => (await shares()).listDomains),
    'set-weight': leaf('Weigh a domain.', async () => (await shares()).setDomainWeight),
  }),
  project: group('Shares of projects.', {
    get: leaf('Show the share of a project.', async () => (await shares()).getProject),
    list: leaf('List shares of projects.', async () => (await shares()).listProjects),
    'set-weight': leaf('Weigh a project.', async () => (await shares()).setProjectWeight),
  }),
  'resource-group': group('How usage turns into shares.', {
    spec: leaf('Show the rules of a resource group.', async () => (await spec()).spec),
    specs: leaf('Show the rules of all resource groups.', async () => (await spec()).specs),
    'update-spec': leaf('Change the rules.', async () => (await spec()).updateSpec),
  }),
  'rg-domain': group('Shares of the domains of a resource group.', {
    get: leaf('Show the share of a domain.', async () => (await shares()).getDomain),
    list: leaf('List shares of domains.', async () => (await shares()).listDomainsInGroup),
  }),
  'rg-domain-usage': group('What domains used.', {
    list: leaf('Show it day by day.', async () => (await usage()).domainsInGroup),
  }),
  'rg-project': group('Shares of the projects of a resource group.', {
    get: leaf('Show the share of a project.', async () => (await shares()).getProjectInGroup),
    list: leaf('List shares of projects.', async () => (await shares()).listProjectsInGroup),
  }),
  'rg-project-usage': group('What projects used.', {
    list: leaf('Show it day by day.', async () => (await usage()).projectsInGroup),
  }),
  'rg-user': group('Shares of the users of a project in a resource group.', {
    get: leaf('Show the share of a user.', async () => (await shares()).getUserInGroup),
    list: leaf('List shares of users.', async () => (await shares()).listUsersInGroup),
  }),
  'rg-user-usage': group('What users used.', {
    list: leaf('Show it day by day.', async () => (await usage()).usersInGroup),
  }),
  user: group('Shares of users.', {
    get: leaf('Show the share of a user.', async () => (await shares()).getUser),
    list: leaf('List shares of users.', async () => (await shares()).listUsers),
    'set-weight': leaf('Weigh a user.', async () => (await shares()).setUserWeight),
  }),
};

export const resourceUsageCommands: CommandRecord = {
  domain: group('Of domains.', {
    list: leaf('Show it day by day.', async () => (await usage()).domains),
  }),
  project: group('Of projects.', {
    list: leaf('Show it day by day.', async () => (await usage()).projects),
  }),
  user: group('Of users.', {
    list: leaf('Show it day by day.', async () => (await usage()).users),
  }),
};
