/** What tests about roles ask for again and again, as people of `testTenants`. */
import { expect } from 'bun:test';
import * as v from 'valibot';
import { rawIdOf } from '../manager/graphql/global-id.ts';
import type { Tenants } from './tenants.ts';

type Who = Parameters<Tenants['ask']>[0];

export const createRole = `mutation ($input: CreateRoleInput!) { adminCreateRole(input: $input) {
  id name description source status autoAssign createdAt updatedAt deletedAt } }`;
export const createPermission = `mutation ($input: CreatePermissionInput!) {
  adminCreatePermission(input: $input) { id roleId scopeType scopeId entityType operation } }`;

const created = v.object({ adminCreateRole: v.object({ id: v.string() }) });

/** The raw id of the role that `createRole` answered. */
export const createdRoleId = (data: unknown): string =>
  rawIdOf(v.parse(created, data).adminCreateRole.id);

export function roleTools(tenants: Tenants) {
  /** What a document answers; fails the test when it answers an error. */
  const answer = async (who: Who, query: string, variables?: unknown) => {
    const { data, errors } = await tenants.ask(who, query, variables);
    expect(errors).toBeNull();
    return data;
  };
  return {
    answer,
    /** The first error of a document. */
    async refusal(who: Who, query: string, variables?: unknown): Promise<string> {
      const { errors } = await tenants.ask(who, query, variables);
      return errors?.[0]?.message ?? 'no error';
    },
    /** Makes a role; its raw id. */
    makeRole: async (input: { name: string; [more: string]: unknown }): Promise<string> =>
      createdRoleId(await answer('superadmin', createRole, { input })),
    /** What is to be allowed in the project of the domain `default`. */
    inProject: (entityType: string, operation: string) => ({
      scopeType: 'PROJECT',
      scopeId: tenants.projects.default,
      entityType,
      operation,
    }),
  };
}
