/** Agents, and resource groups and who may use them. */
import * as v from 'valibot';
import { uuidText } from '../../http/parameters.ts';
import { admin, type Change, name, type One, optional, type Topic } from '../declare.ts';

const names = v.nullish(v.pipe(v.array(name), v.maxLength(1000)));
const ids = v.nullish(v.pipe(v.array(uuidText), v.maxLength(1000)));
const withResources = v.looseObject({ resource_info: v.unknown() });

const slots = v.record(v.string(), v.string());
const withTotals = v.object({
  total_resource: v.object({ used: slots, free: slots, capacity: slots }),
});

/** Who may use a group, or which groups somebody may use: asked for with GET, changed with POST. */
interface Allowed {
  readonly path: string;
  readonly parameter: string;
  /** The argument that the parameter is, in the body as well. */
  readonly key: 'resourceGroupName' | 'domainName' | 'projectId';
  readonly words: string;
  readonly what: string;
  readonly items: typeof names | typeof ids;
}

const ALLOWED: readonly Allowed[] = [
  {
    path: 'resource-groups/:name/allowed-domains',
    parameter: 'name',
    key: 'resourceGroupName',
    words: 'DomainsForResourceGroup',
    what: 'the domains that may use a resource group',
    items: names,
  },
  {
    path: 'resource-groups/:name/allowed-projects',
    parameter: 'name',
    key: 'resourceGroupName',
    words: 'ProjectsForResourceGroup',
    what: 'the projects that may use a resource group',
    items: ids,
  },
  {
    path: 'resource-groups/domains/:domain_name/allowed',
    parameter: 'domain_name',
    key: 'domainName',
    words: 'ResourceGroupsForDomain',
    what: 'the resource groups that a domain may use',
    items: names,
  },
  {
    path: 'resource-groups/projects/:project_id/allowed',
    parameter: 'project_id',
    key: 'projectId',
    words: 'ResourceGroupsForProject',
    what: 'the resource groups that a project may use',
    items: names,
  },
];

const ones = ALLOWED.map(
  ({ path, parameter, key, words, what }): One => ({
    path,
    field: `adminAllowed${words}V2`,
    auth: 'superadmin',
    place: (params) => ({ [key]: params[parameter] }),
    what,
  }),
);

/** The path says of what; the body may repeat it. */
const changes = ALLOWED.map(
  ({ path, parameter, key, words, what, items }): Change => ({
    ...{ ...admin, method: 'POST', path, mutation: `adminUpdateAllowed${words}V2` },
    what: `Change ${what}.`,
    body: v.looseObject({ add: items, remove: items }),
    given: (params, { add, remove }) => ({ input: { [key]: params[parameter], add, remove } }),
  }),
);

/** A change of the group that the path names. */
const ofGroup = (path: string, mutation: string, what: string): Change => ({
  ...{ ...admin, method: 'PATCH', path, mutation, what },
  body: v.looseObject({ resource_group_name: optional }),
  given: (params, input) => ({ input: { ...input, resource_group_name: params.name } }),
});

export const resourceGroups: Topic = {
  searches: [
    ['agents', 'agentsV2', 'superadmin', 'agents'],
    ['resource-groups', 'adminResourceGroups', 'superadmin', 'resource groups'],
  ],
  ones: [
    {
      path: 'agents/total-resources',
      field: 'agentStats',
      auth: 'superadmin',
      place: () => ({}),
      what: 'what all agents have together',
      shape: (row) => {
        const { used, free, capacity } = v.parse(withTotals, row).total_resource;
        return {
          total_used_slots: used,
          total_free_slots: free,
          total_capacity_slots: capacity,
        };
      },
    },
    {
      path: 'resource-groups/:name',
      field: 'adminResourceGroupV2',
      auth: 'superadmin',
      place: (params) => ({ name: params.name }),
      what: 'a resource group',
    },
    {
      path: 'resource-groups/:name/resource-info',
      field: 'adminResourceGroupV2',
      auth: 'superadmin',
      place: (params) => ({ name: params.name }),
      what: 'what the agents of a resource group have',
      shape: (row) => v.parse(withResources, row).resource_info,
    },
    ...ones,
  ],
  changes: [
    {
      ...{ ...admin, method: 'POST', path: 'resource-groups' },
      mutation: 'adminCreateResourceGroupV2',
      what: 'Make a resource group that a domain may use.',
      body: v.looseObject({ name, domain_name: name, description: optional }),
    },
    ofGroup('resource-groups/:name', 'adminUpdateResourceGroup', 'Change a resource group.'),
    ofGroup(
      'resource-groups/:name/config',
      'adminUpdateResourceGroup',
      'Change how a resource group is used.',
    ),
    ofGroup(
      'resource-groups/:name/fair-share-spec',
      'adminUpdateResourceGroupFairShareSpec',
      'Change how usage turns into shares in a resource group.',
    ),
    {
      ...{ ...admin, method: 'DELETE', path: 'resource-groups/:name' },
      mutation: 'adminDeleteResourceGroupV2',
      what: 'Remove a resource group.',
      given: (params) => ({ name: params.name }),
    },
    ...changes,
  ],
};
