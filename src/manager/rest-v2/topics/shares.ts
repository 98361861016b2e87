/** Fair shares, their weights, and what was used. */
import * as v from 'valibot';
import { uuidText } from '../../http/parameters.ts';
import { admin, type Change, name, type One, type Topic } from '../declare.ts';

const weight = v.nullish(v.union([v.string(), v.number()]));
const KINDS = {
  Domain: v.object({ domain_name: name }),
  Project: v.object({ project_id: uuidText, domain_name: name }),
  User: v.object({ user_uuid: uuidText, project_id: uuidText, domain_name: name }),
} as const;
type Kind = keyof typeof KINDS;
const kinds = ['Domain', 'Project', 'User'] as const;

const weights = (kind: Kind): Change[] => {
  const path = `fair-share/${kind.toLowerCase()}s`;
  const whose = KINDS[kind].entries;
  return [
    {
      ...{ ...admin, method: 'POST', path: `${path}/upsert` },
      mutation: `adminUpsert${kind}FairShareWeight`,
      what: `Set the weight of a ${kind.toLowerCase()}; without one the default holds.`,
      body: v.object({ resource_group_name: name, weight, ...whose }),
    },
    {
      ...{ ...admin, method: 'POST', path: `${path}/bulk-upsert` },
      mutation: `adminBulkUpsert${kind}FairShareWeight`,
      what: `Set the weights of several ${kind.toLowerCase()}s.`,
      body: v.object({
        resource_group_name: name,
        inputs: v.pipe(v.array(v.object({ weight, ...whose })), v.maxLength(1000)),
      }),
    },
  ];
};

const share = (kind: Kind): One => ({
  method: 'POST',
  path: `fair-share/${kind.toLowerCase()}s/get`,
  field: `admin${kind}FairShare`,
  auth: 'superadmin',
  body: v.looseObject({ resource_group: name }),
  place: (_params, body) => ({
    resourceGroupName: body.resource_group,
    domainName: body.domain_name,
    projectId: body.project_id,
    userUuid: body.user_uuid,
  }),
  what: `the fair share of a ${kind.toLowerCase()}`,
  under: 'item',
  orNull: true,
});

export const shares: Topic = {
  searches: [
    ['fair-share/domains', 'adminDomainFairShares', 'superadmin', 'fair shares of domains'],
    ['fair-share/projects', 'adminProjectFairShares', 'superadmin', 'fair shares of projects'],
    ['fair-share/users', 'adminUserFairShares', 'superadmin', 'fair shares of users'],
    ['resource-usage/domains', 'adminDomainUsageBuckets', 'superadmin', 'usage of domains'],
    ['resource-usage/projects', 'adminProjectUsageBuckets', 'superadmin', 'usage of projects'],
    ['resource-usage/users', 'adminUserUsageBuckets', 'superadmin', 'usage of users'],
  ],
  ones: kinds.map(share),
  changes: kinds.flatMap(weights),
};
