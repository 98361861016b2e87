/** Resource policies of keypairs, users and projects, and the types of resources. */
import * as v from 'valibot';
import { admin, type Change, name, type One, optional, type Topic } from '../declare.ts';

const policies = (kind: 'Keypair' | 'User' | 'Project'): Change[] => {
  const path = `resource-policies/${kind.toLowerCase()}`;
  const what = `a resource policy of ${kind.toLowerCase()}s`;
  return [
    {
      ...{ ...admin, method: 'POST', path, mutation: `adminCreate${kind}ResourcePolicyV2` },
      what: `Make ${what}.`,
      body: v.looseObject({ name }),
    },
    {
      ...{ ...admin, method: 'PATCH', path: `${path}/:name` },
      mutation: `adminUpdate${kind}ResourcePolicyV2`,
      what: `Change ${what}.`,
      body: v.looseObject({ name: optional }),
      given: (params, input) => ({ name: params.name, input }),
    },
    {
      ...{ ...admin, method: 'DELETE', path: `${path}/:name` },
      mutation: `adminDelete${kind}ResourcePolicyV2`,
      what: `Remove ${what}.`,
      given: (params) => ({ name: params.name }),
    },
  ];
};

export const policyTopic: Topic = {
  searches: [
    [
      'resource-policies/keypair',
      'adminKeypairResourcePoliciesV2',
      'superadmin',
      'resource policies of keypairs',
    ],
    [
      'resource-policies/user',
      'adminUserResourcePoliciesV2',
      'superadmin',
      'resource policies of users',
    ],
    [
      'resource-policies/project',
      'adminProjectResourcePoliciesV2',
      'superadmin',
      'resource policies of projects',
    ],
    ['resource-slots/slot-types', 'resourceSlotTypes', 'user', 'types of resource slots'],
  ],
  ones: [
    {
      path: 'resource-policies/keypair/my',
      field: 'myKeypairResourcePolicyV2',
      auth: 'user',
      place: () => ({}),
      what: 'the policy of your keypair',
    },
    {
      path: 'resource-policies/user/my',
      field: 'myUserResourcePolicyV2',
      auth: 'user',
      place: () => ({}),
      what: 'the policy of your account',
    },
    ...(['keypair', 'user', 'project'] as const).map((kind): One => {
      const capital = { keypair: 'Keypair', user: 'User', project: 'Project' }[kind];
      return {
        path: `resource-policies/${kind}/:name`,
        field: `admin${capital}ResourcePolicyV2`,
        auth: 'superadmin',
        place: (params) => ({ name: params.name }),
        what: `a resource policy of ${kind}s`,
      };
    }),
  ],
  changes: [...policies('Keypair'), ...policies('User'), ...policies('Project')],
};
